"""Texts of a request into token ids, within its limits and its deadline.   Knows no queue and no engine."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from service.errors import DeadlineExceededError, InvalidArgumentError, TextTooLongError
from service.text.tokenizer import Tokenizer

INLINE_CHARACTERS = 4_000
"""Characters of a request up to which it is split into tokens on the event loop, in 1 to 2 ms; more go to a thread.

Of readings and of labels as many take as long.
"""

Result = TypeVar("Result")


@dataclass(frozen=True)
class TextLimits:
    """How much text is looked at at all.

    Args:
        max_text_characters: longest text.
        max_request_characters: longest texts of one request, in sum.
    """

    max_text_characters: int
    max_request_characters: int

    def checked_character_count(self, counts: Sequence[tuple[str, int]], together: str) -> int:
        """Sum of the characters of every field; errors name one field, or what they are called together.

        Raises:
            TextTooLongError: one text, or all of them, are longer than is looked at.
        """
        for field, count in counts:
            if count > self.max_text_characters:
                raise _too_many_characters(field, count, self.max_text_characters)
        character_count = sum(count for _, count in counts)
        if character_count > self.max_request_characters:
            raise _too_many_characters(together, character_count, self.max_request_characters)
        return character_count

    async def encode(
        self,
        tokenizer: Tokenizer,
        texts: Sequence[tuple[str, str]],
        *,
        together: str,
        limit: int,
        deadline: float,
        may_be_empty: bool = False,
    ) -> list[list[int]]:
        """Token ids of every text.

        Args:
            tokenizer: splits them.
            texts: the field that each text is from, and the text.
            together: what errors call all of them.
            limit: most tokens of each.
            deadline: `time.monotonic()` value.
            may_be_empty: whether a text may hold no token.

        Raises:
            TextTooLongError: a text has too many characters or tokens.
            InvalidArgumentError: a text holds no token.
            DeadlineExceededError: the deadline passed.
        """
        character_count = self.checked_character_count([(field, len(text)) for field, text in texts], together)
        least = 0 if may_be_empty else 1
        return await in_turn(
            deadline,
            character_count,
            lambda: [checked_row(tokenizer.encode(text), least, limit, name) for name, text in texts],
        )


async def in_turn(deadline: float, size: int, work: Callable[[], Result]) -> Result:
    """Do a work of so many characters, readings or labels: a small one here, a large one beside the event loop.

    Raises:
        DeadlineExceededError: the deadline passed.
    """
    if size <= INLINE_CHARACTERS:
        return work()
    try:
        async with asyncio.timeout_at(deadline):
            return await asyncio.to_thread(work)
    except TimeoutError as error:
        raise DeadlineExceededError("the deadline passed while the request was being read or answered") from error


def _too_many_characters(field: str, count: int, limit: int) -> TextTooLongError:
    return TextTooLongError(
        f"{field}: {count} characters, at most {limit} are looked at", field=field, character_count=count, limit=limit
    )


def checked_row(token_ids: list[int], least: int, limit: int, field: str) -> list[int]:
    """The ids again, if they are at least `least` and at most `limit` many.

    Raises:
        TextTooLongError: there are more.
        InvalidArgumentError: there are fewer.
    """
    count = len(token_ids)
    if count < least:
        raise InvalidArgumentError(f"{field} holds no token that the model knows", field=field)
    if count > limit:
        raise TextTooLongError(
            f"{field} has {count} tokens, the model takes {limit}", field=field, token_count=count, limit=limit
        )
    return token_ids


def checked_ids(token_ids: Sequence[int], vocabulary_size: int, limit: int, field: str) -> list[int]:
    """Token ids that a caller gave, 1 to `limit` of them, if the vocabulary has every one.

    Raises:
        TextTooLongError: there are more.
        InvalidArgumentError: there are none, or one is not in the vocabulary.
    """
    ids = checked_row(list(token_ids), 1, limit, field)
    for place, token_id in enumerate(ids):
        if not 0 <= token_id < vocabulary_size:
            raise InvalidArgumentError(
                f"{field}[{place}] is {token_id}, expected 0 to {vocabulary_size - 1}",
                field=f"{field}[{place}]",
                value=token_id,
                limit=vocabulary_size - 1,
            )
    return ids


def output_limit(wanted: int | None, limit: int) -> int:
    """Most tokens to produce, where the model produces at most `limit`.

    Raises:
        InvalidArgumentError: more are wanted.
    """
    if wanted is not None and wanted > limit:
        field = "max_output_token_count"
        raise InvalidArgumentError(f"{field} is {wanted}, the model produces at most {limit}", field=field, limit=limit)
    return limit if wanted is None else wanted
