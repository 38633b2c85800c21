"""What the report says of the memory in words."""

import numpy as np
import pytest

from training.data.examples import LabelledText, TextPair
from training.evaluation.gates import LayerTrace
from training.reporting.sections.memory import averages_of, example_text, narrate

STEPS = ["the", "end", "but"]
EMPTY, FULL = np.zeros(1, dtype=np.float32), np.ones(1, dtype=np.float32)
AVERAGES = {
    "forget gate": np.array([0.1, 0.9, 0.3]),
    "input gate": np.array([0.2, 0.8, 0.1]),
    "change of the cell state": np.array([0.1, 0.2, 0.7]),
}


def test_the_words_name_the_token_at_which_the_memory_did_most() -> None:
    forgot, took_in, moved = narrate(AVERAGES, LayerTrace("layer 1", STEPS, {}, EMPTY), unit="token")
    assert forgot == "Most was forgotten at 'but' (token 3): the forget gate kept 30% on average."  # not at the first
    assert took_in == "Most was taken in at 'end' (token 2): the input gate was open 80%."
    assert moved == "The memory moved furthest at 'but' (token 3)."


def test_a_decoder_that_begins_with_a_memory_can_forget_at_its_first_step() -> None:
    assert "'the' (token 1)" in narrate(AVERAGES, LayerTrace("", STEPS, {}, FULL), unit="token")[0]


def test_the_first_step_that_was_read_from_the_end_is_passed_over() -> None:
    layer = LayerTrace("", STEPS, {}, EMPTY, backwards=True)
    averages = {"forget gate": np.array([0.5, 0.9, 0.3])}
    assert "'the' (token 1)" in narrate(averages, layer, unit="token")[0]


def test_a_text_of_one_token_has_words_too() -> None:
    layer = LayerTrace("layer 1", ["a"], {}, EMPTY)
    assert "'a' (token 1)" in narrate({"forget gate": np.array([0.5])}, layer, unit="token")[0]


@pytest.mark.parametrize(
    ("backwards", "changes"),
    [
        pytest.param(False, [0.5, 1.0, 4.0], id="forwards"),  # 1 to 1.5, 2.5, 6.5
        pytest.param(True, [1.0, 4.0, 5.5], id="backwards"),  # 1 to 6.5, 2.5, 1.5
    ],
)
def test_a_state_changes_from_the_step_that_was_read_before(*, backwards: bool, changes: list[float]) -> None:
    signals = {"cell state": np.array([[1.5], [2.5], [6.5]], dtype=np.float32)}
    layer = LayerTrace("", STEPS, signals, FULL, backwards=backwards)
    assert averages_of(layer)["change of the cell state"].tolist() == changes


def test_the_example_is_of_a_length_that_fits() -> None:
    texts = ["x", "a sentence of which there is enough to show, and not more of it", "long " * 100]
    assert example_text([LabelledText(text, "good") for text in texts]) == texts[1]
    assert example_text([TextPair(text, "target") for text in reversed(texts)]) == texts[1]
