"""Looking inside a model gives what the model computes."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch

from training.data.examples import AnySplits
from training.errors import DataError
from training.inspection import trace_gates
from training.prepare import prepare
from training.settings import Recipe
from training.tasks.classification import ClassificationTask

MakeRecipe = Callable[..., Recipe]
Tiny = Mapping[str, AnySplits]


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("lstm", ["forget gate", "input gate", "output gate", "cell state"]),
        ("gru", ["reset gate", "update gate", "hidden state"]),
        ("rnn", ["hidden state"]),
    ],
)
def test_each_cell_shows_its_gates(make_recipe: MakeRecipe, tiny_splits: Tiny, cell: str, names: list[str]) -> None:
    task = prepare(make_recipe("classification", model={"cell": cell}), tiny_splits["classification"])
    signals, tokens = trace_gates(task, "the film was good")
    assert list(signals) == names
    assert tokens == ["the", "film", "was", "good"]
    assert {signal.shape for signal in signals.values()} == {(4, 12)}


def test_the_last_cell_state_is_the_one_the_model_carries(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    task = prepare(make_recipe("classification"), tiny_splits["classification"])
    assert isinstance(task, ClassificationTask)
    signals, tokens = trace_gates(task, "the film was good")
    ids = torch.tensor([task.text.tokenizer.encode("the film was good")])
    with torch.no_grad():
        _, state = task.model.eval()(ids, torch.tensor([len(tokens)]))
    np.testing.assert_allclose(signals["cell state"][-1], state[0, 12:], atol=1e-6)


@pytest.mark.parametrize("name", ["generation", "translation"])
def test_the_other_tasks_can_be_looked_into_too(make_recipe: MakeRecipe, tiny_splits: Tiny, name: str) -> None:
    signals, tokens = trace_gates(prepare(make_recipe(name), tiny_splits[name]), "the cat")
    assert all(len(signal) == len(tokens) for signal in signals.values())


def test_an_empty_text_is_refused(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    with pytest.raises(DataError, match="nothing to draw"):
        trace_gates(prepare(make_recipe("classification"), tiny_splits["classification"]), "")
