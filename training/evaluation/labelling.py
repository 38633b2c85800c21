"""Scores of a labeller's bundle, run by the service's own runtime and engine.   Knows no other task.

Beside them stands what needs no memory: each word's commonest tag, and scikit-learn's models on a row by itself.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt

from service.bundle.manifest import FeatureInput, WordInput
from service.bundle.store import OpenedBundle
from service.engine.classify import probabilities
from service.engine.offline import label_all
from service.runtime.models import LabellerModel
from service.text.tokenizer import Tokenizer
from training.data.encoding.batches import FloatArray, Steps
from training.data.encoding.sequences import LabelledSteps, logits_at_labels, read_series, read_words
from training.data.examples import UNLABELLED, LabelledSeries, Splits, TaggedTokens
from training.data.labels import require_known_labels
from training.evaluation.row_baselines import row_baselines
from training.scoring.answers import LabelAnswers
from training.scoring.calibration import calibrate
from training.scoring.label_scores import LOG_LOSS, Labels, reading_scores, word_scores
from training.scoring.scores import FAILURE_COUNT, Evaluation, Failure, Score, accuracy, few, of

Shares = npt.NDArray[np.float64]
"""Probabilities [steps, labels]."""


def evaluate_words(model: LabellerModel, bundle: OpenedBundle, splits: Splits[TaggedTokens]) -> Evaluation:
    """Score a labeller of words.

    Raises:
        DataError: a word has no token, or a label is in no training example; says where.
    """
    spec, reads = model.spec, model.spec.input
    assert isinstance(reads, WordInput)
    tokenizer = Tokenizer.from_bytes(bundle.files[reads.text.tokenizer])
    sequences = [
        read_words(tokenizer, reads.label_position, example, f"test example {number}")
        for number, example in enumerate(require_known_labels(splits).test, start=1)
    ]
    logits = _logits(model, sequences, reads.text.pad_id)
    predicted = [[spec.labels[index] for index in of_one.argmax(axis=-1)] for of_one in logits]
    expected = [sequence.labels for sequence in sequences]
    score, *further = word_scores(predicted, expected, spec.scheme)
    baseline = word_scores(_commonest_tags(splits), expected, spec.scheme)[0]
    wrong = [
        failure
        for example, labels in zip(splits.test, predicted, strict=True)
        if (failure := _wrong_word(example, labels)) is not None
    ]
    names = [f"{word}, in: {' '.join(one.tokens)}" for one in splits.test for word, _ in _labelled_words(one)]
    answers = _answers("word", names, spec.labels, probabilities(np.concatenate(logits)), list(chain(*expected)))
    return Evaluation(
        score,
        of("each word's commonest tag", baseline),
        few(wrong),
        answers,
        tuple(further),
        asked=_asked(model, sequences),
    )


def evaluate_series(model: LabellerModel, splits: Splits[LabelledSeries]) -> Evaluation:
    """Score a labeller of readings. A model of one direction reads each series whole, one of both in pieces.

    Raises:
        DataError: a reading cannot be imputed, or a label is in no training example; says where.
    """
    spec, reads = model.spec, model.spec.input
    assert isinstance(reads, FeatureInput)
    training, test = (
        [
            read_series(reads.features, series, f"{part} series {index}")
            for index, series in enumerate(examples, start=1)
        ]
        for part, examples in (("training", splits.training), ("test", require_known_labels(splits).test))
    )
    shares_of_series = [probabilities(logits) for logits in _logits(model, test, None)]
    shares = np.concatenate(shares_of_series)
    expected = [label for sequence in test for label in sequence.labels]
    score, *further = reading_scores(shares, expected, spec.labels)
    commonest = Counter(label for sequence in training for label in sequence.labels).most_common(1)[0][0]
    constant = of("the commonest label", accuracy([commonest] * len(expected), expected, "steps"))
    baseline, *others = row_baselines(training, test, spec.labels, gaps=(_gaps(splits.training), _gaps(splits.test)))
    answers = _answers("step", _step_names(splits.test), spec.labels, shares, expected)
    if len(spec.labels) > 2:
        further.append(_calibration_error(answers))
    worst = _worst_series(_series_names(splits.test), test, shares_of_series, spec.labels, score.name)
    return Evaluation(score, baseline, worst, answers, tuple(further), (*others, constant), asked=_asked(model, test))


def _worst_series(
    names: Labels, test: Sequence[LabelledSteps], shares: Sequence[Shares], labels: Labels, measure: str
) -> tuple[Failure, ...]:
    """The series that come off worst by a measure; what it cannot be taken of, for want of a label, is left out."""
    scored = [
        (reading_scores(of_one, sequence.labels, labels)[0], name, len(sequence.labels))
        for name, sequence, of_one in zip(names, test, shares, strict=True)
    ]
    measured = [one for one in scored if one[0].name == measure]
    measured.sort(key=lambda one: one[0].value, reverse=measure == LOG_LOSS)
    return tuple(
        Failure(name, f"{score.name} {score.shown}, over {count} steps")
        for score, name, count in measured[:FAILURE_COUNT]
    )


def _asked(model: LabellerModel, sequences: Sequence[LabelledSteps]) -> tuple[str, ...]:
    """What is too long for one request was read in pieces, by a model of one direction with its state carried."""
    limit = model.spec.max_token_count
    count = sum(len(sequence.steps) > limit for sequence in sequences)
    if not count:
        return ()
    how = "by themselves" if model.spec.state_size is None else "each from the state_token of the one before"
    return (f"{count} that are longer in pieces of {limit}, {how}",)


def _logits(model: LabellerModel, sequences: Sequence[LabelledSteps], pad_id: int | None) -> list[FloatArray]:
    """[labelled steps, labels] of each sequence."""

    def run(steps: list[Steps]) -> list[FloatArray]:
        return label_all(model.label, steps, pad_id=pad_id)  # type: ignore[arg-type]

    longest = model.spec.max_token_count if model.spec.state_size is None else None
    return logits_at_labels(sequences, longest, run)


def _answers(unit: str, names: Labels, labels: Labels, shares: Shares, expected: Labels) -> LabelAnswers:
    """Keep what was said of every labelled step; `shares` [steps, labels]."""
    predicted = tuple(labels[index] for index in shares.argmax(axis=-1))
    return LabelAnswers(unit, tuple(labels), tuple(names), tuple(expected), predicted, shares)


def _calibration_error(answers: LabelAnswers) -> Score:
    value = calibrate(answers).expected_error
    method = f"mean distance of confidence from accuracy in ten bins, lower is better, {len(answers.expected)} steps"
    return Score("calibration error", value, method, decimals=4)


def _gaps(examples: Sequence[LabelledSeries]) -> npt.NDArray[np.bool_]:
    """Where a reading is missing: [rows, features]."""
    return np.array([[value is None for value in readings] for one in examples for readings in one.features])


def _series_names(examples: Sequence[LabelledSeries]) -> list[str]:
    return [series.name or f"series {number}" for number, series in enumerate(examples, start=1)]


def _step_names(examples: Sequence[LabelledSeries]) -> list[str]:
    """Say which step of which series each label is for, and what was read there."""
    return [
        f"{name}, step {step}: "
        + ", ".join(
            f"{column.name} {value:g}"
            for column, value in zip(series.columns, readings, strict=True)
            if value is not None
        )
        for name, series in zip(_series_names(examples), examples, strict=True)
        for step, readings in enumerate(series.features, start=1)
    ]


def _commonest_tags(splits: Splits[TaggedTokens]) -> list[list[str]]:
    """What each labelled test word is tagged most often in training; unseen words get the commonest tag."""
    counts: dict[str, Counter[str]] = {}
    for example in splits.training:
        for word, tag in _labelled_words(example):
            counts.setdefault(word, Counter())[tag] += 1
    overall = sum(counts.values(), Counter[str]()).most_common(1)[0][0]
    best = {word: of_word.most_common(1)[0][0] for word, of_word in counts.items()}
    return [[best.get(word, overall) for word, _ in _labelled_words(example)] for example in splits.test]


def _labelled_words(example: TaggedTokens) -> list[tuple[str, str]]:
    return [pair for pair in zip(example.tokens, example.tags, strict=True) if pair[1] != UNLABELLED]


def _wrong_word(example: TaggedTokens, predicted: Labels) -> Failure | None:
    """The first word of a sentence whose label is wrong."""
    for (word, tag), label in zip(_labelled_words(example), predicted, strict=True):
        if label != tag:
            return Failure(" ".join(example.tokens), f"answered {label} for {word!r}; right is {tag}")
    return None
