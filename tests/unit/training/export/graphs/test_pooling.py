"""Pooling over time as it is exported: PyTorch's numbers, and no bit of them from padding or neighbours."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch

from service.bundle.graphs import check_graph
from service.bundle.manifest import GraphRole
from service.runtime.session import GraphSession
from tests.parity import VOCABULARY, Case, architecture, export, largest_differences, opened
from training.export.graphs import pooling
from training.export.graphs.networks import classifier_graphs
from training.models.classifier import Classifier
from training.models.layers.pooling import POOLED_PARTS, pool
from training.settings.model import PoolingKind

KINDS = pytest.mark.parametrize("kind", ["max", "mean", "concat"])
BOTH = pytest.mark.parametrize("both", [False, True], ids=["one direction", "both directions"])
OUTPUTS = torch.tensor([[[1.0, -1.0], [3.0, -5.0], [0.0, 0.0]], [[-2.0, 4.0], [0.0, 0.0], [0.0, 0.0]]])
LAST, LENGTHS = torch.tensor([[3.0, -5.0], [-2.0, 4.0]]), torch.tensor([2, 1])
LARGEST, MEAN = [[3.0, -1.0], [-2.0, 4.0]], [[2.0, -3.0], [-2.0, 4.0]]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        pytest.param("last", LAST.tolist(), id="last"),
        pytest.param("max", LARGEST, id="padding is not the largest"),
        pytest.param("mean", MEAN, id="padding counts for nothing"),
        pytest.param("concat", [[*LAST[row].tolist(), *LARGEST[row], *MEAN[row]] for row in (0, 1)], id="all of them"),
    ],
)
def test_only_real_times_are_pooled(kind: PoolingKind, expected: list[list[float]]) -> None:
    assert pool(kind, OUTPUTS, LAST, LENGTHS).tolist() == expected


def classifier(kind: PoolingKind, both: bool, layers: int = 1, **between: bool) -> Classifier:
    settings = architecture("lstm", layers, bidirectional=both, pooling=kind, **between)
    model, _ = export(Case("classification", settings))
    assert isinstance(model, Classifier)
    return model


@KINDS
@BOTH
@pytest.mark.parametrize("normed", [False, True], ids=["plain", "what pads is not zero but the norm's bias"])
def test_a_pooled_classifier_equals_pytorch(kind: PoolingKind, both: bool, normed: bool) -> None:
    model = classifier(kind, both, layers=2, layer_norm=normed, residual=normed)
    assert model.output.in_features == len(POOLED_PARTS[kind]) * model.recurrent.output_size
    assert model.state_size is None
    assert largest_differences(model, opened(classifier_graphs(model)))["classifier"] <= 1e-5


@KINDS
def test_a_pooled_classifier_is_written_in_float16_too(kind: PoolingKind) -> None:
    (graph,) = classifier_graphs(classifier(kind, both=True), "fp16").values()
    check_graph(graph.raw, graph.signature, where="classifier", vocabulary_size=VOCABULARY)


@KINDS
@pytest.mark.parametrize("opset", [18, 19, 20])
def test_a_pooled_classifier_gives_the_same_bits_in_every_opset(kind: PoolingKind, opset: int) -> None:
    model = classifier(kind, both=True)
    inputs = (np.array([[3, 4, 5], [6, 0, 0]]), np.array([3, 1]))
    logits = [opened(classifier_graphs(model, "fp32", one))["classifier"](*inputs)[0] for one in (17, opset)]
    assert logits[0].tobytes() == logits[1].tobytes()


def changed_rows(sessions: Mapping[GraphRole, GraphSession]) -> int:
    """How many rows' logits change with their batch, its padding and the junk in it."""
    random = np.random.default_rng(1)
    texts = [random.integers(3, VOCABULARY, length).tolist() for length in [*range(1, 64), 100, 333]]

    def run(group: list[list[int]], padding: int) -> list[bytes]:
        width = max(map(len, group)) + padding
        token_ids = random.integers(3, VOCABULARY, (len(group), width))
        for row, text in enumerate(group):
            token_ids[row, : len(text)] = text
        lengths = np.array([len(text) for text in group], dtype=np.int64)
        return [row.tobytes() for row in sessions["classifier"](token_ids, lengths)[0]]

    alone = [run([text], 0)[0] for text in texts]
    changed = 0
    for _ in range(40):
        chosen = random.permutation(len(texts))[: int(random.integers(1, 18))]
        together = run([texts[index] for index in chosen], int(random.integers(0, 40)))
        changed += sum(bits != alone[index] for bits, index in zip(together, chosen, strict=True))
    return changed


@KINDS
@BOTH
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_no_bit_of_a_pooled_answer_depends_on_its_neighbours(kind: PoolingKind, both: bool, precision: str) -> None:
    graphs = classifier_graphs(classifier(kind, both), "int8" if precision == "int8" else "fp32")
    assert changed_rows(opened(graphs)) == 0


def test_means_over_unpadded_times_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: why time is padded within the graph."""
    monkeypatch.setattr(pooling, "TIME_MULTIPLE", 1)
    assert changed_rows(opened(classifier_graphs(classifier("mean", both=False)))) > 0
