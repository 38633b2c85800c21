"""The engine and its models: what is forgotten is gone, and whoever waits for it is told."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from service.engine.requests import DecodeOptions
from service.errors import ModelNotReadyError
from service.serving.engines.engine_loop import EngineLimits, EngineLoop
from service.serving.engines.messages import (
    ClassifyWork,
    Command,
    DecodeWork,
    Event,
    Failed,
    Load,
    Loaded,
    LoadFailed,
    Unload,
)
from tests.bundles import publish_tiny

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


def classify(work_id: int) -> ClassifyWork:
    return ClassifyWork(work_id, MODEL, [[3]], time.monotonic(), time.monotonic() + 20)


def decode(work_id: int) -> DecodeWork:
    return DecodeWork(work_id, MODEL, [[3]], time.monotonic(), time.monotonic() + 20, DecodeOptions(5))


WORKS = [
    pytest.param("classification", classify, id="batches"),
    pytest.param("generation", decode, id="steps"),
]


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
