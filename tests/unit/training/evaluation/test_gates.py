"""Looking inside a model gives what the model computes."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch

from service.bundle.features import scale_rows
from service.bundle.manifest import FeatureInput
from training.data.examples import AnySplits
from training.errors import DataError
from training.evaluation.gates import trace_gates
from training.preparation.prepare import prepare
from training.settings.recipe import Recipe
from training.tasks.classification import ClassificationTask
from training.tasks.labelling import LabellingTask

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


@pytest.mark.parametrize("name", ["generation", "labelling", "translation"])
def test_the_other_tasks_can_be_looked_into_too(make_recipe: MakeRecipe, tiny_splits: Tiny, name: str) -> None:
    signals, tokens = trace_gates(prepare(make_recipe(name), tiny_splits[name]), "the cat")
    assert all(len(signal) == len(tokens) for signal in signals.values())


def test_readings_are_looked_into_row_by_row(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    task = prepare(make_recipe("readings"), tiny_splits["readings"])
    rows = "temperature=11.5 humidity=90; temperature=9"
    signals, names = trace_gates(task, rows)
    assert names == ["1", "2"]
    assert isinstance(task, LabellingTask)
    assert isinstance(task.reads, FeatureInput)
    read = [{"temperature": 11.5, "humidity": 90.0}, {"temperature": 9.0}]
    steps = torch.tensor([scale_rows(task.reads.features, read)])
    with torch.no_grad():
        _, state = task.model.eval()(steps, torch.tensor([2]))
    np.testing.assert_allclose(signals["cell state"][-1], state[0, 12:], atol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("it rains", "expected rows apart by `;`, each of `name=number`", id="words"),
        pytest.param("temperature=warm", "expected rows apart by `;`", id="no number"),
        pytest.param("pressure=1013", r"rows\[0\]\.pressure is not a feature", id="an unknown feature"),
        pytest.param("temperature=1; humidity=3", r"rows\[1\]\.temperature is missing", id="a missing reading"),
    ],
)
def test_text_that_is_no_readings_is_refused(
    make_recipe: MakeRecipe, tiny_splits: Tiny, text: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        trace_gates(prepare(make_recipe("readings"), tiny_splits["readings"]), text)


def test_an_empty_text_is_refused(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    with pytest.raises(DataError, match="nothing to draw"):
        trace_gates(prepare(make_recipe("classification"), tiny_splits["classification"]), "")
