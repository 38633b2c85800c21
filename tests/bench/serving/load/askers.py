"""Ask a server of one of two protocols, text in and text out.   Each imports its client only when it is made.

The Open Inference Protocol's stubs are those of tritonclient, so whoever speaks it runs in the peers' environment.
"""

import struct
from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

from tests.bench.serving.load.spec import LoadSpec

TEXT, ANSWER, FINAL = "TEXT", "ANSWER", "triton_final_response"
"""Names of the tensors in the peers' models, and of what marks the end of a stream."""


Answer = tuple[str, int | None]
"""A text, and how many tokens it has, where the server says so."""


class Asker(Protocol):
    """One connection to a server."""

    async def ask(self, texts: Sequence[str]) -> list[Answer]:
        """The answers to texts, in their order."""
        ...

    def stream(self, text: str) -> AsyncIterator[tuple[str, int]]:
        """Pieces of text as they come, each with its number of tokens."""
        ...


def new_asker(spec: LoadSpec) -> Asker:
    """Connect to the server of a load."""
    return SeqserveAsker(spec) if spec.protocol == "seqserve" else OpenInferenceAsker(spec)


class SeqserveAsker:
    """Our asyncio client."""

    def __init__(self, spec: LoadSpec) -> None:
        from tests.bench.serving.load.client import LoadClient

        self._client = LoadClient(spec.target)
        self._spec = spec

    async def ask(self, texts: Sequence[str]) -> list[Answer]:
        model, options = self._spec.model, self._spec.options
        if self._spec.task == "classification":
            found = await self._client.classify(model, texts, **options)
            return [(one.best.label, 1) for one in found.classifications]
        translated = await self._client.translate(model, texts, **options)
        return [(one.text, one.token_count) for one in translated.translations]

    async def stream(self, text: str) -> AsyncIterator[tuple[str, int]]:
        async for chunk in self._client.generate(self._spec.model, text, **self._spec.options):
            yield chunk.text, chunk.token_count


class OpenInferenceAsker:
    """The public protocol's stubs over grpc.aio, without a client library's own work on top."""

    def __init__(self, spec: LoadSpec) -> None:
        import grpc
        from tritonclient.grpc import service_pb2, service_pb2_grpc

        self._messages: Any = service_pb2
        channel = grpc.aio.insecure_channel(
            spec.target, [("grpc.use_local_subchannel_pool", 1)]
        )  # shares no connection
        self._stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        self._model = spec.model

    async def ask(self, texts: Sequence[str]) -> list[Answer]:
        answers = _answers(await self._stub.ModelInfer(self._request(texts)))
        return [(text, None) for text in answers]

    async def stream(self, text: str) -> AsyncIterator[tuple[str, int]]:
        call = self._stub.ModelStreamInfer(iter([self._request([text], triton_enable_empty_final_response=True)]))
        async for message in call:
            if message.error_message:
                raise RuntimeError(message.error_message)
            response = message.infer_response
            for piece in _answers(response):
                yield piece, 1
            if response.parameters[FINAL].bool_param:
                return

    def _request(self, texts: Sequence[str], **parameters: bool) -> Any:
        raw = b"".join(struct.pack("<I", len(one)) + one for one in (text.encode() for text in texts))
        tensor = self._messages.ModelInferRequest.InferInputTensor(name=TEXT, datatype="BYTES", shape=[len(texts), 1])
        request = self._messages.ModelInferRequest(model_name=self._model, inputs=[tensor], raw_input_contents=[raw])
        for name, value in parameters.items():
            request.parameters[name].bool_param = value
        return request


def _answers(response: Any) -> list[str]:
    """The texts of the only output: raw, each after its length, or typed; none in a stream's empty last message."""
    if not response.raw_output_contents:
        return [one.decode() for output in response.outputs for one in output.contents.bytes_contents]
    raw, found, place = response.raw_output_contents[0], [], 0
    while place < len(raw):
        (size,) = struct.unpack_from("<I", raw, place)
        found.append(raw[place + 4 : place + 4 + size].decode())
        place += 4 + size
    return found
