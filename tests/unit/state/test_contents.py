"""What state tokens hold: it comes back whole, and what does not fit the model is refused."""

from typing import Any

import msgspec
import numpy as np
import pytest

from service.errors import StateTokenInvalidError
from service.state.contents import (
    CarriedOptions,
    CarriedRow,
    SequenceState,
    TextState,
    decoded_sequence,
    decoded_text,
    encoded,
)

STATE = np.array([0.5, -2.0, 1e-40], dtype="<f4").tobytes()
OPTIONS = CarriedOptions(0.8, 40, 0.9, 0.01, 2**63 - 1, 1.5, 3, ("|",), {"a": -1.5}, ("\n\n", "\N{SNOWMAN}"))
TEXT = TextState(CarriedRow(STATE, 9, 12, 1, [4, 5, 9]), OPTIONS, 20, 3, [4, 5], [9], "\n")


def read(raw: bytes, state_size: int = 3) -> TextState:
    return decoded_text(raw, state_size=state_size, vocabulary_size=10, field="state_token")


def test_a_text_comes_back_whole() -> None:
    assert read(encoded(TEXT)) == TEXT


def test_a_sequence_comes_back_whole() -> None:
    raw = encoded(SequenceState(STATE))
    assert decoded_sequence(raw, state_size=3, field="f") == SequenceState(STATE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"row": CarriedRow(STATE[:-4], 9, 12)}, "holds 8 bytes of state, the model has 12", id="short"),
        pytest.param({"row": CarriedRow(STATE + STATE, 9, 12)}, "holds 24 bytes of state", id="long"),
        pytest.param({"row": CarriedRow(b"\xff" * 12, 9, 12)}, "not finite", id="NaN"),
        pytest.param({"row": CarriedRow(STATE, 10, 12)}, "a token that the model does not have", id="last"),
        pytest.param({"row": CarriedRow(STATE, -1, 12)}, "a token that the model does not have", id="below 0"),
        pytest.param({"row": CarriedRow(STATE, 9, 12, 0, [1, 10])}, "a token that the model does not", id="known"),
        pytest.param({"said_ids": [10]}, "a token that the model does not have", id="said"),
        pytest.param({"held_ids": [10]}, "a token that the model does not have", id="held"),
        pytest.param({"row": CarriedRow(STATE, 9, -1)}, "a count below 0", id="count"),
        pytest.param({"output_tokens_left": -1}, "a count below 0", id="left"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(StateTokenInvalidError, match=message) as refused:
        read(encoded(msgspec.structs.replace(TEXT, **changes)))
    assert refused.value.field == "state_token"


def test_a_sequence_of_another_size_is_refused() -> None:
    with pytest.raises(StateTokenInvalidError, match="holds 12 bytes of state, the model has 16"):
        decoded_sequence(encoded(SequenceState(STATE)), state_size=4, field="sequences[1].state_token")


@pytest.mark.parametrize(
    "raw", [b"", b"\xc1", encoded(SequenceState(STATE)), encoded(TEXT)[:-1], encoded(TEXT) + b"\0"], ids=len
)
def test_what_is_no_text_is_refused(raw: bytes) -> None:
    with pytest.raises(StateTokenInvalidError, match="holds no such state"):
        read(raw)
