"""Where the time goes: graphs are profiled with what they take, and the shares are of operators that they have."""

import os
import re

import onnx

from tests.bench.serving.parts.costs import FRONT, GRPC, MOST_OPERATORS, _profiled, _used
from tests.bundles import tiny_bundle


def test_a_graph_is_profiled_by_its_operators() -> None:
    manifest, files = tiny_bundle("translation")
    graph = manifest.variants["fp32"].graphs["decoder_step"]
    microseconds, each, shares = _profiled(files[graph.file], graph, 4, 16)
    assert float(microseconds.replace(",", "")) > 0
    assert float(each.replace(",", "")) <= float(microseconds.replace(",", ""))
    named = re.findall(r"(\w+) (\d+)%", shares)
    assert len(named) == MOST_OPERATORS
    exported = {node.op_type for node in onnx.load_from_string(files[graph.file]).graph.node}
    assert {name.removeprefix("Fused") for name, _ in named} <= exported, "but for what ONNX Runtime fuses"
    assert sum(int(share) for _, share in named) <= 100 + MOST_OPERATORS


def test_cpu_of_a_process_without_an_engine_is_the_fronts() -> None:
    used = _used(os.getpid())
    assert used[FRONT] + used[GRPC] > 0
    assert sum(used.values()) == used[FRONT] + used[GRPC]
