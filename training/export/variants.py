"""One precision of a bundle: its graphs and their proof.

fp32 and fp16 are proven against PyTorch in float32, int8 against its own run: a recording of itself shows that another
machine computes what this one did. How far each graph is from PyTorch is measured, and what that does to answers is
measured on the whole bundle.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
"""Of fp16, for accelerators: a CPU computes its graphs in float32 with conversions in between, and rounds less often.
One rounding moves a value by at most 2^-11 of itself; the sample models, computed in float16 throughout by PyTorch on a
CPU, moved their logits (to 15) and states (to 20) by at most 0.011."""

_LARGEST_TOLERANCE = 0.1
"""What a manifest may say at most."""

Graphs = Mapping[GraphRole, WrittenGraph]


@dataclass(frozen=True)
class WrittenVariant:
    """One precision of a bundle.

    Attributes:
        entry: its part of the manifest.
        files: its graphs and their proof.
        differences: the largest difference, absolute, of each graph's outputs from PyTorch in float32, over the golden
            runs on this machine.
    """

    entry: Variant
    files: Mapping[str, bytes]
    differences: Mapping[GraphRole, float]


def write_variant(trained: TrainedModel, precision: Precision, opset: int = OPSET) -> WrittenVariant:
    """Write and prove the graphs of one precision.

    Raises:
        ExportError: the weights do not fit float16, or a graph gives something else than PyTorch.
    """
    graphs = write_graphs(trained.network, precision, opset)
    in_pytorch = golden_cases(trained, graphs)
    in_graphs = _own_runs(graphs, in_pytorch, float16=precision == "fp16")
    differences = _differences(in_graphs, in_pytorch)
    golden = _golden(precision, max(differences.values()))
    if golden.reference == "pytorch":
        _check_close(in_graphs, in_pytorch, golden, precision)
    raw = write_golden(in_pytorch if golden.reference == "pytorch" else in_graphs)
    files = {graph.signature.file: graph.raw for graph in graphs.values()} | {golden.file: raw}
    entry = Variant(graphs={role: graph.signature for role, graph in graphs.items()}, golden=golden)
    return WrittenVariant(entry, files, differences)


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


def _golden(precision: Precision, difference: float) -> Golden:
    """Describe the recording of a variant whose largest difference from PyTorch is this.

    Where a CPU's float32 differs in the last bit, an activation of int8 can be rounded to the neighbouring integer.
    That moves an output by less than quantisation itself did, which is therefore the tolerance.
    """
    absolute, relative = {
        "fp32": (_TOLERANCE, _TOLERANCE),
        "int8": (min(max(difference, _TOLERANCE), _LARGEST_TOLERANCE), _TOLERANCE),
        "fp16": (_HALF_ABSOLUTE, _HALF_RELATIVE),
    }[precision]
    return Golden(
        file=f"golden.{precision}.npz",
        reference="self" if precision == "int8" else "pytorch",
        absolute_tolerance=absolute,
        relative_tolerance=relative,
        deviation_from_fp32=0.0 if precision == "fp32" else difference,
        instruction_sets=list(instruction_sets()),
    )


def _own_runs(graphs: Graphs, others: Sequence[GoldenCase], *, float16: bool) -> list[GoldenCase]:
    """Run the graphs on the inputs of other runs."""
    runs = {
        role: open_session(graph.raw, graph.signature, where=graph.signature.file, float16=float16)
        for role, graph in graphs.items()
    }
    return [
        record_case(case.role, graphs[case.role].signature, runs[case.role], list(case.inputs.values()))
        for case in others
    ]


def _differences(found: Sequence[GoldenCase], expected: Sequence[GoldenCase]) -> dict[GraphRole, float]:
    """Return the largest difference of any output of each graph; NaN where there is one."""
    differences: dict[GraphRole, float] = {}
    for own, wanted in zip(found, expected, strict=True):
        largest = [np.abs(own.outputs[name] - output).max() for name, output in wanted.outputs.items()]
        differences[own.role] = float(np.max([differences.get(own.role, 0.0), *largest]))
    return differences


def _check_close(
    found: Sequence[GoldenCase], expected: Sequence[GoldenCase], golden: Golden, precision: Precision
) -> None:
    """Refuse graphs that every later replay would refuse."""
    for own, wanted in zip(found, expected, strict=True):
        for name, output in wanted.outputs.items():
            beyond = float((np.abs(own.outputs[name] - output) - golden.relative_tolerance * np.abs(output)).max())
            if not beyond <= golden.absolute_tolerance:
                advice = "; export in fp32 or int8" if precision == "fp16" else ""
                raise ExportError(
                    f"{precision} is off by {beyond:.3g} beyond {golden.relative_tolerance:g} of what PyTorch gives in "
                    f"graph {own.role}, output {name}; allowed are {golden.absolute_tolerance:g}{advice}"
                )
