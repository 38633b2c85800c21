"""The control of exactness: the same weights, quantised as anybody would, whose answers depend on their neighbours."""

from dataclasses import replace
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

from service.bundle.manifest import GraphRole
from service.bundle.store import OpenedBundle
from service.runtime.models import LoadedModel
from service.runtime.session import GraphSession, open_session


def stock_quantised(bundle: OpenedBundle, model: LoadedModel, folder: Path) -> LoadedModel:
    """The same model with every graph quantised by onnxruntime's `quantize_dynamic`."""
    sessions: dict[GraphRole, GraphSession] = {}
    for role, graph in bundle.manifest.variants["fp32"].graphs.items():
        source, target = folder / f"{role}.onnx", folder / f"{role}.int8.onnx"
        source.write_bytes(bundle.files[graph.file])
        quantize_dynamic(source, target, weight_type=QuantType.QInt8)
        assert any("Dynamic" in node.op_type for node in onnx.load(target).graph.node)
        sessions[role] = open_session(target.read_bytes(), graph, where=target.name)
    return replace(model, precision="int8", sessions=sessions)
