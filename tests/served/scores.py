"""A bundle's scores from a running server's answers: the client that people install, and the scorers of the cards."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar, cast

import numpy as np

from seqserve import Answer, Client, LabelScore, Truncation
from service.bundle.manifest import Classification, Labelling, Manifest, Translation, WordInput
from training.data.examples import (
    UNLABELLED,
    AnySplits,
    LabelledSeries,
    LabelledText,
    Splits,
    TaggedTokens,
    TextPair,
    group_references,
)
from training.data.labels import Scheme
from training.evaluation.tunes import check_tunes
from training.evaluation.written_tunes import written_scores
from training.scoring.label_scores import reading_scores, word_scores
from training.scoring.scores import Score, accuracy, bleu
from training.settings.evaluation import EvaluationSettings, TuneSettings

OFFLINE = frozenset({"bits per character", "perplexity"})
"""How probable a given text is for a language model: no method of the service tells it."""
TIMEOUT_S = 600.0
WRITERS = 16
"""Tunes that are written at a time."""

Input = TypeVar("Input")
Value = TypeVar("Value")


def served_scores(
    client: Client, manifest: Manifest, splits: AnySplits, settings: EvaluationSettings, others: Mapping[str, AnySplits]
) -> list[Score]:
    """Ask for every test example, and score the answers; names as in the card.

    A language model has scores of what it writes alone, if its recipe has it write, and none of `OFFLINE`.

    Args:
        client: of the server.
        manifest: of the bundle, as the server has it.
        splits: of the bundle's corpus.
        settings: of its recipe: how a translator searches, and what a language model writes.
        others: further corpora by name, as `settings.corpora` has them.

    Raises:
        seqserve.SeqserveError: the server refused a call.
    """
    found = list(_scores(client, manifest, splits, settings))
    for name, one in others.items():
        further = _scores(client, manifest, one, settings)
        found += [replace(score, name=f"{score.name} on {name}") for score in further]
    return found


def _scores(client: Client, manifest: Manifest, splits: AnySplits, settings: EvaluationSettings) -> Sequence[Score]:
    model, spec = f"{manifest.name}@{manifest.version}", manifest.spec
    match spec:
        case Classification():
            return _of_classifier(client, model, cast("Splits[LabelledText]", splits).test)
        case Labelling(input=WordInput()):
            return _of_words(client, model, cast("Splits[TaggedTokens]", splits).test, spec.scheme)
        case Labelling():
            return _of_series(client, model, cast("Splits[LabelledSeries]", splits).test, spec.labels)
        case Translation():
            return list(_of_translator(client, model, cast("Splits[TextPair]", splits).test, settings))
    return [] if settings.tunes is None else _of_tunes(client, model, settings.tunes)


def _of_classifier(client: Client, model: str, test: Sequence[LabelledText]) -> list[Score]:
    texts = [example.text for example in test]
    answers = client.classify_many(model, texts, truncation=Truncation.KEEP_BEGINNING, timeout_s=TIMEOUT_S)
    predicted = [answer.best.label for answer in _values(answers)]
    return [accuracy(predicted, [example.label for example in test])]


def _of_words(client: Client, model: str, test: Sequence[TaggedTokens], scheme: Scheme) -> Sequence[Score]:
    answers = client.label_many(model, [list(example.tokens) for example in test], timeout_s=TIMEOUT_S)
    predicted, expected = [], []
    for example, answer in zip(test, _values(answers), strict=True):
        pairs = [
            (step.best.label, tag) for step, tag in zip(answer.steps, example.tags, strict=True) if tag != UNLABELLED
        ]
        predicted.append([label for label, _ in pairs])
        expected.append([tag for _, tag in pairs])
    return word_scores(predicted, expected, scheme)


def _of_series(client: Client, model: str, test: Sequence[LabelledSeries], labels: Sequence[str]) -> Sequence[Score]:
    """Missing readings are left out of a row."""
    sequences = [
        [
            {column.name: value for column, value in zip(series.columns, row, strict=True) if value is not None}
            for row in series.features
        ]
        for series in test
    ]
    answers = _values(client.label_many(model, sequences, timeout_s=TIMEOUT_S))
    pairs = [
        (_in_order(step.labels, labels), label)
        for series, answer in zip(test, answers, strict=True)
        for step, label in zip(answer.steps, series.labels, strict=True)
        if label != UNLABELLED
    ]
    shares = np.array([shares for shares, _ in pairs])  # in float32: their sums are near 1
    return reading_scores(shares / shares.sum(axis=-1, keepdims=True), [label for _, label in pairs], labels)


def _in_order(scores: Sequence[LabelScore], labels: Sequence[str]) -> list[float]:
    shares = {score.label: score.probability for score in scores}
    return [shares[label] for label in labels]


def _of_translator(
    client: Client, model: str, test: Sequence[TextPair], settings: EvaluationSettings
) -> Iterator[Score]:
    groups = group_references(test)
    references = [group.references for group in groups]

    def translated(beam_size: int) -> list[str]:
        answers = client.translate_many(
            model,
            [group.source for group in groups],
            beam_size=beam_size,
            length_penalty=settings.length_penalty if beam_size > 1 else None,
            truncation=Truncation.KEEP_BEGINNING,
            timeout_s=TIMEOUT_S,
        )
        return [answer.text for answer in _values(answers)]

    hypotheses = translated(settings.beam_size)
    yield bleu(hypotheses, references, settings.bleu_tokenization)
    if any(len(of_one) > 1 for of_one in references):
        alone = bleu(hypotheses, [of_one[:1] for of_one in references], settings.bleu_tokenization)
        yield replace(alone, name=f"{alone.name}, first reference alone")
    if settings.beam_size > 1:
        greedy = bleu(translated(1), references, settings.bleu_tokenization)
        yield replace(greedy, name=f"{greedy.name}, greedy")


def _of_tunes(client: Client, model: str, settings: TuneSettings) -> Sequence[Score]:
    def write(seed: int) -> str:
        return client.generate_text(model, temperature=settings.temperature, seed=seed, timeout_s=TIMEOUT_S).text

    seeds = range(settings.seed, settings.seed + settings.blocks * settings.count)
    with ThreadPoolExecutor(WRITERS) as writers:
        tunes = list(writers.map(write, seeds))
    blocks = [tunes[start : start + settings.count] for start in range(0, len(tunes), settings.count)]
    return written_scores([check_tunes(block) for block in blocks], settings)


def _values(answers: Iterable[Answer[Input, Value]]) -> list[Value]:
    return [answer.value for answer in answers]
