"""What a version has done, counted and timed."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.errors import TextTooLongError
from service.serving.engines.messages import Classified
from service.serving.options import GenerateOptions
from service.serving.place import Place
from service.serving.statistics import ModelStatistics, RequestTally
from tests.bundles import publish_tiny
from tests.unit.serving.running import Running, running, soon

CLASSIFIER, GENERATOR = "tiny-classification", "tiny-generation"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    publish_tiny(folder, "classification")
    publish_tiny(folder, "generation")
    return folder


@pytest.fixture
async def parts(repository: Path) -> AsyncIterator[Running]:
    async with running(repository) as parts:
        yield parts


def of(parts: Running, name: str) -> ModelStatistics:
    (found,) = (one for one in parts.front.statistics() if one.name == name)
    return found


def test_the_parts_of_a_request_add_up_to_its_time() -> None:
    tally = RequestTally()
    for _ in range(2):
        tally.answered(3, reading=0.125, queue=0.25, compute=0.5, total=1.0)
    assert (tally.inference_count, tally.success.count, tally.success.seconds) == (6, 2, 2.0)
    parts = (tally.reading, tally.queue, tally.compute, tally.writing)
    assert [part.seconds for part in parts] == [0.25, 0.5, 1.0, 0.25]


@pytest.mark.parametrize("queue_seconds", [0.0, 0.001, 5.0])
async def test_the_parts_add_up_however_early_the_engine_began(parts: Running, queue_seconds: float) -> None:
    with parts.catalog.lend(CLASSIFIER) as ready:
        place = Place(ready, 1, time.monotonic() - 10, soon())
        place.submitted = place.arrival + 1
        place.answered(Classified(1, [], queue_seconds, compute_seconds=2.0))
        tally = ready.requests
        together = [tally.reading, tally.queue, tally.compute, tally.writing]
    assert all(part.seconds >= 0 for part in together)
    assert sum(part.seconds for part in together) == pytest.approx(tally.success.seconds)
    assert tally.reading.seconds == min(1, queue_seconds)


async def test_a_version_that_did_nothing_has_zeros(parts: Running) -> None:
    found = of(parts, CLASSIFIER)
    assert found == ModelStatistics(CLASSIFIER, 1, RequestTally(), {})


async def test_requests_sequences_and_runs_are_counted(parts: Running) -> None:
    for texts in (["good"], ["good", "bad"]):
        result = await parts.front.classify(CLASSIFIER, texts, deadline=soon())
    found = of(parts, CLASSIFIER)
    assert (found.requests.success.count, found.requests.inference_count) == (2, 3)
    assert {size: spent.count for size, spent in found.runs.items()} == {1: 1, 2: 1}
    assert sum(spent.seconds for spent in found.runs.values()) > 0
    assert abs(found.requests.last_inference_time - time.time()) < 10
    assert found.requests.success.seconds >= result.timings.total_seconds
    assert of(parts, GENERATOR).requests.success.count == 0


async def test_what_fails_and_what_is_left_is_counted_apart(parts: Running) -> None:
    with pytest.raises(TextTooLongError):
        await parts.front.classify(CLASSIFIER, ["good " * 65], deadline=soon())
    chunks = parts.front.generate(GENERATOR, "A", GenerateOptions(200), deadline=soon())
    await anext(chunks)
    await chunks.aclose()  # type: ignore[attr-defined]
    for name in (CLASSIFIER, GENERATOR):
        requests = of(parts, name).requests
        assert (requests.success.count, requests.fail.count, requests.inference_count) == (0, 1, 0)


async def test_a_generation_that_was_read_to_its_end_is_a_success(parts: Running) -> None:
    chunks = [chunk async for chunk in parts.front.generate(GENERATOR, "A", GenerateOptions(5), deadline=soon())]
    requests = of(parts, GENERATOR).requests
    assert (requests.success.count, requests.fail.count) == (1, 0)
    assert sum(spent.count for spent in of(parts, GENERATOR).runs.values()) >= sum(one.token_count for one in chunks)
