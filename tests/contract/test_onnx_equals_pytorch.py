"""Every exported graph gives what PyTorch gives, on padded batches of mixed lengths, for every architecture.

The cases and the comparison are `tests.parity`, which prints the differences as a table.
"""

import onnx
import pytest
import torch
from onnx import helper

from service.runtime.session import open_session
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


def test_a_step_that_ignores_what_it_is_fed_is_noticed() -> None:
    """The negative control of input feeding: an encoder's state feeds zeros, and on the first step nothing shows."""
    case = Case("translation", architecture("gru", 1, attention="general", input_feeding=True))
    model, write = export(case)
    graphs = write()
    changed = onnx.load_from_string(graphs["decoder_step"].raw)
    nodes = changed.graph.node
    at = next(index for index, node in enumerate(nodes) if "state.vector" in node.input)
    nodes[at].input[list(nodes[at].input).index("state.vector")] = "zeros"
    nodes.insert(at, helper.make_node("Sub", ["state.vector", "state.vector"], ["zeros"]))
    session = open_session(changed.SerializeToString(), graphs["decoder_step"].signature, where="decoder_step")
    differences = largest_differences(model, opened(graphs) | {"decoder_step": session})
    assert differences["encoder"] <= TOLERANCE
    assert differences["decoder_step"] > 100 * TOLERANCE
