"""One precision of a bundle: its graphs and their proof.

fp32 and fp16 are proven against PyTorch in float32, int8 against its own run: a recording of itself shows that another
machine computes what this one did. How far each is from fp32 is recorded beside it, and what that does to answers is
measured on the whole bundle.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from service.bundle.manifest import Golden, GraphRole, Precision, Variant
from service.runtime.golden import GoldenCase, record_case, write_golden
from service.runtime.numerics import instruction_sets
from service.runtime.session import open_session
from training.errors import ExportError
from training.export.golden import golden_cases
from training.export.graphs.networks import classifier_graphs, labeller_graphs, language_model_graphs, seq2seq_graphs
from training.export.graphs.writer import OPSET, WrittenGraph
from training.export.trained import AnyModel, TrainedModel
from training.models.classifier import Classifier
from training.models.labeller import Labeller
from training.models.language_model import LanguageModel
from training.models.seq2seq import Seq2Seq

_TOLERANCE = 1e-5
"""Absolute, and relative too for logits of larger scale: float32 sums of a few hundred products, in another order."""

_HALF_ABSOLUTE, _HALF_RELATIVE = 0.02, 0.01
"""Of fp16. One rounding moves a value by at most 2^-11 of itself; the sample models, computed in float16 throughout by
PyTorch on a CPU, moved their logits (to 15) and states (to 20) by at most 0.011."""

_LARGEST_TOLERANCE = 0.1
"""What a manifest may say at most."""

Graphs = Mapping[GraphRole, WrittenGraph]


@dataclass(frozen=True)
class _Proof:
    """Recorded runs, and how a replay is compared with them."""

    cases: Sequence[GoldenCase]
    reference: Literal["pytorch", "self"]
    absolute_tolerance: float
    relative_tolerance: float
    deviation_from_fp32: float


def write_variant(trained: TrainedModel, precision: Precision, opset: int = OPSET) -> tuple[Variant, dict[str, bytes]]:
    """Write and prove the graphs of one precision; returns its part of the manifest, and its files.

    Raises:
        ExportError: the weights, or what they give, do not fit float16.
    """
    graphs = write_graphs(trained.network, precision, opset)
    proof = _proof(graphs, golden_cases(trained, graphs), precision)
    golden = Golden(
        file=f"golden.{precision}.npz",
        reference=proof.reference,
        absolute_tolerance=proof.absolute_tolerance,
        relative_tolerance=proof.relative_tolerance,
        deviation_from_fp32=proof.deviation_from_fp32,
        instruction_sets=list(instruction_sets()),
    )
    files = {graph.signature.file: graph.raw for graph in graphs.values()} | {golden.file: write_golden(proof.cases)}
    return Variant(graphs={role: graph.signature for role, graph in graphs.items()}, golden=golden), files


def write_graphs(network: AnyModel, precision: Precision, opset: int = OPSET) -> dict[GraphRole, WrittenGraph]:
    """Write all graphs of a network."""
    match network:
        case Classifier():
            return classifier_graphs(network, precision, opset)
        case Labeller():
            return labeller_graphs(network, precision, opset)
        case LanguageModel():
            return language_model_graphs(network, precision, opset)
        case Seq2Seq():
            return seq2seq_graphs(network, precision, opset)


def _proof(graphs: Graphs, in_fp32: Sequence[GoldenCase], precision: Precision) -> _Proof:
    match precision:
        case "fp32":
            return _Proof(in_fp32, "pytorch", _TOLERANCE, _TOLERANCE, 0.0)
        case "int8":
            return _prove_by_itself(graphs, in_fp32)
        case "fp16":
            return _prove_in_half(graphs, in_fp32)


def _prove_by_itself(graphs: Graphs, in_fp32: Sequence[GoldenCase]) -> _Proof:
    """Record the graphs' own outputs on the inputs of fp32 runs.

    Where a CPU's float32 differs in the last bit, an activation can be rounded to the neighbouring integer. That moves
    an output by less than quantisation itself did, which is therefore the tolerance.
    """
    cases = _own_runs(graphs, in_fp32, float16=False)
    deviation = _largest_difference(cases, in_fp32)
    tolerance = min(max(deviation, _TOLERANCE), _LARGEST_TOLERANCE)
    return _Proof(cases, "self", tolerance, _TOLERANCE, deviation)


def _prove_in_half(graphs: Graphs, in_fp32: Sequence[GoldenCase]) -> _Proof:
    """Compare with PyTorch in float32, within what float16 may differ.

    The deviation that is recorded was met on a CPU, which computes float16 graphs in float32 with conversions in
    between; the tolerance is for accelerators, which round more often.
    """
    cases = _own_runs(graphs, in_fp32, float16=True)
    worst = _largest_difference(cases, in_fp32, relative=_HALF_RELATIVE)
    if not worst <= _HALF_ABSOLUTE:
        raise ExportError(
            f"fp16 is off by {worst:.3g} beyond {_HALF_RELATIVE:g} of an output, allowed are {_HALF_ABSOLUTE:g}: "
            "export in fp32 or int8"
        )
    return _Proof(in_fp32, "pytorch", _HALF_ABSOLUTE, _HALF_RELATIVE, _largest_difference(cases, in_fp32))


def _own_runs(graphs: Graphs, in_fp32: Sequence[GoldenCase], *, float16: bool) -> list[GoldenCase]:
    """Run the graphs on the inputs of other runs."""
    runs = {
        role: open_session(graph.raw, graph.signature, where=graph.signature.file, float16=float16)
        for role, graph in graphs.items()
    }
    return [
        record_case(case.role, graphs[case.role].signature, runs[case.role], list(case.inputs.values()))
        for case in in_fp32
    ]


def _largest_difference(found: Sequence[GoldenCase], expected: Sequence[GoldenCase], *, relative: float = 0.0) -> float:
    """Return the largest difference of any output, what `relative` allows taken off; NaN where there is one."""
    differences = [
        (np.abs(own.outputs[name] - wanted) - relative * np.abs(wanted)).max()
        for own, case in zip(found, expected, strict=True)
        for name, wanted in case.outputs.items()
    ]
    return float(np.max(differences))
