"""What the report says of the memory in words."""

import numpy as np

from training.data.examples import LabelledText, TextPair
from training.reporting.sections.memory import example_text, narrate

TOKENS = ["the", "end", "but"]


def test_the_words_name_the_token_at_which_the_memory_did_most() -> None:
    averages = {
        "forget gate": np.array([0.1, 0.9, 0.3]),
        "input gate": np.array([0.2, 0.8, 0.1]),
        "change of the cell state": np.array([0.1, 0.2, 0.7]),
    }
    forgot, took_in, moved = narrate(averages, TOKENS, unit="token")
    assert forgot == "Most was forgotten at 'but' (token 3): the forget gate kept 30% on average."  # not at the first
    assert took_in == "Most was taken in at 'end' (token 2): the input gate was open 80%."
    assert moved == "The memory moved furthest at 'but' (token 3)."


def test_a_text_of_one_token_has_words_too() -> None:
    assert "'a' (token 1)" in narrate({"forget gate": np.array([0.5])}, ["a"], unit="token")[0]


def test_the_example_is_of_a_length_that_fits() -> None:
    texts = ["x", "a sentence of which there is enough to show, and not more of it", "long " * 100]
    assert example_text([LabelledText(text, "good") for text in texts]) == texts[1]
    assert example_text([TextPair(text, "target") for text in reversed(texts)]) == texts[1]
