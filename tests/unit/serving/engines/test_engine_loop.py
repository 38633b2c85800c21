"""The engine and its models: one that is forgotten is gone, one that breaks goes on, and whoever waits is told."""

import dataclasses
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import pytest
from msgspec.structs import replace

from service.bundle.store import open_bundle, publish_bundle
from service.engine.batches import pad_ids
from service.engine.requests import DecodeOptions
from service.engine.steps import Classify, FloatArray, IntArray
from service.errors import BundleError, InferenceFailedError, ModelNotReadyError
from service.runtime.models import ClassifierModel, load_model
from service.serving.engines import engine_loop, exactness
from service.serving.engines.batcher import BatchedGraph, Batcher
from service.serving.engines.engine_loop import MOST_HELD_RUNS, EngineLimits, EngineLoop, run_engine
from service.serving.engines.exactness import is_exact, prove_exact, random_steps
from service.serving.engines.messages import (
    Cancel,
    Classified,
    ClassifyWork,
    Command,
    Decoded,
    DecodeWork,
    Event,
    Failed,
    Load,
    Loaded,
    LoadFailed,
    Ran,
    Stop,
    StopSample,
    Unload,
)
from service.serving.engines.scheduler import Scheduler
from tests.bundles import publish_tiny, rehashed, tiny_bundle
from tests.fakes import CountingRows, lengths_classifier

MODEL = 7


@pytest.fixture
def engine() -> EngineLoop:
    return EngineLoop(EngineLimits(max_batch_size=4, decode_slots=4, padding_budget=1.0))


def loaded(engine: EngineLoop) -> list[Event]:
    """What the engine tells once every model is open, or is not."""
    events: list[Event] = []
    until = time.monotonic() + 20
    while engine.loading and time.monotonic() < until:
        events += engine.turn()
        time.sleep(0.005)
    return events


def classify(work_id: int, *, token: int = 3) -> ClassifyWork:
    return ClassifyWork(work_id, MODEL, [[token]], time.monotonic(), time.monotonic() + 20)


def decode(work_id: int, *, limit: int = 5, seconds: float = 20.0) -> DecodeWork:
    return DecodeWork(work_id, MODEL, [[3]], time.monotonic(), time.monotonic() + seconds, DecodeOptions(limit))


def mixed_over_rows(raw: bytes) -> bytes:
    """A classifier whose logits have a thousandth of the largest of the whole batch in them."""
    model = onnx.load_from_string(raw)
    (last,) = (node for node in model.graph.node if "logits" in node.output)
    last.output[:] = ["own" if name == "logits" else name for name in last.output]
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(1e-3, np.float32), "little"))
    model.graph.node.extend(
        [
            onnx.helper.make_node("ReduceMax", ["own"], ["largest"], axes=[0], keepdims=1),
            onnx.helper.make_node("Mul", ["largest", "little"], ["leak"]),
            onnx.helper.make_node("Add", ["own", "leak"], ["logits"]),
        ]
    )
    return model.SerializeToString()


@pytest.mark.parametrize("is_mixed", [False, True], ids=["rows by themselves", "rows that are mixed"])
def test_a_load_tells_whether_the_model_is_exact(engine: EngineLoop, tmp_path: Path, is_mixed: bool) -> None:
    manifest, files = tiny_bundle("classification")
    variant = manifest.variants["fp32"]
    if is_mixed:
        graph = variant.graphs["classifier"].file
        files[graph] = mixed_over_rows(files[graph])
    lenient = variant.golden.model_copy(update={"absolute_tolerance": 0.1})
    manifest = manifest.model_copy(update={"variants": {"fp32": variant.model_copy(update={"golden": lenient})}})
    engine.handle(Load(MODEL, str(publish_bundle(tmp_path, rehashed(manifest, files), files)), "cpu"))
    (told,) = loaded(engine)
    assert isinstance(told, Loaded), told
    assert told.exact is not is_mixed


def test_int8_is_not_called_exact_where_its_ranges_do_not_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fp32 = load_model(open_bundle(publish_tiny(tmp_path, "classification")))
    assert isinstance(fp32, ClassifierModel)
    int8 = dataclasses.replace(fp32, precision="int8")
    assert is_exact(int8)
    monkeypatch.setattr(exactness, "pins_hold", lambda: False)
    assert is_exact(fp32)
    assert not is_exact(int8)
    with pytest.raises(BundleError, match="mine: not exact on this machine, whose tanh or sigmoid is larger"):
        prove_exact(int8, where="mine")


@pytest.mark.parametrize(
    ("precision", "device", "warned"), [("int8", "cuda", True), ("fp32", "cuda", False), ("int8", "cpu", False)]
)
def test_operators_for_cpus_on_a_gpu_are_warned_of(
    engine: EngineLoop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    precision: str, device: str, warned: bool,
) -> None:  # fmt: skip
    path = publish_tiny(tmp_path, "classification")
    model = dataclasses.replace(load_model(open_bundle(path)), precision=precision, provider=device)
    monkeypatch.setattr(engine_loop, "load_model", lambda *_, **__: model)
    engine.handle(Load(MODEL, str(path), device))
    (told,) = loaded(engine)
    assert isinstance(told, Loaded)
    assert ("int8_on_cuda" in caplog.text) is warned


def test_a_vocabulary_of_hardly_any_tokens_can_be_tried(tmp_path: Path) -> None:
    model = load_model(open_bundle(publish_tiny(tmp_path, "classification")))
    assert isinstance(model, ClassifierModel)
    text = model.spec.text.model_copy(update={"vocabulary_size": 3})
    small = dataclasses.replace(model, spec=model.spec.model_copy(update={"text": text}))
    assert {step for steps in random_steps(small, 20, np.random.default_rng(1)) for step in steps} <= {0, 1, 2}
    assert is_exact(small)


WORKS = [
    pytest.param("classification", classify, id="batches"),
    pytest.param("generation", decode, id="steps"),
]


def test_a_model_for_whose_rows_there_is_no_memory_costs_no_other(tmp_path: Path) -> None:
    engine = EngineLoop(EngineLimits(max_batch_size=4, decode_slots=1 << 50, padding_budget=1.0))
    engine.handle(Load(MODEL + 1, str(publish_tiny(tmp_path, "translation")), "cpu"))
    (failed,) = loaded(engine)
    assert isinstance(failed, LoadFailed)
    assert failed.message.startswith("no queue could be made for it: ")
    engine.handle(Load(MODEL, str(publish_tiny(tmp_path, "classification")), "cpu"))
    assert isinstance(loaded(engine)[0], Loaded)
    assert engine.handle(classify(1)) == []
    assert [type(event) for event in engine.turn()][-1] is Classified


def test_a_model_for_whose_opening_there_is_no_thread_is_told(tmp_path: Path) -> None:
    def refuse(_: Callable[[], None]) -> None:
        raise RuntimeError("can't start new thread")

    engine = EngineLoop(EngineLimits(max_batch_size=4, decode_slots=4, padding_budget=1.0), refuse)
    (failed,) = engine.handle(Load(MODEL, str(publish_tiny(tmp_path, "classification")), "cpu"))
    assert failed == LoadFailed(MODEL, "it could not be opened: can't start new thread")
    assert not engine.loading


def test_a_model_that_is_unloaded_while_it_is_being_opened_is_not_kept(engine: EngineLoop, tmp_path: Path) -> None:
    path = str(publish_tiny(tmp_path, "classification"))
    engine.handle(Load(MODEL, path, "cpu"))
    engine.handle(Unload(MODEL))
    assert loaded(engine) == [LoadFailed(MODEL, "the model was unloaded before it was open")]
    (refused,) = engine.handle(classify(1))
    assert isinstance(refused, Failed)
    assert refused.reason == ModelNotReadyError.reason
    engine.handle(Load(MODEL + 1, path, "cpu"))
    assert [type(event) for event in loaded(engine)] == [Loaded]


@pytest.mark.parametrize(("task", "make"), WORKS)
def test_work_that_an_unloaded_model_has_is_answered(
    engine: EngineLoop, tmp_path: Path, task: str, make: Callable[[int], Command]
) -> None:
    engine.handle(Load(MODEL, str(publish_tiny(tmp_path, task)), "cpu"))
    loaded(engine)
    assert engine.handle(make(1)) == engine.handle(make(2)) == []
    events = engine.handle(Unload(MODEL))
    assert events == [Failed(number, ModelNotReadyError.reason, "the model was unloaded") for number in (1, 2)]
    assert not engine.busy


class Brittle(CountingRows):
    """Breaks once, when the first row leaves: its request has ended by then, and the row is not free yet."""

    broke = False

    def moved(self, *, sources: bool) -> None:
        if self.batches and not self.broke:
            self.broke = True
            raise TypeError("a move that nobody expected")


def stepping_by(engine: EngineLoop, model: CountingRows) -> EngineLoop:
    engine._queues[MODEL] = Scheduler(
        MODEL, model, graphs=("encoder", "decoder_step"), slots=2, max_batch_size=4, max_tokens=99, padding_budget=1.0
    )
    return engine


@pytest.fixture
def stepping(engine: EngineLoop) -> EngineLoop:
    """An engine with one model, which breaks once."""
    return stepping_by(engine, Brittle())


def told(events: list[Event]) -> list[tuple[int, str]]:
    """Who is told what, apart from measurements."""
    return [
        (event.work_id, event.reason if isinstance(event, Failed) else type(event).__name__)
        for event in events
        if isinstance(event, Failed | Decoded | Classified)
    ]


def finished(engine: EngineLoop) -> list[Event]:
    events: list[Event] = []
    while engine.busy:
        events += engine.turn()
    return events


def test_an_error_in_a_turn_loses_no_answer_and_leaves_every_row_free(stepping: EngineLoop) -> None:
    stepping.handle(decode(1, limit=1))
    stepping.handle(decode(2))
    stepping.handle(decode(3, seconds=-1.0))
    assert told(stepping.turn()) == [(3, "DEADLINE_EXCEEDED"), (1, "INFERENCE_FAILED"), (2, "INFERENCE_FAILED")]
    for number in (4, 5):
        stepping.handle(decode(number))
    assert told(finished(stepping)) == [(4, "Decoded"), (5, "Decoded")]


def test_an_error_while_a_work_is_cancelled_costs_its_model_alone(stepping: EngineLoop) -> None:
    stepping.handle(decode(1))
    stepping.handle(decode(2))
    stepping.turn()
    assert told(stepping.handle(Cancel(1))) == [(2, "INFERENCE_FAILED")]
    stepping.handle(decode(3))
    assert told(finished(stepping)) == [(3, "Decoded")]


def test_an_error_while_a_sample_is_stopped_costs_its_model_alone(stepping: EngineLoop) -> None:
    stepping.handle(decode(1))
    stepping.turn()
    assert told(stepping.handle(StopSample(1, 0))) == [(1, "INFERENCE_FAILED")]
    stepping.handle(decode(2))
    assert told(finished(stepping)) == [(2, "Decoded")]


def test_an_error_among_rows_that_run_one_by_one_loses_no_answer(engine: EngineLoop) -> None:
    def run(token_ids: IntArray, lengths: IntArray) -> FloatArray:
        if len(token_ids) > 1:
            raise InferenceFailedError("the graph broke")
        if token_ids[0, 0] == 4:
            raise TypeError("a value that nobody expected")
        return np.zeros((1, 2), dtype=np.float32)

    engine._queues[MODEL] = batcher_of(run)
    engine.handle(classify(1))
    engine.handle(classify(2, token=4))
    assert told(engine.turn()) == [(1, "Classified"), (2, "INFERENCE_FAILED")]


def delivered(engine: EngineLoop, *commands: Command | None) -> list[list[Event]]:
    """What an engine tells that is sent a command, or none, before each turn; and Stop when nothing is left to do."""
    waiting = list(commands)
    messages: list[list[Event]] = []

    def receive(timeout: float | None) -> list[Command]:
        if not waiting:
            return [Stop()] if timeout is None else []
        command = waiting.pop(0)
        return [] if command is None else [command]

    run_engine(engine, receive, messages.append)
    return messages


@pytest.fixture
def steady(engine: EngineLoop) -> EngineLoop:
    """An engine with one model."""
    return stepping_by(engine, CountingRows())


def test_runs_are_told_with_the_answer_that_they_led_to(steady: EngineLoop) -> None:
    (message,) = delivered(steady, decode(1, limit=5))
    assert [type(event) for event in message] == [*[Ran] * 6, Decoded]


def test_runs_without_an_answer_for_long_are_told_by_themselves(steady: EngineLoop) -> None:
    first, *_, last = delivered(steady, decode(1, limit=2 * MOST_HELD_RUNS))
    assert [type(event) for event in first] == [Ran] * MOST_HELD_RUNS
    assert isinstance(last[-1], Decoded)


def test_runs_are_told_before_the_engine_rests(steady: EngineLoop) -> None:
    (message,) = delivered(steady, decode(1, limit=5), None, Cancel(1))
    assert [type(event) for event in message] == [Ran] * 3


def test_a_work_that_cannot_be_read_fails_alone(engine: EngineLoop) -> None:
    engine._queues[MODEL] = batcher_of(lengths_classifier())
    engine.handle(classify(1))
    assert told(engine.handle(replace(classify(2), states=[b"abc"]))) == [(2, "INFERENCE_FAILED")]
    assert told(finished(engine)) == [(1, "Classified")]


def batcher_of(run: Classify) -> Batcher:
    graph = BatchedGraph("classifier", partial(pad_ids, pad_id=0), run)
    return Batcher(MODEL, graph, max_batch_size=4, max_tokens=99, padding_budget=1.0)


def test_runs_that_were_held_are_told_when_the_engine_ends(steady: EngineLoop) -> None:
    messages = delivered(steady, decode(1, limit=50), None, Stop())
    assert [type(event) for message in messages for event in message] == [Ran] * 3
