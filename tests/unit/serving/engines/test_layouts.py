"""Every layout of the engine gives the same answers; a process that dies is replaced."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest
from prometheus_client import CollectorRegistry

from service.engine.profile import SIZES
from service.engine.sampling import Sampling
from service.errors import (
    DeadlineExceededError,
    EngineLostError,
    ModelNotReadyError,
    QueueFullError,
    ServiceError,
    TextTooLongError,
    WrongInputError,
    WrongTaskError,
)
from service.metrics import Metrics
from service.serving.api import FeatureInfo, LabelledSequence
from service.serving.catalog import Catalog
from service.serving.engines.engine_loop import EngineLimits
from service.serving.engines.hosts import Host, InlineHost, ProcessHost, ThreadHost
from service.serving.engines.pool import EnginePool
from service.serving.front import Front
from service.serving.options import GenerateOptions, TranslateOptions
from service.serving.sequences import FeatureRows, InputSequence, TextPair, Words
from tests.bundles import publish_tiny

LIMITS = EngineLimits(max_batch_size=None, decode_slots=4, padding_budget=0.25)
LAYOUTS: dict[str, Callable[[], Host]] = {
    "inline": lambda: InlineHost(LIMITS),
    "thread": lambda: ThreadHost(LIMITS),
    "process": lambda: ProcessHost(LIMITS),
}


DAYS = FeatureRows(({"temperature": 12.0, "humidity": 80.0, "wind": 3.0}, {"temperature": 9.0, "wind": 6.5}))


@dataclass(frozen=True)
class Running:
    front: Front
    catalog: Catalog
    pool: EnginePool
    metrics: Metrics
    ups: list[bool]


@asynccontextmanager
async def running(repository: Path, layout: str, *, count: int = 1, capacity: int = 256) -> AsyncIterator[Running]:
    metrics, ups = Metrics(CollectorRegistry()), list[bool]()
    pool = EnginePool(LAYOUTS[layout], count=count, metrics=metrics, on_change=ups.append)
    await pool.start()
    try:
        catalog = Catalog(repository, pool, metrics, device="cpu", kept_versions=1, on_change=lambda names: None)
        await catalog.refresh()
        front = Front(catalog, pool, metrics, queue_capacity=capacity, decode_slots=8, max_text_characters=1_000)
        yield Running(front, catalog, pool, metrics, ups)
    finally:
        await pool.close()


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for task in ("classification", "labelling", "labelling-features", "generation", "translation"):
        publish_tiny(folder, task)
    publish_tiny(folder, "generation", name="stepping", plain=True)
    return folder


async def answers(front: Front) -> list[object]:
    deadline = time.monotonic() + 20
    classified = await front.classify("tiny-classification", ["good film", "a bad film"], deadline=deadline)
    sequences: list[InputSequence] = ["Mary lives in Rome", Words(("It", "rains"))]
    tagged = await front.label("tiny-labelling", sequences, top_label_count=None, deadline=deadline)
    forecast = await front.label("tiny-labelling-features", [DAYS], top_label_count=None, deadline=deadline)
    sampling = Sampling(temperature=1.0, seed=3)
    stream = front.generate("tiny-generation", "A", GenerateOptions(20, sampling), deadline=deadline)
    text = "".join([chunk.text async for chunk in stream])
    translated = await front.translate("tiny-translation", ["the dog"], TranslateOptions(5, True), deadline=deadline)
    searching = TranslateOptions(9, beam_size=4, hypothesis_count=3, include_token_scores=True, replace_unknowns=True)
    searched = await front.translate("tiny-translation", ["the dog", "a cat"], searching, deadline=deadline)
    scored = await front.score("tiny-translation", [TextPair("the dog", "il cane")], deadline=deadline)
    labelled = [classified.classifications, tagged.sequences, forecast.sequences]
    return [*labelled, text, translated.translations, searched.translations, scored.scores]


async def test_every_layout_gives_the_same_answers(repository: Path) -> None:
    found = []
    for layout in LAYOUTS:
        async with running(repository, layout) as parts:
            found.append(await answers(parts.front))
    assert found[0] == found[1] == found[2]


async def test_a_labelled_sequence_is_the_same_alone_and_among_others(repository: Path) -> None:
    async with running(repository, "inline") as parts:
        deadline = time.monotonic() + 20
        rows = [FeatureRows((*DAYS.rows, *DAYS.rows[: index % 2]) * (1 + index % 5)) for index in range(20)]

        async def label(*sequences: FeatureRows) -> tuple[LabelledSequence, ...]:
            found = await parts.front.label(
                "tiny-labelling-features", sequences, top_label_count=None, deadline=deadline
            )
            return found.sequences

        alone = [(await label(one))[0] for one in rows]
        assert list(await label(*rows)) == alone
        together = await asyncio.gather(*(label(one) for one in rows))
        assert [found for (found,) in together] == alone
        assert [len(one.steps) for one in alone] == [len(one.rows) for one in rows]


async def test_a_labeller_is_described_by_its_labels_scheme_and_features(repository: Path) -> None:
    async with running(repository, "inline") as parts:
        words, features = parts.front.get_model("tiny-labelling"), parts.front.get_model("tiny-labelling-features")
        assert (words.task, words.label_scheme, words.features, words.labels[0]) == ("labelling", "bio", (), "O")
        assert (features.task, features.label_scheme, features.labels) == ("labelling", "plain", ("dry", "rain"))
        assert features.features[:2] == (FeatureInfo("temperature", "Cel", None), FeatureInfo("humidity", "%", 70.0))
        assert (features.max_token_count, features.max_output_token_count) == (64, 0)


async def test_a_label_that_is_refused_is_counted_by_its_reason(repository: Path) -> None:
    async with running(repository, "inline") as parts:
        with pytest.raises(WrongInputError):
            await parts.front.label("tiny-labelling", [DAYS], top_label_count=1, deadline=time.monotonic() + 5)
        with pytest.raises(WrongTaskError):
            await parts.front.label("tiny-translation", ["a"], top_label_count=1, deadline=time.monotonic() + 5)
        registry = parts.metrics.registry
        for model, reason in (("tiny-labelling", "WRONG_INPUT"), ("tiny-translation", "WRONG_TASK")):
            labels = {"model": model, "reason": reason}
            assert registry.get_sample_value("seqserve_requests_rejected_total", labels) == 1


async def test_the_runs_of_a_labeller_are_measured(repository: Path) -> None:
    async with running(repository, "inline") as parts:
        await parts.front.label("tiny-labelling", ["Mary"] * 3, top_label_count=1, deadline=time.monotonic() + 5)
        labels = {"model": "tiny-labelling", "graph": "labeller"}
        assert parts.metrics.registry.get_sample_value("seqserve_batch_size_sum", labels) == 3


READING_GRAPHS = {
    "tiny-classification": "classifier",
    "tiny-labelling": "labeller",
    "tiny-labelling-features": "labeller",
    "tiny-generation": "prefill",
}


async def test_models_learn_how_many_sequences_are_enough_for_a_run_where_it_matters(repository: Path) -> None:
    async with running(repository, "inline") as parts:
        for model, graph in READING_GRAPHS.items():
            labels = {"model": model, "graph": graph, "provider": "cpu"}
            assert parts.metrics.registry.get_sample_value("seqserve_batch_size_limit", labels) in SIZES
        labels = {"model": "tiny-translation", "graph": "encoder", "provider": "cpu"}
        assert parts.metrics.registry.get_sample_value("seqserve_batch_size_limit", labels) is None


@pytest.mark.parametrize("prompt", ["", "A", "M:4/4\nK:G\n" * 6])
async def test_a_model_without_a_prefill_writes_what_the_same_model_with_one_does(
    repository: Path, prompt: str
) -> None:
    async with running(repository, "inline") as parts:
        options = GenerateOptions(20, Sampling(1.0, seed=3), sample_count=2, echo=True)

        async def text(model: str) -> list[str]:
            chunks = parts.front.generate(model, prompt, options, deadline=time.monotonic() + 20)
            texts = ["", ""]
            async for chunk in chunks:
                texts[chunk.sample_index] += chunk.text
            return texts

        assert await text("stepping") == await text("tiny-generation")
        for name, graphs in (("stepping", {"step"}), ("tiny-generation", {"prefill", "step"})):
            runs = {
                sample.labels["graph"]
                for family in parts.metrics.registry.collect()
                for sample in family.samples
                if sample.name in {"seqserve_batch_size_count", "seqserve_batch_size_limit"}
                and sample.labels["model"] == name
            }
            assert runs == graphs
        labels = {"model": "stepping", "graph": "step", "provider": "cpu"}
        assert parts.metrics.registry.get_sample_value("seqserve_batch_size_limit", labels) is None


async def test_a_batch_size_that_is_set_is_not_learned(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LAYOUTS, "set", lambda: InlineHost(replace(LIMITS, max_batch_size=7)))
    async with running(repository, "set") as parts:
        labels = {"model": "tiny-classification", "graph": "classifier", "provider": "cpu"}
        assert parts.metrics.registry.get_sample_value("seqserve_batch_size_limit", labels) == 7


@pytest.mark.parametrize(("most", "runs"), [(None, 1), (2, 2)])
async def test_sources_that_come_together_are_read_in_one_run_unless_it_is_bounded(
    repository: Path, monkeypatch: pytest.MonkeyPatch, most: int | None, runs: int
) -> None:
    monkeypatch.setitem(LAYOUTS, "set", lambda: InlineHost(replace(LIMITS, max_batch_size=most)))
    async with running(repository, "set") as parts:
        await parts.front.translate(
            "tiny-translation", ["the dog"] * 4, TranslateOptions(2), deadline=time.monotonic() + 5
        )
        labels = {"model": "tiny-translation", "graph": "encoder"}
        registry = parts.metrics.registry
        assert registry.get_sample_value("seqserve_batch_size_count", labels) == runs
        assert registry.get_sample_value("seqserve_batch_size_sum", labels) == 4


async def test_several_engines_share_the_work(repository: Path) -> None:
    async with running(repository, "process", count=2) as parts:
        assert len(psutil.Process().children()) == 2
        together = await asyncio.gather(*(answers(parts.front) for _ in range(6)))
        assert all(found == together[0] for found in together)


async def test_an_engine_process_that_is_killed_is_replaced_and_its_requests_are_told(repository: Path) -> None:
    async with running(repository, "process") as parts:
        before = await answers(parts.front)
        (child,) = psutil.Process().children()
        child.suspend()
        deadline = time.monotonic() + 20
        stuck = asyncio.create_task(parts.front.classify("tiny-classification", ["good"], deadline=deadline))
        await asyncio.sleep(0.05)
        child.kill()
        with pytest.raises(EngineLostError):
            await stuck
        for _ in range(500):
            if parts.ups[-1]:
                break
            await asyncio.sleep(0.02)
        assert parts.ups == [True, False, True]
        assert await answers(parts.front) == before
        assert parts.metrics.registry.get_sample_value("seqserve_engine_restarts_total") == 1


async def test_a_new_version_replaces_the_old_one_and_a_broken_one_does_not(tmp_path: Path) -> None:
    publish_tiny(tmp_path, "classification")
    async with running(tmp_path, "inline") as parts:
        publish_tiny(tmp_path, "classification", version=2, seed=1)
        await parts.catalog.refresh()
        assert [info.version for info in parts.front.list_models()] == [2]
        broken = publish_tiny(tmp_path, "classification", version=3)
        (broken / "tokenizer.json").write_bytes(b"junk")
        await parts.catalog.refresh()
        await parts.catalog.refresh()
        states = {info.version: info.state for info in parts.front.list_models()}
        assert states == {2: "active", 3: "failed"}
        assert "tokenizer.json" in parts.front.get_model("tiny-classification@3").failure
        result = await parts.front.classify("tiny-classification", ["good"], deadline=time.monotonic() + 5)
        assert result.version == 2
        failures = parts.metrics.registry.get_sample_value(
            "seqserve_model_load_failures_total", {"model": "tiny-classification"}
        )
        assert failures == 1


async def test_a_request_in_flight_keeps_its_version_loaded(tmp_path: Path) -> None:
    publish_tiny(tmp_path, "generation")
    async with running(tmp_path, "inline") as parts:
        stream = parts.front.generate("tiny-generation", "A", GenerateOptions(200), deadline=time.monotonic() + 20)
        first = await anext(stream)
        publish_tiny(tmp_path, "generation", version=2, seed=1)
        await parts.catalog.refresh()
        rest = [chunk async for chunk in stream]
        assert {chunk.version for chunk in [first, *rest]} == {1}
        assert rest[-1].finish_reason is not None


@pytest.mark.parametrize(
    ("model", "text", "error", "field"),
    [
        pytest.param("tiny-classification", "film " * 100, TextTooLongError, "texts[1]", id="too many tokens"),
        pytest.param("tiny-classification", "x" * 1_001, TextTooLongError, "texts[1]", id="too many characters"),
        pytest.param("tiny-translation", "good", WrongTaskError, "model", id="wrong task"),
        pytest.param("tiny-classification@7", "good", ServiceError, "model", id="unknown version"),
        pytest.param("nothing", "good", ServiceError, "model", id="unknown model"),
    ],
)
async def test_a_request_that_does_not_fit_is_refused_by_name(
    repository: Path, model: str, text: str, error: type[ServiceError], field: str
) -> None:
    async with running(repository, "inline") as parts:
        with pytest.raises(error) as refused:
            await parts.front.classify(model, ["good", text], deadline=time.monotonic() + 5)
        assert refused.value.field == field


async def test_the_queue_refuses_at_once_what_does_not_fit_and_frees_places_again(repository: Path) -> None:
    async with running(repository, "inline", capacity=3) as parts:
        deadline = time.monotonic() + 5
        calls = [parts.front.classify("tiny-classification", ["good"], deadline=deadline) for _ in range(5)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(result, QueueFullError) for result in results) == 2
        await parts.front.classify("tiny-classification", ["good"] * 3, deadline=deadline)
        labels = {"model": "tiny-classification"}
        assert parts.metrics.registry.get_sample_value("seqserve_texts_in_flight", labels) == 0
        refused = parts.metrics.registry.get_sample_value(
            "seqserve_requests_rejected_total", labels | {"reason": "QUEUE_FULL"}
        )
        assert refused == 2


async def test_a_deadline_that_passes_is_told_and_frees_the_place(repository: Path) -> None:
    async with running(repository, "process") as parts:
        (child,) = psutil.Process().children()
        child.suspend()
        with pytest.raises(DeadlineExceededError):
            await parts.front.classify("tiny-classification", ["good"], deadline=time.monotonic() + 0.05)
        child.resume()
        labels = {"model": "tiny-classification"}
        assert parts.metrics.registry.get_sample_value("seqserve_texts_in_flight", labels) == 0


async def test_a_stream_that_is_left_is_cancelled_in_the_engine(repository: Path) -> None:
    async with running(repository, "inline") as parts:
        stream = parts.front.generate("tiny-generation", "A", GenerateOptions(200), deadline=time.monotonic() + 20)
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]
        labels = {"model": "tiny-generation"}
        assert parts.metrics.registry.get_sample_value("seqserve_texts_in_flight", labels) == 0
        await asyncio.sleep(0.05)
        told = parts.metrics.registry.get_sample_value("seqserve_generated_tokens_total", labels)
        assert told is not None
        assert told < 100


async def test_a_model_that_failed_to_load_says_why(tmp_path: Path) -> None:
    path = publish_tiny(tmp_path, "classification")
    (path / "extra.txt").write_text("x")
    async with running(tmp_path, "inline") as parts:
        with pytest.raises(ModelNotReadyError, match=r"extra\.txt"):
            await parts.front.classify("tiny-classification", ["good"], deadline=time.monotonic() + 5)
