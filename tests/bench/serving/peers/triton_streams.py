"""Triton's python backend for streamed generation: decoupled, all prompts of a batch step together.

Copied into the model repository as `model.py`; runs in Triton's environment.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from tests.bench.serving.peers.bare_models import BareGenerator, onnx_run


class TritonPythonModel:
    """The class that Triton looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the bundle that the configuration names."""
        parameters = {
            name: value["string_value"] for name, value in json.loads(args["model_config"])["parameters"].items()
        }
        folder = Path(parameters["folder"])
        run = onnx_run(folder, int(parameters["threads"]))
        self._model = BareGenerator(folder, run, int(parameters["token_count"]))

    def execute(self, requests: list[Any]) -> None:
        """Send every token of every request as it is written."""
        senders = [request.get_response_sender() for request in requests]
        prompts = [_text(request) for request in requests]
        texts = [self._model.new_text() for _ in requests]
        for step in self._model.steps(prompts):
            for row, token in step:
                senders[row].send(_response(texts[row](token)))
        for sender in senders:
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)


def _text(request: Any) -> str:
    text: bytes = pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy().reshape(-1)[0]
    return text.decode()


def _response(text: str) -> Any:
    return pb_utils.InferenceResponse([pb_utils.Tensor("ANSWER", np.array([[text.encode()]], dtype=np.object_))])
