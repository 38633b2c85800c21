"""One precision of a bundle: its graphs and their proof.   fp32 is proven against PyTorch, int8 against its own run.

A recording of itself shows that another machine computes what this one did; how far int8 is from fp32 is recorded
beside it, and what that does to answers is measured on the whole bundle.
"""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from service.bundle.manifest import Golden, GraphRole, Precision, Variant
from service.runtime.golden import GoldenCase, record_case, write_golden
from service.runtime.session import open_session
from training.export.golden import golden_cases
from training.export.graphs import classifier_graphs, labeller_graphs, language_model_graphs, seq2seq_graphs
from training.export.writer import WrittenGraph
from training.prepare import AnyTask
from training.tasks.classification import ClassificationTask
from training.tasks.generation import GenerationTask
from training.tasks.labelling import LabellingTask
from training.tasks.translation import TranslationTask

_TOLERANCE = 1e-5
"""Absolute, and relative too for logits of larger scale: float32 sums of a few hundred products, in another order."""

_LARGEST_TOLERANCE = 0.1
"""What a manifest may say at most."""

_INSTRUCTION_SETS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "asimd", "sve")

Graphs = Mapping[GraphRole, WrittenGraph]


@dataclass(frozen=True)
class _Proof:
    """Recorded runs, and how a replay is compared with them."""

    cases: Sequence[GoldenCase]
    tolerance: float
    deviation_from_fp32: float


def write_variant(task: AnyTask, precision: Precision) -> tuple[Variant, dict[str, bytes]]:
    """Write and prove the graphs of one precision; returns its part of the manifest, and its files."""
    graphs = _graphs(task, precision)
    in_pytorch = golden_cases(task, graphs)
    proof = _Proof(in_pytorch, _TOLERANCE, 0.0) if precision == "fp32" else _prove_by_itself(graphs, in_pytorch)
    golden = Golden(
        file=f"golden.{precision}.npz",
        reference="pytorch" if precision == "fp32" else "self",
        absolute_tolerance=proof.tolerance,
        relative_tolerance=_TOLERANCE,
        deviation_from_fp32=proof.deviation_from_fp32,
        instruction_sets=instruction_sets(),
    )
    files = {graph.signature.file: graph.raw for graph in graphs.values()} | {golden.file: write_golden(proof.cases)}
    return Variant(graphs={role: graph.signature for role, graph in graphs.items()}, golden=golden), files


def instruction_sets() -> list[str]:
    """Return which of the instruction sets that matter for numerics this CPU has, and its architecture."""
    try:
        known = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        known = set()
    return [platform.machine(), *(name for name in _INSTRUCTION_SETS if name in known)]


def _graphs(task: AnyTask, precision: Precision) -> dict[GraphRole, WrittenGraph]:
    match task:
        case ClassificationTask():
            return classifier_graphs(task.model, precision)
        case GenerationTask():
            return language_model_graphs(task.model, precision)
        case LabellingTask():
            return labeller_graphs(task.model, precision)
        case TranslationTask():
            return seq2seq_graphs(task.model, precision)


def _prove_by_itself(graphs: Graphs, in_fp32: Sequence[GoldenCase]) -> _Proof:
    """Record the graphs' own outputs on the inputs of fp32 runs.

    Where a CPU's float32 differs in the last bit, an activation can be rounded to the neighbouring integer. That moves
    an output by less than quantisation itself did, which is therefore the tolerance.
    """
    runs = {
        role: open_session(graph.raw, graph.signature, where=graph.signature.file) for role, graph in graphs.items()
    }
    cases = [
        record_case(case.role, graphs[case.role].signature, runs[case.role], list(case.inputs.values()))
        for case in in_fp32
    ]
    deviation = max(
        float(np.abs(own.outputs[name] - expected).max())
        for own, case in zip(cases, in_fp32, strict=True)
        for name, expected in case.outputs.items()
    )
    return _Proof(cases, min(max(deviation, _TOLERANCE), _LARGEST_TOLERANCE), deviation)
