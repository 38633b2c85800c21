"""How long examples are, in tokens, and what becomes of those that are too long.   Knows limits; no tensors."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from service.text.tokenizer import Tokenizer
from training.data.examples import (
    AnyExample,
    AnySplits,
    LabelledSeries,
    LabelledText,
    PlainText,
    TaggedTokens,
    TextPair,
)
from training.errors import DataError
from training.settings.recipe import DataSettings

Encode = Callable[[str], Sequence[int]]
"""Text to token ids, without special tokens."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Length:
    """One side of an example, in tokens, the special tokens that training adds included."""

    side: str
    token_count: int
    limit: int
    setting: str
    """Of the recipe, that holds the limit."""

    @property
    def too_long(self) -> bool:
        """Whether it is beyond the limit."""
        return self.token_count > self.limit


def lengths_of(example: AnyExample, encode: Mapping[str, Encode], settings: DataSettings) -> tuple[Length, ...]:
    """Measure an example.

    Args:
        example: any.
        encode: of the tokenizer of each side: `text`, `words`, or `source` and `target`. Series need none.
        settings: hold the limits.
    """
    match example:
        case LabelledText():
            counts = {"text": len(encode["text"](example.text))}
        case PlainText():
            counts = {"text": len(encode["text"](example.text)) + 2}  # bos, eos
        case TextPair():
            counts = {
                side: len(encode[side](text)) + 1  # eos
                for side, text in (("source", example.source), ("target", example.target))
            }
        case TaggedTokens():
            counts = {"words": sum(len(encode["words"](word)) for word in example.tokens)}
        case LabelledSeries():
            counts = {"steps": len(example.labels)}
    return tuple(
        Length(side, count, settings.max_output_token_count, "data.max_output_token_count")
        if side == "target"
        else Length(side, count, settings.max_token_count, "data.max_token_count")
        for side, count in counts.items()
    )


def refuse_too_long(splits: AnySplits, tokenizers: Mapping[str, Tokenizer], settings: DataSettings) -> None:
    """With `too_long = "refuse"`, check every example of every part; else do nothing.

    Raises:
        DataError: the first that is too long, by file and line.
    """
    if settings.too_long != "refuse":
        return
    encode = {side: tokenizer.encode for side, tokenizer in tokenizers.items()}
    for part in ("training", "validation", "test"):
        for index, example in enumerate(getattr(splits, part)):
            for length in lengths_of(example, encode, settings):
                if length.too_long:
                    where = example.origin or f"{settings.origin}, {part} example {index + 1}"
                    raise DataError(
                        f"{where}: expected at most {length.limit} tokens ({length.setting}) in the {length.side}, "
                        f'found {length.token_count}; `too_long = "drop"` leaves such examples out'
                    )


def tell_left_out(kept: int, total: int, settings: DataSettings) -> None:
    """Say on the log how many training examples were left out because of their length, if any were."""
    if kept < total:
        logger.warning(
            "training_examples_left_out too_long_or_empty=%d of=%d max_token_count=%d max_output_token_count=%d",
            total - kept,
            total,
            settings.max_token_count,
            settings.max_output_token_count,
        )
