"""Looking inside a model gives what the model computes."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
import torch

from service.bundle.features import scale_rows
from service.bundle.manifest import FeatureInput
from training.data.encoding.tokenization import BOS_ID, EOS_ID
from training.data.examples import AnySplits
from training.errors import DataError
from training.evaluation.gates import LayerTrace, trace_gates
from training.models.layers.recurrent import Recurrent
from training.preparation.prepare import prepare
from training.settings.recipe import Recipe
from training.tasks.classification import ClassificationTask
from training.tasks.labelling import LabellingTask
from training.tasks.translation import TranslationTask

MakeRecipe = Callable[..., Recipe]
Tiny = Mapping[str, AnySplits]


ALL_OPTIONS = {"layers": 3, "residual": True, "layer_norm": True, "embedding_size": 12}


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
    (layer,) = trace_gates(task, "the film was good", limit=60)
    assert (layer.title, layer.backwards) == ("layer 1", False)
    assert list(layer.signals) == names
    assert layer.steps == ["the", "film", "was", "good"]
    assert {signal.shape for signal in layer.signals.values()} == {(4, 12)}


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("both", [False, True], ids=["one direction", "both directions"])
def test_every_layer_and_direction_ends_in_the_memory_that_the_fused_kernels_give(
    make_recipe: MakeRecipe, tiny_splits: Tiny, cell: str, *, both: bool
) -> None:
    model = {"cell": cell, "bidirectional": both, **ALL_OPTIONS}
    task = prepare(make_recipe("classification", model=model), tiny_splits["classification"])
    assert isinstance(task, ClassificationTask)
    layers = trace_gates(task, "the film was good", limit=60)
    readings = [", forwards", ", backwards"] if both else [""]
    assert [layer.title for layer in layers] == [f"layer {n}{reading}" for n in (1, 2, 3) for reading in readings]
    ids = torch.tensor([task.text.tokenizer.encode("the film was good")])
    with torch.no_grad():
        _, state = task.model.eval()(ids, torch.tensor([4]))
    assert_same_memory(layers, task.model.recurrent, state)


def assert_same_memory(layers: Sequence[LayerTrace], recurrent: Recurrent, state: torch.Tensor) -> None:
    """Whether each layer's last memory is the one in a state [1, state_size]: in it, the memory comes last."""
    memories = recurrent.unpack(state)[-len(layers) :, 0]  # [layers and directions, units]
    for layer, memory in zip(layers, memories, strict=True):
        *_, signal = layer.signals.values()
        np.testing.assert_allclose(signal[0 if layer.backwards else -1], memory, atol=1e-6)


@pytest.mark.parametrize("input_feeding", [False, True], ids=["plain", "input feeding"])
def test_a_translator_shows_its_encoder_and_its_decoder(
    make_recipe: MakeRecipe, tiny_splits: Tiny, *, input_feeding: bool
) -> None:
    architecture = {"attention": "general", "bidirectional": True, "input_feeding": input_feeding, **ALL_OPTIONS}
    task = prepare(make_recipe("translation", model=architecture), tiny_splits["translation"])
    assert isinstance(task, TranslationTask)
    layers, model = trace_gates(task, "the black cat", limit=7), task.model.eval()
    encoder, decoder = layers[:6], layers[6:]
    assert [layer.title for layer in decoder] == [f"decoder, layer {n}" for n in (1, 2, 3)]
    assert encoder[0].steps == ["the", "black", "cat", "<eos>"]
    assert decoder[0].steps[0] == "<bos>"
    assert 1 < len(decoder[0].steps) <= 7
    ids, lengths = torch.tensor([[*task.source.tokenizer.encode("the black cat"), EOS_ID]]), torch.tensor([4])
    with torch.no_grad():
        _, read = model.encoder(model.source_embedding(ids), lengths)
        assert_same_memory(encoder, model.encoder, read)
        source, token, state = model.encode(ids, lengths), torch.tensor([BOS_ID]), None
        for _ in decoder[0].steps:
            before = source.state if state is None else state
            logits, state, _ = model.decoder_step(token, before, source.keys, source.values, lengths)
            token = logits.argmax(dim=-1)
    assert state is not None
    assert_same_memory(decoder, model.decoder, state[:, : model.decoder.state_size])


def test_a_language_model_reads_what_the_service_gives_it(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    task = prepare(make_recipe("generation"), tiny_splits["generation"])
    (layer,) = trace_gates(task, "K:C", limit=60)
    assert layer.steps == ["<bos>", "K", ":", "C"]


def test_a_labeller_of_words_is_looked_into_too(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    (layer,) = trace_gates(prepare(make_recipe("labelling"), tiny_splits["labelling"]), "Mary lives in Rome", limit=60)
    assert layer.steps == ["Mary", "lives", "in", "Rome"]


@pytest.mark.parametrize("name", ["classification", "generation", "labelling", "translation"])
def test_no_more_is_read_and_written_than_the_limit(make_recipe: MakeRecipe, tiny_splits: Tiny, name: str) -> None:
    layers = trace_gates(prepare(make_recipe(name), tiny_splits[name]), "the cat " * 50, limit=5)
    assert {len(signal) for layer in layers for signal in layer.signals.values()} == {5}
    assert {len(layer.steps) for layer in layers} == {5}


def test_readings_are_looked_into_row_by_row(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    task = prepare(make_recipe("readings"), tiny_splits["readings"])
    (layer,) = trace_gates(task, "temperature=11.5 humidity=90; temperature=9; temperature=8", limit=2)
    assert layer.steps == ["1", "2"]
    assert isinstance(task, LabellingTask)
    assert isinstance(task.reads, FeatureInput)
    read = [{"temperature": 11.5, "humidity": 90.0}, {"temperature": 9.0}]
    steps = torch.tensor([scale_rows(task.reads.features, read)])
    with torch.no_grad():
        _, state = task.model.eval()(steps, torch.tensor([2]))
    assert_same_memory([layer], task.model.recurrent, state)


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
        trace_gates(prepare(make_recipe("readings"), tiny_splits["readings"]), text, limit=60)


def test_an_empty_text_is_refused(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    with pytest.raises(DataError, match="nothing to draw"):
        trace_gates(prepare(make_recipe("classification"), tiny_splits["classification"]), "", limit=60)
