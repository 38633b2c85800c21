"""Triton's python backend for classification and translation: the texts of all requests of a batch in one go.

Copied into the model repository as `model.py`; runs in Triton's environment.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from tests.bench.serving.peers.bare_models import load, onnx_run


class TritonPythonModel:
    """The class that Triton looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the bundle that the configuration names."""
        parameters = json.loads(args["model_config"])["parameters"]
        folder, threads = Path(parameters["folder"]["string_value"]), int(parameters["threads"]["string_value"])
        self._model = load(folder, onnx_run(folder, threads))

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer a batch of requests, each of one or more texts."""
        texts = [_texts(request) for request in requests]
        answers = iter(self._model.answers([text for some in texts for text in some]))
        responses = []
        for some in texts:
            found = np.array([[next(answers)[0].encode()] for _ in some], dtype=np.object_)
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("ANSWER", found)]))
        return responses


def _texts(request: Any) -> list[str]:
    tensor = pb_utils.get_input_tensor_by_name(request, "TEXT").as_numpy()
    return [text.decode() for text in tensor.reshape(-1).tolist()]
