"""What a stock Triton client sees of a server: run as a process of its own, for it shares no process with our stubs.

`python stock_client.py TARGET SCENARIO...` prints a JSON object: what each scenario found, or its traceback.
"""

import asyncio
import json
import queue
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException

from tests.e2e.stock_inputs import (
    LENGTHS,
    MELODY,
    PROMPT,
    READINGS,
    SEARCH,
    SENTENCES,
    SOURCES,
    TEXTS,
    TOKEN_IDS,
)

CLASSIFIER, TAGGER, FORECASTER = "tiny-classification", "tiny-labelling", "tiny-labelling-features"
GENERATOR, TRANSLATOR = "tiny-generation", "tiny-translation"
DTYPES = {"BYTES": object, "INT64": np.int64, "INT32": np.int32, "FP64": np.float64, "FP32": np.float32}
STREAM_SECONDS = 20


def tensor(name: str, values: Any, datatype: str) -> Any:
    """An input, as a caller makes it of a numpy array."""
    array = np.array(values, dtype=DTYPES[datatype])
    given = triton.InferInput(name, array.shape, datatype)
    given.set_data_from_numpy(array)
    return given


def texts(values: Sequence[object], name: str = "texts") -> list[Any]:
    return [tensor(name, values, "BYTES")]


def plain(result: Any) -> dict[str, Any]:
    """A reply as JSON can hold it."""
    response = result.get_response()
    return {
        "id": response.id,
        "model": f"{response.model_name}@{response.model_version}",
        "parameters": {
            name: getattr(one, one.WhichOneof("parameter_choice")) for name, one in response.parameters.items()
        },
        "outputs": {output.name: result.as_numpy(output.name).tolist() for output in response.outputs},
    }


def failure(call: Callable[[], object]) -> dict[str, str]:
    """How a call failed, as the client raises it."""
    try:
        call()
    except InferenceServerException as error:
        return {"status": str(error.status()), "message": error.message()}
    raise AssertionError("it did not fail")


def servers_and_models(client: Any) -> object:
    return {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model ready": client.is_model_ready(CLASSIFIER),
        "version ready": client.is_model_ready(CLASSIFIER, "1"),
        "server": client.get_server_metadata(as_json=True),
        "metadata": client.get_model_metadata(TAGGER, as_json=True),
        "config": client.get_model_config(GENERATOR, as_json=True)["config"],
        "index": client.get_model_repository_index(as_json=True)["models"],
        "unknown model": failure(lambda: client.is_model_ready("nobody")),
        "unknown version": failure(lambda: client.get_model_metadata(CLASSIFIER, "9")),
        "no version": failure(lambda: client.get_model_config(CLASSIFIER, "newest")),
    }


def texts_in(client: Any) -> object:
    return {
        CLASSIFIER: plain(client.infer(CLASSIFIER, texts(TEXTS), request_id="id é 1")),
        "column": plain(client.infer(CLASSIFIER, texts([[text] for text in TEXTS]))),
        "gzip": plain(client.infer(CLASSIFIER, texts(TEXTS), compression_algorithm="gzip")),
        TAGGER: plain(client.infer(TAGGER, texts(SENTENCES))),
        TRANSLATOR: plain(client.infer(TRANSLATOR, texts(SOURCES), parameters=SEARCH)),
        "greedy": plain(client.infer(TRANSLATOR, texts(SOURCES), model_version="1")),
    }


def tensors_in(client: Any) -> object:
    lengths = tensor("lengths", LENGTHS, "INT64")
    narrow = [tensor("token_ids", TOKEN_IDS, "INT32"), tensor("lengths", [[one] for one in LENGTHS], "INT32")]
    return {
        CLASSIFIER: plain(client.infer(CLASSIFIER, [tensor("token_ids", TOKEN_IDS, "INT64"), lengths])),
        "narrow": plain(client.infer(CLASSIFIER, narrow)),
        TAGGER: plain(client.infer(TAGGER, [tensor("token_ids", TOKEN_IDS, "INT64"), lengths])),
        FORECASTER: plain(client.infer(FORECASTER, [tensor("features", READINGS, "FP64")])),
        "single": plain(client.infer(FORECASTER, [tensor("features", READINGS, "FP32")])),
    }


def outputs_chosen(client: Any) -> object:
    wanted = [triton.InferRequestedOutput("probabilities", class_count=1), triton.InferRequestedOutput("logits")]
    return {
        "chosen": plain(client.infer(CLASSIFIER, texts(TEXTS), outputs=wanted)),
        "unknown": failure(
            lambda: client.infer(CLASSIFIER, texts(TEXTS), outputs=[triton.InferRequestedOutput("nothing")])
        ),
    }


def parameters_given(client: Any) -> object:
    def refused(name: str, value: object, model: str = TRANSLATOR) -> dict[str, str]:
        return failure(lambda: client.infer(model, texts(TEXTS), parameters={name: value}))

    return {
        "reserved": plain(client.infer(CLASSIFIER, texts(TEXTS), priority=1, timeout=10_000_000)),
        "top": plain(client.infer(TAGGER, texts(SENTENCES), parameters={"top_label_count": 1})),
        "sampled": plain(client.infer(TRANSLATOR, texts(SOURCES), parameters={"temperature": 0.5, "seed": 5})),
        "too wide": refused("beam_size", 33),
        "wrong type": refused("beam_size", "wide"),
        "unknown": refused("beam_sise", 4),
        "of another task": refused("beam_size", 4, CLASSIFIER),
        "sequence": failure(lambda: client.infer(CLASSIFIER, texts(TEXTS), sequence_id=7, sequence_start=True)),
    }


def refusals(client: Any) -> object:
    shared = triton.InferInput("texts", [1], "BYTES")
    shared.set_shared_memory("region", 64)
    beside = [*texts(TEXTS), triton.InferInput("token_ids", [3, 1], "INT64")]
    beside[1].set_shared_memory("region", 64)
    out = triton.InferRequestedOutput("logits")
    out.set_shared_memory("region", 64)
    return {
        "blank": failure(lambda: client.infer(CLASSIFIER, texts(["fine", " "]))),
        "too many": failure(lambda: client.infer(TRANSLATOR, texts(["a"] * 65))),
        "another datatype": failure(lambda: client.infer(CLASSIFIER, [tensor("texts", [1], "INT64")])),
        "another shape": failure(lambda: client.infer(CLASSIFIER, texts([["a", "b"]]))),
        "another input": failure(lambda: client.infer(CLASSIFIER, texts(["a"], name="text"))),
        "nothing": failure(lambda: client.infer(CLASSIFIER, [])),
        "a token id too many": failure(lambda: client.infer(CLASSIFIER, [tensor("token_ids", [[4, 9999]], "INT64")])),
        "no time": failure(lambda: client.infer(CLASSIFIER, texts(TEXTS), client_timeout=0.000_001)),
        "no time in the queue": failure(lambda: client.infer(CLASSIFIER, texts(TEXTS), timeout=1)),
        "decoupled": failure(lambda: client.infer(GENERATOR, texts([PROMPT], "prompt"))),
        "shared input": failure(lambda: client.infer(CLASSIFIER, [shared])),
        "shared beside raw": failure(lambda: client.infer(CLASSIFIER, beside)),
        "shared output": failure(lambda: client.infer(CLASSIFIER, texts(TEXTS), outputs=[out])),
        "shared memory": failure(lambda: client.register_system_shared_memory("region", "/region", 64)),
        "traces": failure(client.get_trace_settings),
        "logs": failure(client.get_log_settings),
        "load": failure(lambda: client.load_model(CLASSIFIER)),
        "unload": failure(lambda: client.unload_model(CLASSIFIER)),
    }


def callbacks(client: Any) -> object:
    """Calls whose replies come to a callback, on threads of the client."""
    waiting: queue.Queue[Any] = queue.Queue()
    for index in range(8):
        client.async_infer(
            CLASSIFIER, texts(TEXTS), lambda result, error: waiting.put((result, error)), request_id=str(index)
        )
    found = [waiting.get(timeout=STREAM_SECONDS) for _ in range(8)]
    return sorted(plain(result)["id"] for result, error in found if error is None)


def told(waiting: "queue.Queue[Any]") -> list[Any]:
    found = []
    while not waiting.empty():
        result, error = waiting.get()
        found.append(plain(result) if error is None else {"error": error.message(), "status": str(error.status())})
    return found


def stream(client: Any) -> object:
    """Generations, failures and a classification on one stream, which is closed when all have been answered."""
    waiting: queue.Queue[Any] = queue.Queue()
    client.start_stream(lambda result, error: waiting.put((result, error)))
    prompt = texts([PROMPT], "prompt")
    client.async_stream_infer(GENERATOR, prompt, request_id="g", parameters=MELODY, enable_empty_final_response=True)
    client.async_stream_infer("nobody", prompt, request_id="n")
    client.async_stream_infer(GENERATOR, prompt, request_id="b", parameters={"top_k": 0})
    client.async_stream_infer(CLASSIFIER, texts(TEXTS), request_id="c")
    client.stop_stream()
    return told(waiting)


def ordered_stream(client: Any) -> object:
    waiting: queue.Queue[Any] = queue.Queue()
    client.start_stream(lambda result, error: waiting.put((result, error)))
    for index in range(200):
        client.async_stream_infer(CLASSIFIER, texts(TEXTS[: 1 + index % 3]), request_id=str(index))
    client.stop_stream()
    return [one["id"] for one in told(waiting)]


def stream_with_statuses(client: Any) -> object:
    waiting: queue.Queue[Any] = queue.Queue()
    client.start_stream(lambda result, error: waiting.put((result, error)), headers={"triton_grpc_error": "true"})
    client.async_stream_infer("nobody", texts(TEXTS))
    found = [waiting.get(timeout=STREAM_SECONDS)]
    client.stop_stream()
    return [{"error": error.message(), "status": str(error.status())} for _, error in found]


def cancelled_stream(client: Any) -> object:
    waiting: queue.Queue[Any] = queue.Queue()
    client.start_stream(lambda result, error: waiting.put((result, error)))
    for _ in range(4):
        client.async_stream_infer(GENERATOR, texts([PROMPT], "prompt"), parameters={"max_output_token_count": 250})
    waiting.get(timeout=STREAM_SECONDS)
    client.stop_stream(cancel_requests=True)
    return plain(client.infer(CLASSIFIER, texts(TEXTS)))["outputs"]["labels"]


def statistics(client: Any) -> object:
    def told() -> Any:
        return client.get_inference_statistics(CLASSIFIER, as_json=True)["model_stats"]

    before = told()
    for _ in range(3):
        client.infer(CLASSIFIER, texts(TEXTS))
    failure(lambda: client.infer(CLASSIFIER, texts(["good " * 65])))
    every = client.get_inference_statistics(as_json=True)["model_stats"]
    return {"before": before, "after": told(), "names": [one["name"] for one in every]}


def control(client: Any) -> object:
    """A server that lets clients load and unload models."""

    def index() -> Any:
        models = client.get_model_repository_index(as_json=True)["models"]
        return [one for one in models if one["name"] == CLASSIFIER]

    found = {"before": index()}
    client.unload_model(CLASSIFIER)
    found["unloaded"], found["ready"] = index(), client.is_model_ready(CLASSIFIER)
    found["refused"] = failure(lambda: client.infer(CLASSIFIER, texts(TEXTS)))
    client.load_model(CLASSIFIER)
    found["loaded"] = index()
    found["answer"] = plain(client.infer(CLASSIFIER, texts(TEXTS)))["model"]
    found["config"] = failure(lambda: client.load_model(CLASSIFIER, config="{}"))
    found["files"] = failure(lambda: client.load_model(CLASSIFIER, config="{}", files={"file:1/model.onnx": b""}))
    found["nobody"] = failure(lambda: client.load_model("nobody"))
    return found


async def aio(client: Any) -> object:
    """The same calls by the client's asyncio twin."""

    async def requests() -> AsyncIterator[dict[str, Any]]:
        generation = {"model_name": GENERATOR, "inputs": texts([PROMPT], "prompt"), "request_id": "g"}
        yield {**generation, "parameters": MELODY}
        yield {"model_name": "nobody", "inputs": texts(TEXTS)}

    streamed = client.stream_infer(requests())
    found = [plain(result) if error is None else {"error": error.message()} async for result, error in streamed]
    try:
        await client.infer(CLASSIFIER, texts([" "]))
    except InferenceServerException as error:
        refused = {"status": str(error.status()), "message": error.message()}
    answers = await asyncio.gather(*[client.infer(CLASSIFIER, texts(TEXTS), request_id=str(i)) for i in range(8)])
    return {
        "live": await client.is_server_live(),
        "ids": [plain(answer)["id"] for answer in answers],
        "labels": plain(answers[0])["outputs"]["labels"],
        "stream": found,
        "refused": refused,
    }


SCENARIOS: dict[str, Callable[[Any], object]] = {
    scenario.__name__: scenario
    for scenario in (
        servers_and_models, texts_in, tensors_in, outputs_chosen, parameters_given, refusals, callbacks, stream,
        ordered_stream, stream_with_statuses, cancelled_stream, statistics, control,
    )
}  # fmt: skip


async def run_aio(target: str) -> object:
    async with triton_aio.InferenceServerClient(target) as client:
        return await aio(client)


def run(target: str, name: str) -> object:
    if name == "aio":
        return asyncio.run(run_aio(target))
    with triton.InferenceServerClient(target) as client:
        return SCENARIOS[name](client)


def outcome(target: str, name: str) -> dict[str, object]:
    try:
        return {"found": run(target, name)}
    except Exception:  # noqa: BLE001 - whatever it is, the test that asks for it shows it
        return {"failed": traceback.format_exc()}


def as_text(value: object) -> str:
    """Elements of BYTES tensors come as bytes."""
    assert isinstance(value, bytes)
    return value.decode()


if __name__ == "__main__":
    target, *names = sys.argv[1:]
    json.dump({name: outcome(target, name) for name in names}, sys.stdout, default=as_text)
