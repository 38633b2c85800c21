"""What state tokens hold, and whether it fits a model.   Plain values; knows no signature and no tokenizer."""

from collections.abc import Sequence
from typing import TypeVar

import msgspec
import numpy as np

from service.errors import StateTokenInvalidError

STATE_DTYPE = np.dtype("<f4")
"""Of the numbers of a state as bytes."""


class CarriedRow(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Where a row of a language model stands: `service.engine.steps.Carried`, its state as little-endian float32."""

    state: bytes
    last_id: int
    token_count: int
    sample: int = 0
    known_ids: list[int] = []


class CarriedOptions(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a text goes on under unless the request says otherwise; fields are those of the API."""

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    seed: int
    repetition_penalty: float
    no_repeat_ngram_size: int
    banned_tokens: tuple[str, ...]
    token_biases: dict[str, float]
    stop_sequences: tuple[str, ...]


class TextState(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="text"):
    """Where the generation of a text stands.

    Args:
        row: what the engine goes on from.
        options: what it goes on under.
        output_tokens_left: how many more tokens were asked for.
        least_tokens_left: how many more tokens must come before the text may end.
        said_ids: the last tokens whose text was told, which tell how the next is spaced.
        held_ids: tokens after them that are no whole character yet.
        held_text: text that may be the beginning of a stop sequence.
    """

    row: CarriedRow
    options: CarriedOptions
    output_tokens_left: int
    least_tokens_left: int
    said_ids: list[int]
    held_ids: list[int]
    held_text: str


class SequenceState(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="sequence"):
    """Where the reading of a sequence stands: the state, as little-endian float32."""

    state: bytes


Content = TypeVar("Content", TextState, SequenceState)

_ENCODER = msgspec.msgpack.Encoder()
_TEXT = msgspec.msgpack.Decoder(TextState)
_SEQUENCE = msgspec.msgpack.Decoder(SequenceState)


def encoded(content: TextState | SequenceState) -> bytes:
    """Content as bytes."""
    return _ENCODER.encode(content)


def decoded_text(raw: bytes, *, state_size: int, vocabulary_size: int, field: str) -> TextState:
    """Where a text stands, if it fits a model of these sizes.

    Raises:
        StateTokenInvalidError: it does not; names the field.
    """
    content = _decoded(raw, _TEXT, field)
    row = content.row
    _check_state(row.state, state_size, field)
    for token_ids in ([row.last_id], row.known_ids, content.said_ids, content.held_ids):
        _check_ids(token_ids, vocabulary_size, field)
    counts = (row.token_count, row.sample, content.output_tokens_left, content.least_tokens_left)
    if min(counts) < 0:
        raise StateTokenInvalidError(f"{field} holds a count below 0", field=field)
    return content


def decoded_sequence(raw: bytes, *, state_size: int, field: str) -> SequenceState:
    """Where a sequence stands, if it fits a model of this size.

    Raises:
        StateTokenInvalidError: it does not; names the field.
    """
    content = _decoded(raw, _SEQUENCE, field)
    _check_state(content.state, state_size, field)
    return content


def _decoded(raw: bytes, decoder: msgspec.msgpack.Decoder[Content], field: str) -> Content:
    try:
        return decoder.decode(raw)
    except msgspec.DecodeError as error:
        raise StateTokenInvalidError(f"{field} holds no such state: {error}", field=field) from error


def _check_state(state: bytes, size: int, field: str) -> None:
    if len(state) != STATE_DTYPE.itemsize * size:
        raise StateTokenInvalidError(
            f"{field} holds {len(state)} bytes of state, the model has {STATE_DTYPE.itemsize * size}", field=field
        )
    if not np.isfinite(np.frombuffer(state, dtype=STATE_DTYPE)).all():
        raise StateTokenInvalidError(f"{field} holds a state that is not finite", field=field)


def _check_ids(token_ids: Sequence[int], vocabulary_size: int, field: str) -> None:
    if token_ids and not 0 <= min(token_ids) <= max(token_ids) < vocabulary_size:
        raise StateTokenInvalidError(f"{field} holds a token that the model does not have", field=field)
