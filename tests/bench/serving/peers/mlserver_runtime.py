"""MLServer's custom runtime: the texts of an adaptive batch in one go.   Runs in MLServer's environment."""

from pathlib import Path

from mlserver import MLModel
from mlserver.codecs import StringCodec
from mlserver.types import InferenceRequest, InferenceResponse

from tests.bench.serving.peers.bare_models import load


class Answers(MLModel):  # type: ignore[misc]
    """Answers a tensor of texts with a tensor of texts."""

    async def load(self) -> bool:
        """Open the bundle that the model's settings name."""
        self._answering = load(Path(self.settings.parameters.uri))
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer what MLServer has put together."""
        texts = StringCodec.decode_input(payload.inputs[0])
        answers = [text for text, _ in self._answering.answers(list(texts))]
        return InferenceResponse(model_name=self.name, outputs=[StringCodec.encode_output("ANSWER", answers)])
