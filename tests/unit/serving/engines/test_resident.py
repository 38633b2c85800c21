"""Rows whose state and sources stay where the graph runs: the same bits as rows that send all at every step."""

from pathlib import Path

import numpy as np
import pytest

from service.bundle.store import OpenedBundle
from service.engine.requests import DecodeOptions, DecodeRequest
from service.engine.steps import RowModel
from service.runtime.bound import BoundStep
from service.runtime.models import LanguageModel, TranslationModel, load_model
from service.runtime.session import Array
from service.serving.engines.engine_loop import decoding_rows, resident_rows
from service.serving.engines.exactness import RecordingLoop, Trace, decode_requests, random_steps
from service.serving.engines.resident import ResidentRows
from tests.bundles import tiny_bundle

SLOTS = 17


def tiny(task: str, *, plain: bool = False) -> LanguageModel | TranslationModel:
    manifest, files = tiny_bundle(task, plain=plain)
    model = load_model(OpenedBundle(Path("anywhere"), manifest, "digest", files))
    assert isinstance(model, LanguageModel | TranslationModel)
    return model


MODELS = pytest.mark.parametrize(
    ("task", "plain"),
    [
        pytest.param("generation", False, id="a language model"),
        pytest.param("translation", False, id="a translator"),
        pytest.param("translation", True, id="a translator without attention"),
    ],
)


def answers(rows: RowModel, requests: list[DecodeRequest]) -> dict[int, tuple[Trace, str]]:
    """What comes of requests that join at random times, as others leave."""
    random, loop, waiting = np.random.default_rng(6), RecordingLoop(rows, capacity=SLOTS), list(requests)
    while waiting or loop.count:
        for _ in range(int(random.integers(0, 4))):
            if waiting and waiting[-1].options.row_count <= loop.free:
                loop.join([waiting.pop()])
        loop.step()
    return loop.answers()


@MODELS
def test_every_answer_has_the_same_bits(task: str, plain: bool) -> None:
    model, random = tiny(task, plain=plain), np.random.default_rng(5)
    requests = decode_requests(model, random_steps(model, 60, random), random)
    assert answers(resident_rows(model, SLOTS), requests) == answers(decoding_rows(model), requests)


class CountingStep(BoundStep):
    """Notes what is sent to the device."""

    sent: list[str]

    def fill(self, state: Array, *source: Array) -> None:
        """As its parent."""
        self.sent.append("all")
        super().fill(state, *source)

    def fill_state(self, state: Array) -> None:
        """As its parent, which calls it to fill all."""
        self.sent.append("state")
        super().fill_state(state)


def sent_by(options: DecodeOptions) -> list[str]:
    """What two steps of one row, or beam, after another's end send."""
    model = tiny("translation")
    step = CountingStep(model.sessions["decoder_step"], rows=SLOTS)
    step.sent = []
    loop = RecordingLoop(ResidentRows(decoding_rows(model), step), capacity=SLOTS)
    loop.join([DecodeRequest(1, np.array([5, 6]), options)])
    for _ in range(4):
        loop.step()
    return step.sent


def test_nothing_is_sent_while_rows_stay_where_they_are() -> None:
    assert sent_by(DecodeOptions(40)) == ["all", "state"]


def test_a_beam_sends_its_state_and_not_its_sources() -> None:
    sent = sent_by(DecodeOptions(40, beam_size=4, hypothesis_count=1))
    assert sent.count("all") == 1
    assert sent.count("state") > 1
