"""LabelSequence through a real server process: answers, batches, and bad input by name."""

import math
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

import seqserve
from demo.server import ServerProcess
from seqserve.v1 import inference_service_pb2 as inference
from seqserve.v1 import model_service_pb2 as models
from tests.e2e.calls import FORECASTER, TAGGER, Client, refused, rows, sample, text, words
from tests.trained import ROOT

INVALID, PRECONDITION = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION
DAY = {"temperature": 12.0, "humidity": 80.0, "wind": 3.0}
SENTENCE = "Mary Smith lives in New York"


@pytest.fixture(autouse=True)
def the_next_good_request_is_answered(server: ServerProcess, client: Client) -> Iterator[None]:
    yield
    assert len(client.label(rows(DAY, DAY), model=FORECASTER).sequences[0].steps) == 2
    assert server.process.poll() is None
    assert "Traceback" not in "".join(server.log)


def shares(sequence: inference.LabelledSequence) -> list[dict[str, float]]:
    return [{score.label: score.probability for score in step.labels} for step in sequence.steps]


def test_a_text_and_its_words_are_labelled_alike(client: Client) -> None:
    answer = client.label(text(SENTENCE), words(*SENTENCE.split()))
    first, second = answer.sequences
    assert first == second
    assert [step.word for step in first.steps] == SENTENCE.split()
    assert all(sum(step.values()) == pytest.approx(1, abs=1e-5) for step in shares(first))
    assert {len(step) for step in shares(first)} == {5}
    assert first.token_count == 6
    assert answer.model_version == inference.ModelVersion(name=TAGGER, version=1)
    assert answer.timings.compute_duration.ToNanoseconds() > 0


def test_spans_are_what_the_best_labels_mark(client: Client) -> None:
    sequence = client.label(text(SENTENCE)).sequences[0]
    best = [step.labels[0] for step in sequence.steps]
    inside = {index for span in sequence.spans for index in range(span.first_step_index, span.last_step_index + 1)}
    assert inside == {index for index, score in enumerate(best) if score.label != "O"}
    for span in sequence.spans:
        marking = best[span.first_step_index : span.last_step_index + 1]
        assert {score.label[2:] for score in marking} == {span.label}
        mean = sum(score.probability for score in marking) / len(marking)
        assert span.score == pytest.approx(mean, abs=1e-6)


def test_as_many_labels_come_as_were_asked_for_best_first(client: Client) -> None:
    few = client.label(text(SENTENCE), top_label_count=2).sequences[0]
    many = client.label(text(SENTENCE), top_label_count=99).sequences[0]
    assert [list(step.labels) for step in few.steps] == [list(step.labels)[:2] for step in many.steps]
    assert few.spans == many.spans
    assert all(step.labels[0].probability >= step.labels[1].probability for step in few.steps)


def test_an_imputed_reading_counts_as_its_value(client: Client) -> None:
    stated = {**DAY, "humidity": 70.0}
    missing = {"temperature": 12.0, "wind": 3.0}
    answer = client.label(*map(rows, (stated, missing, {**DAY, "humidity": math.nan}, DAY)), model=FORECASTER)
    first, second, third, other = answer.sequences
    assert first == second == third
    assert shares(first) != shares(other)
    assert not first.spans
    assert first.steps[0].word == ""


def test_sequences_of_many_callers_share_batches_and_every_answer_is_as_if_alone(
    server: ServerProcess, client: Client
) -> None:
    sequences = [rows(*[{**DAY, "temperature": float(number)}] * (1 + number % 9)) for number in range(64)]
    alone = [client.label(one, model=FORECASTER).sequences[0] for one in sequences]
    with ThreadPoolExecutor(16) as callers:
        together = list(callers.map(lambda one: client.label(one, model=FORECASTER).sequences[0], sequences))
    assert together == alone
    assert list(client.label(*sequences, model=FORECASTER).sequences) == alone
    labels = f'{{graph="labeller",model="{FORECASTER}"}}'
    assert sample(server, f"seqserve_batch_size_sum{labels}") > sample(server, f"seqserve_batch_size_count{labels}")


def test_a_model_tells_what_it_reads(client: Client) -> None:
    forecaster, tagger = client.model(FORECASTER), client.model(TAGGER)
    assert (forecaster.task, forecaster.label_scheme) == (models.TASK_LABELLING, models.LABEL_SCHEME_PLAIN)
    humidity = models.Feature(name="humidity", unit="%", imputed_value=70.0)
    assert [one.name for one in forecaster.features] == list(DAY)
    assert forecaster.features[1] == humidity
    assert not forecaster.features[0].HasField("imputed_value")
    assert (tagger.label_scheme, list(tagger.features), len(tagger.labels)) == (models.LABEL_SCHEME_BIO, [], 5)


@pytest.mark.parametrize(
    ("row", "field", "message"),
    [
        pytest.param({**DAY, "temperature": math.nan}, "temperature", "is NaN", id="NaN"),
        pytest.param({**DAY, "wind": math.inf}, "wind", "is inf", id="infinite"),
        pytest.param({**DAY, "humidity": -math.inf}, "humidity", "is -inf", id="infinite, with imputation"),
        pytest.param({**DAY, "wind": 1e300}, "wind", "is 1e+300, expected a number within", id="far off"),
        pytest.param({"temperature": 12.0}, "wind", "is missing", id="missing"),
        pytest.param({}, "temperature", "is missing", id="an empty row"),
        pytest.param({**DAY, "pressure": 1.0}, "pressure", "has temperature, humidity, wind", id="unknown"),
        pytest.param({**DAY, "Wind": 1.0}, "Wind", "is not a feature", id="another case"),
        pytest.param({**DAY, "x" * 100_000: 1.0}, "x" * 100, "is not a feature", id="a very long name"),
    ],
)
def test_a_reading_that_does_not_fit_is_refused_by_row_and_name(
    client: Client, row: dict[str, float], field: str, message: str
) -> None:
    refusal = refused(lambda: client.label(rows(DAY), rows(DAY, DAY), rows(DAY, row), model=FORECASTER))
    assert (refusal.code, refusal.reason) == (INVALID, "INVALID_ARGUMENT")
    assert refusal.fields == (f"sequences[2].rows[1].{field}",)
    assert message in refusal.message


@pytest.mark.parametrize(
    ("sequence", "field"),
    [
        pytest.param(inference.InputSequence(), "sequences[1]", id="nothing"),
        pytest.param(inference.InputSequence(text="a", words=["a"]), "sequences[1]", id="text and words"),
        pytest.param(text("\t "), "sequences[1].text", id="a blank text"),
        pytest.param(words("Mary", "", "in"), "sequences[1].words[1]", id="an empty word"),
        pytest.param(words(*["a"] * 50_001), "sequences", id="50,001 words"),
        pytest.param(rows(*[{}] * 50_001), "sequences", id="50,001 rows"),
    ],
)
def test_a_sequence_that_is_none_is_refused_by_its_place(
    client: Client, sequence: inference.InputSequence, field: str
) -> None:
    refusal = refused(lambda: client.label(text("Mary"), sequence))
    assert (refusal.code, refusal.reason, refusal.fields) == (INVALID, "INVALID_ARGUMENT", (field,))


def test_no_sequences_too_many_and_no_labels_are_refused(client: Client) -> None:
    assert refused(client.label).fields == ("sequences",)
    assert refused(lambda: client.label(*[text("a")] * 257)).facts == {"sequence_count": "257", "limit": "256"}
    assert refused(lambda: client.label(text("a"), top_label_count=0)).fields == ("top_label_count",)
    assert len(client.label(*[text("a")] * 256).sequences) == 256


@pytest.mark.parametrize(
    ("model", "sequence", "reason", "field", "facts"),
    [
        pytest.param(TAGGER, text("a " * 65), "TEXT_TOO_LONG", "text", {"word_count": "65"}, id="text"),
        pytest.param(TAGGER, words(*"a" * 65), "TEXT_TOO_LONG", "words", {"word_count": "65"}, id="words"),
        pytest.param(TAGGER, words(*["a-b"] * 22), "TEXT_TOO_LONG", "words", {"token_count": "66"}, id="tokens"),
        pytest.param(FORECASTER, rows(*[DAY] * 65), "SEQUENCE_TOO_LONG", "rows", {"row_count": "65"}, id="rows"),
    ],
)
def test_a_sequence_too_long_is_refused_with_both_lengths(
    client: Client, model: str, sequence: inference.InputSequence, reason: str, field: str, facts: dict[str, str]
) -> None:
    refusal = refused(lambda: client.label(sequence, model=model))
    assert (refusal.code, refusal.reason, refusal.fields) == (INVALID, reason, (f"sequences[0].{field}",))
    assert refusal.facts == {**facts, "limit": "64", "model": model, "version": "1"}


def test_the_longest_sequences_are_answered(client: Client) -> None:
    assert len(client.label(words(*["a"] * 64)).sequences[0].steps) == 64
    assert len(client.label(rows(*[DAY] * 64), model=FORECASTER).sequences[0].steps) == 64


@pytest.mark.parametrize(
    ("model", "sequence", "field"),
    [
        pytest.param(FORECASTER, text("rain"), "sequences[0].text", id="a text for readings"),
        pytest.param(FORECASTER, words("rain"), "sequences[0].words", id="words for readings"),
        pytest.param(TAGGER, rows(DAY), "sequences[0].rows", id="readings for words"),
    ],
)
def test_input_of_the_other_kind_is_a_failed_precondition(
    client: Client, model: str, sequence: inference.InputSequence, field: str
) -> None:
    refusal = refused(lambda: client.label(sequence, model=model))
    assert (refusal.code, refusal.reason, refusal.fields) == (PRECONDITION, "WRONG_INPUT", (field,))


def test_the_client_and_the_command_label(server: ServerProcess, tmp_path: Path) -> None:
    with seqserve.Client(server.target) as client:
        days: list[seqserve.Readings] = [DAY, {**DAY, "humidity": None}]
        labelled = client.label(FORECASTER, [days]).sequences[0]
    (tmp_path / "days.csv").write_text("day,temperature,humidity,wind\nmonday,12,80,3\ntuesday,12,,3\n")
    program = [sys.executable, "-c", "from seqserve.command import main; main()"]
    command = [*program, "label", FORECASTER, "--features", str(tmp_path / "days.csv"), "--key-column", "day"]
    done = subprocess.run(
        [*command, "--top-label-count", "1", "--target", server.target],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    best = [step.best for step in labelled.steps]
    lines = [
        f"{day:<7}  {one.label} {one.probability:.1%}" for day, one in zip(("monday", "tuesday"), best, strict=True)
    ]
    assert done.stdout.splitlines() == [*lines, ""]
