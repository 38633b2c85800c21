"""Numbers in and out of classifiers and labellers, beside the answers that people get."""

import math
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from service.errors import (
    InvalidArgumentError,
    SequenceTooLongError,
    ServiceError,
    TextTooLongError,
    WrongInputError,
    WrongTaskError,
)
from service.serving.api import LogitsResult
from service.serving.sequences import FeatureRows, FeatureTable, InputSequence, TokenIds, Words
from service.serving.tasks.labelling import MAX_LABEL_SCORES
from service.serving.tasks.logits import read_rows, spec_with_logits
from tests.bundles import publish_tiny
from tests.unit.serving.running import Running, running, soon

CLASSIFIER, TAGGER, FORECASTER = "tiny-classification", "tiny-labelling", "tiny-labelling-features"
READINGS = ((12.5, 70.0, 3.2), (14.0, 55.0, 1.0), (9.25, 90.0, 6.5))
NAMES = ("temperature", "humidity", "wind")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for task in ("classification", "labelling", "labelling-features", "generation"):
        publish_tiny(folder, task)
    return folder


@pytest.fixture
async def parts(repository: Path) -> AsyncIterator[Running]:
    async with running(repository) as parts:
        yield parts


async def logits(parts: Running, model: str, *sequences: InputSequence) -> LogitsResult:
    return await parts.front.logits(model, sequences, deadline=soon())


def ids_of(parts: Running, model: str, text: str) -> list[int]:
    with parts.catalog.lend(model) as ready:
        return ready.tokenizers[0].encode(text)


def softmax(logits: Sequence[float]) -> list[float]:
    weights = np.exp(np.array(logits) - max(logits))
    return list(weights / weights.sum())


async def test_a_text_and_its_token_ids_give_the_same_bits(parts: Running) -> None:
    text = "a good film"
    found = await logits(parts, CLASSIFIER, text, TokenIds(ids_of(parts, CLASSIFIER, text)))
    by_text, by_ids = found.sequences
    assert (by_text.logits, by_text.probabilities) == (by_ids.logits, by_ids.probabilities)
    assert len(by_text.logits) == 1
    assert by_text.probabilities[0] == pytest.approx(softmax(by_text.logits[0]), rel=1e-12)


async def test_probabilities_are_those_of_a_classification(parts: Running) -> None:
    classified = await parts.front.classify(CLASSIFIER, ["a bad film"], deadline=soon())
    found = await logits(parts, CLASSIFIER, "a bad film")
    by_label = {score.label: score.probability for score in classified.classifications[0].labels}
    assert by_label == dict(zip(("negative", "positive"), found.sequences[0].probabilities[0], strict=True))
    assert (found.model, found.version) == (CLASSIFIER, 1)


async def test_every_word_and_every_token_id_has_logits(parts: Running) -> None:
    words = ("Mary", "lives", "in", "Rome")
    ids = TokenIds(ids_of(parts, TAGGER, " ".join(words)))
    by_text, by_words, by_ids = (await logits(parts, TAGGER, " ".join(words), Words(words), ids)).sequences
    assert by_text.words == by_words.words == words
    assert by_ids.words == ("",) * 4
    assert by_text.logits == by_words.logits == by_ids.logits
    assert np.shape(by_text.probabilities) == (4, 5)


async def test_a_table_of_readings_is_scaled_as_rows_of_named_ones_are(parts: Running) -> None:
    rows = FeatureRows(tuple(dict(zip(NAMES, row, strict=True)) for row in READINGS))
    by_name, by_place = (await logits(parts, FORECASTER, rows, FeatureTable(READINGS))).sequences
    assert by_name.logits == by_place.logits
    assert np.shape(by_name.logits) == (3, 2)


async def test_a_missing_reading_is_imputed_or_refused_by_its_name(parts: Running) -> None:
    no_humidity, no_wind = ((12.5, math.nan, 3.2),), ((12.5, 70.0, math.nan),)
    imputed, full = (await logits(parts, FORECASTER, FeatureTable(no_humidity), FeatureTable(READINGS[:1]))).sequences
    assert imputed.logits == full.logits
    with pytest.raises(InvalidArgumentError) as refused:
        await logits(parts, FORECASTER, FeatureTable(READINGS), FeatureTable(no_wind))
    assert refused.value.field == "sequences[1].rows[0].wind"


@pytest.mark.parametrize(
    ("model", "sequence", "error", "field"),
    [
        (CLASSIFIER, TokenIds([4, 10_000]), InvalidArgumentError, "sequences[0].token_ids[1]"),
        (CLASSIFIER, TokenIds([-1]), InvalidArgumentError, "sequences[0].token_ids[0]"),
        (CLASSIFIER, TokenIds([]), InvalidArgumentError, "sequences[0].token_ids"),
        (CLASSIFIER, TokenIds([4] * 65), TextTooLongError, "sequences[0].token_ids"),
        (CLASSIFIER, "good " * 65, TextTooLongError, "sequences[0].text"),
        (CLASSIFIER, FeatureTable(READINGS), WrongInputError, "sequences[0]"),
        (TAGGER, TokenIds([2**62]), InvalidArgumentError, "sequences[0].token_ids[0]"),
        (TAGGER, TokenIds([4] * 65), TextTooLongError, "sequences[0].token_ids"),
        (TAGGER, FeatureTable(READINGS), WrongInputError, "sequences[0].rows"),
        (FORECASTER, TokenIds([4]), WrongInputError, "sequences[0].token_ids"),
        (FORECASTER, FeatureTable(READINGS * 22), SequenceTooLongError, "sequences[0].rows"),
        ("tiny-generation", "X:1", WrongTaskError, "model"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 40 else "",
)
async def test_numbers_that_cannot_be_read_are_refused_by_their_place(
    parts: Running, model: str, sequence: InputSequence, error: type[ServiceError], field: str
) -> None:
    with pytest.raises(error) as refused:
        await logits(parts, model, sequence)
    assert refused.value.field == field


async def test_no_more_labels_than_a_labelling_gives_are_given_at_once(parts: Running) -> None:
    with parts.catalog.lend(TAGGER) as ready:
        spec, tokenizers = spec_with_logits(ready.spec, TAGGER), ready.tokenizers
    with pytest.raises(InvalidArgumentError) as refused:
        read_rows(spec, tokenizers, [TokenIds([4] * 64)] * (MAX_LABEL_SCORES // 5 // 64 + 1))
    assert refused.value.field == "sequences"
