"""Text to token ids and back, over the `tokenizers` library.   Training and serving run this same code.

Adds no special token and recognises none in text: what a user writes is text, `<eos>` included.
"""

from collections.abc import Sequence
from typing import Self

import tokenizers

from service.errors import BundleError

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
"""What decoding gives for bytes that are not (yet) a character."""


class Tokenizer:
    """A tokenizer read from the bytes of its `tokenizer.json`. Threads may share one."""

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        backend.no_padding()
        backend.no_truncation()
        backend.encode_special_tokens = True  # special tokens in a user's text are plain text
        self._backend = backend
        self.vocabulary_size: int = backend.get_vocab_size(with_added_tokens=True)

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Parse a `tokenizer.json`.

        Raises:
            BundleError: not a tokenizer, or its ids are not 0 to vocabulary size - 1.
        """
        try:
            backend = tokenizers.Tokenizer.from_buffer(raw)
        except Exception as error:
            # the library raises plain Exception
            raise BundleError(f"not a tokenizer: {error}") from error
        ids = set(backend.get_vocab(with_added_tokens=True).values())
        if ids != set(range(len(ids))):
            raise BundleError(f"token ids must be 0 to {len(ids) - 1} without gaps")
        return cls(backend)

    def encode(self, text: str) -> list[int]:
        """Ids of `text`, without special tokens."""
        return list(self._backend.encode(text, add_special_tokens=False).ids)

    def encode_words(self, words: Sequence[str]) -> tuple[list[int], list[int]]:
        """Ids of words, each encoded by itself, and for each id the index of its word. No special tokens."""
        found = self._backend.encode(list(words), is_pretokenized=True, add_special_tokens=False)
        return list(found.ids), [word for word in found.word_ids if word is not None]

    def word_spans(self, text: str) -> list[tuple[int, int]]:
        """Where the words of a text begin and end, in characters, as the pre-tokenizer cuts it; in order."""
        found = self._backend.encode(text, add_special_tokens=False)
        spans: dict[int, tuple[int, int]] = {}
        for word, (start, end) in zip(found.word_ids, found.offsets, strict=True):
            if word is not None:
                first, last = spans.get(word, (start, end))
                spans[word] = (min(first, start), max(last, end))
        return [spans[word] for word in sorted(spans)]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids`; special tokens give nothing, incomplete characters give U+FFFD."""
        return self._backend.decode(list(ids), skip_special_tokens=True)

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """One readable piece per id, for pictures and tables; special tokens by name."""
        return [self._piece(one) for one in ids]

    def id_of(self, token: str) -> int | None:
        """Id of a token as the vocabulary spells it, or None."""
        return self._backend.token_to_id(token)

    def _piece(self, token_id: int) -> str:
        text = self._backend.decode([token_id], skip_special_tokens=False)
        if text and REPLACEMENT not in text:
            return text
        return self._backend.id_to_token(token_id) or ""  # part of a character: as the vocabulary spells it


class TextStream:
    """Text of tokens that come one after another, as soon as it is certain.

    A character may need several tokens, and a token's spacing may depend on the one before it. So new tokens are
    decoded together with the last ones that gave text, and an incomplete character is held back. The pieces joined
    are `Tokenizer.decode` of all ids.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._said: list[int] = []  # the ids that gave the last piece
        self._held: list[int] = []  # the ids that gave none yet

    def push(self, ids: Sequence[int]) -> str:
        """Take the next ids; return the text that is now certain, often empty."""
        self._held.extend(ids)
        new = self._new_text()
        if not new or new.endswith(REPLACEMENT):
            return ""
        self._said, self._held = self._held, []
        return new

    def finish(self) -> str:
        """The text still held back. Nothing may be pushed afterwards."""
        return self._new_text()

    def _new_text(self) -> str:
        before = self._tokenizer.decode(self._said)
        return self._tokenizer.decode(self._said + self._held)[len(before) :]
