"""Every exported graph gives what PyTorch gives, on padded batches of mixed lengths, for every architecture.

The cases and the comparison are `tests.parity`, which prints the differences as a table.
"""

import pytest
import torch

from tests.parity import Case, architecture, export, largest_differences, matrix, opened
from training.models.classifier import Classifier

TOLERANCE = 1e-5
CASES = list(matrix())


def test_the_matrix_is_whole() -> None:
    assert len(CASES) == len({str(case) for case in CASES}) >= 48
    assert {case.settings.cell for case in CASES} == {"rnn", "lstm", "gru"}
    attentions = {case.settings.attention for case in CASES if case.task == "translation"}
    assert attentions == {None, "dot", "general", "additive"}
    fed = {(case.settings.cell, case.settings.attention) for case in CASES if case.settings.input_feeding}
    assert len(fed) == 9
    for option in ("residual", "layer_norm"):
        having = {(case.settings.cell, case.task) for case in CASES if getattr(case.settings, option)}
        assert len(having) == 3 * 5, option


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_graph_equals_pytorch_and_comes_out_the_same_twice(case: Case) -> None:
    model, write = export(case)
    first, second = write(), write()
    assert {role: graph.raw for role, graph in first.items()} == {role: graph.raw for role, graph in second.items()}
    differences = largest_differences(model, opened(second))
    assert differences.keys() == first.keys()
    assert max(differences.values()) <= TOLERANCE, differences


def test_a_swapped_gate_order_is_noticed() -> None:
    """The negative control: the comparison fails when the graph is wrong."""
    model, write = export(Case("classification", architecture("lstm", 1, bidirectional=True)))
    assert isinstance(model, Classifier)
    sessions = opened(write())
    with torch.no_grad():
        weights = model.recurrent.layer(0).get_parameter("weight_hh_l0")
        weights.copy_(weights.roll(16, dims=0))
    assert largest_differences(model, sessions)["classifier"] > 100 * TOLERANCE
