"""Words of a sequence into token ids, and which token stands for which word.   Training and serving run this same code.

A word is encoded by itself: its ids depend on no neighbour, and a text that was split gives the same ids as its words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from service.text.tokenizer import Tokenizer

Split = Literal["tokenizer", "whitespace"]
LabelPosition = Literal["first", "last"]


@dataclass(frozen=True)
class EncodedWords:
    """Tokens of some words. `positions` has, per word, the index of the token that carries its label."""

    token_ids: list[int]
    positions: list[int]

    def borders(self, label_position: LabelPosition) -> list[int]:
        """Index of the first token of every word, and after the last word's last token.

        Args:
            label_position: which token of a word `positions` has.
        """
        if label_position == "first":
            return [*self.positions, len(self.token_ids)]
        return [0, *(position + 1 for position in self.positions)]


class EmptyWordError(ValueError):
    """A word that the tokenizer gives no token for, so that nothing could carry its label."""

    def __init__(self, index: int) -> None:
        super().__init__(f"word {index} gives no token")
        self.index = index


def split_words(tokenizer: Tokenizer, text: str, split: Split) -> list[str]:
    """The words of a text, as slices of it, in order; none is blank.

    Args:
        tokenizer: cuts the text where `split` is `tokenizer`, at the borders that its pre-tokenizer sets.
        text: any text.
        split: `whitespace` cuts at white space alone.
    """
    if split == "whitespace":
        return text.split()
    pieces = (text[start:end].strip() for start, end in tokenizer.word_spans(text))
    return [piece for piece in pieces if piece]


def encode_words(tokenizer: Tokenizer, words: Sequence[str], label_position: LabelPosition) -> EncodedWords:
    """Ids of every word, one word after another, without special tokens.

    Raises:
        EmptyWordError: a word gives no token; its `index` says which.
    """
    token_ids, owners = tokenizer.encode_words(words)
    positions: dict[int, int] = {}
    for position, word in enumerate(owners):
        if label_position == "last" or word not in positions:
            positions[word] = position
    for index in range(len(words)):
        if index not in positions:
            raise EmptyWordError(index)
    return EncodedWords(token_ids, [positions[index] for index in range(len(words))])
