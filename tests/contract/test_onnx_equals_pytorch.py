"""Every exported graph gives what PyTorch gives, on padded batches of mixed lengths, for every architecture.

The graphs run as the service runs them. Weights are random and larger than training leaves them.
"""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from service.bundle.graphs import check_graph
from service.bundle.manifest import GraphRole
from service.runtime.session import GraphSession, open_session
from training.data.batches import pad
from training.export.graphs import classifier_graphs, language_model_graphs, seq2seq_graphs
from training.export.writer import WrittenGraph
from training.models.classifier import Classifier
from training.models.language_model import LanguageModel
from training.models.seq2seq import Seq2Seq
from training.settings import ModelSettings

TOLERANCE = 1e-5
VOCABULARY, LABELS = 30, 3
PAD = 0
LENGTHS = ([1], [9], [5, 1, 12, 12, 3], list(range(1, 18)), [40, 2])
Graphs = Mapping[GraphRole, WrittenGraph]


def architecture(cell: str, layers: int, *, bidirectional: bool = False, **changes: object) -> ModelSettings:
    sizes = {"cell": cell, "layers": layers, "embedding_size": 12, "hidden_size": 16, "bidirectional": bidirectional}
    return ModelSettings.model_validate({**sizes, "dropout": 0.3, **changes})


def trained(model: nn.Module) -> Any:
    """Weights of a scale that gates notice, in evaluation mode."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def opened(graphs: Graphs) -> dict[GraphRole, GraphSession]:
    """Sessions of all graphs, opened as the service opens them."""
    sessions: dict[GraphRole, GraphSession] = {}
    for role, graph in graphs.items():
        check_graph(graph.raw, graph.signature, where=role, vocabulary_size=VOCABULARY)
        sessions[role] = open_session(graph.raw, graph.signature, where=role)
    return sessions


def batches(time_multiple: int = 1) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    random = np.random.default_rng(0)
    for lengths in LENGTHS:
        sequences = [random.integers(3, VOCABULARY, length).tolist() for length in lengths]
        padded = pad(sequences, pad_id=PAD, time_multiple=time_multiple)
        yield padded.token_ids, padded.lengths


def states(row_count: int, size: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(1).uniform(-1, 1, (row_count, size)).astype(np.float32)


def compare(session: GraphSession, expected: tuple[Tensor | None, ...], *inputs: npt.NDArray[Any]) -> None:
    outputs = session(*inputs)
    wanted = [tensor for tensor in expected if tensor is not None]
    assert len(outputs) == len(wanted)
    for output, tensor in zip(outputs, wanted, strict=True):
        assert output.shape == tuple(tensor.shape)
        assert np.abs(output - tensor.numpy()).max() <= TOLERANCE


def tensors(*arrays: npt.NDArray[Any]) -> list[Tensor]:
    return [torch.from_numpy(array) for array in arrays]


CELLS = ["rnn", "lstm", "gru"]
STACKS = [
    pytest.param(cell, layers, bidirectional, id=f"{cell}-{layers}-{'both' if bidirectional else 'one'}")
    for cell, layers, bidirectional in product(CELLS, [1, 2], [False, True])
]
TRANSLATORS = [
    pytest.param(*stack.values, attention, id=f"{stack.id}-{attention or 'no attention'}")
    for stack, attention in product(STACKS, [None, "dot", "general", "additive"])
    if not (attention == "dot" and stack.values[2])  # dot cannot compare both directions with one
]


@pytest.mark.parametrize(("cell", "layers", "bidirectional"), STACKS)
@torch.no_grad()
def test_classifier(cell: str, layers: int, bidirectional: bool) -> None:
    settings = architecture(cell, layers, bidirectional=bidirectional)
    model: Classifier = trained(Classifier(settings, VOCABULARY, LABELS))
    session = opened(classifier_graphs(model))["classifier"]
    for token_ids, lengths in batches():
        if model.state_size is None:
            compare(session, model(*tensors(token_ids, lengths))[:1], token_ids, lengths)
        else:
            inputs = (token_ids, lengths, states(len(lengths), model.state_size))
            compare(session, model(*tensors(*inputs)), *inputs)


@pytest.mark.parametrize("tie_weights", [False, True], ids=["free", "tied"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
@torch.no_grad()
def test_language_model(cell: str, layers: int, tie_weights: bool) -> None:
    model: LanguageModel = trained(LanguageModel(architecture(cell, layers, tie_weights=tie_weights), VOCABULARY))
    sessions = opened(language_model_graphs(model))
    for token_ids, lengths in batches():
        prefill = (token_ids, lengths, states(len(lengths), model.state_size))
        compare(sessions["prefill"], model.prefill(*tensors(*prefill)), *prefill)
        step = (token_ids[:, 0].copy(), states(len(lengths), model.state_size))
        compare(sessions["step"], model.step(*tensors(*step)), *step)


@pytest.mark.parametrize(("cell", "layers", "bidirectional", "attention"), TRANSLATORS)
@torch.no_grad()
def test_encoder_and_decoder_step(cell: str, layers: int, bidirectional: bool, attention: str | None) -> None:
    settings = architecture(cell, layers, bidirectional=bidirectional, attention=attention, tie_weights=layers == 2)
    model: Seq2Seq = trained(Seq2Seq(settings, VOCABULARY, VOCABULARY))
    sessions = opened(seq2seq_graphs(model))
    for token_ids, lengths in batches(time_multiple=16):
        source = model.encode(*tensors(token_ids, lengths))
        compare(sessions["encoder"], (source.keys, source.values, source.state), token_ids, lengths)
        previous = token_ids[:, 0].copy()
        expected = model.decoder_step(
            torch.from_numpy(previous), source.state, source.keys, source.values, torch.from_numpy(lengths)
        )
        inputs = [previous, source.state.numpy()]
        if source.keys is not None and source.values is not None:
            inputs += [source.keys.numpy(), source.values.numpy(), lengths]
        compare(sessions["decoder_step"], expected, *inputs)


@pytest.mark.parametrize("cell", CELLS)
def test_exporting_twice_in_one_process_gives_the_same_bytes(cell: str) -> None:
    classifier = trained(Classifier(architecture(cell, 2, bidirectional=True), VOCABULARY, LABELS))
    language_model = trained(LanguageModel(architecture(cell, 2), VOCABULARY))
    seq2seq = trained(Seq2Seq(architecture(cell, 2, attention="general"), VOCABULARY, VOCABULARY))
    for write, model in (
        (classifier_graphs, classifier),
        (language_model_graphs, language_model),
        (seq2seq_graphs, seq2seq),
    ):
        first, second = write(model), write(model)
        assert {role: graph.raw for role, graph in first.items()} == {role: graph.raw for role, graph in second.items()}


def test_a_swapped_gate_order_is_noticed() -> None:
    """The negative control: the comparison fails when the graph is wrong."""
    model: Classifier = trained(Classifier(architecture("lstm", 1, bidirectional=True), VOCABULARY, LABELS))
    session = opened(classifier_graphs(model))["classifier"]
    token_ids, lengths = list(batches())[-1]
    with torch.no_grad():
        weights = model.recurrent.fused.get_parameter("weight_hh_l0")
        weights.copy_(weights.roll(16, dims=0))
        with pytest.raises(AssertionError):
            compare(session, model(*tensors(token_ids, lengths))[:1], token_ids, lengths)
