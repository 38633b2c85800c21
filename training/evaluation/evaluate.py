"""Measures what ships: a bundle's score on test examples, run by the service's own runtime and engine.

Beside each score stands what is had for nothing: the commonest label, the untranslated source, n-gram models; beside
tunes that a model writes stand those of people.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from types import MappingProxyType
from typing import cast

from service.bundle.manifest import Precision
from service.bundle.store import OpenedBundle
from service.engine.classify import probabilities
from service.engine.offline import classify_all, stream_log_likelihoods, token_log_likelihoods
from service.runtime.models import ClassifierModel, LabellerModel, LanguageModel, TranslationModel, load_model
from training.data.encoding.tokenization import encode_long, is_character_level
from training.data.examples import (
    AnySplits,
    LabelledSeries,
    LabelledText,
    PlainText,
    Splits,
    TaggedTokens,
    TextPair,
)
from training.errors import DataError
from training.evaluation.demonstrate import tokenizer_of
from training.evaluation.kneser_ney import fit_kneser_ney_model
from training.evaluation.labelling import evaluate_series, evaluate_words
from training.evaluation.ngram import NgramModel, fit_ngram_model
from training.evaluation.passages import unlikeliest_passages
from training.evaluation.translation import KEEP_BEGINNING, evaluate_translator
from training.evaluation.written_tunes import check_held_out, check_written, held_out_scores, written_scores
from training.scoring.answers import LabelAnswers, LikelihoodAnswers
from training.scoring.scores import (
    Evaluation,
    Failure,
    Score,
    accuracy,
    few,
    likelihood_score,
    of,
    with_cuts,
)
from training.settings.evaluation import EvaluationSettings, TuneSettings

Evaluations = Mapping[Precision, Evaluation]
"""One per variant of a bundle, the default first."""

_Rows = Sequence[Sequence[int]]

_DEFAULTS = EvaluationSettings()
_NO_OTHERS: Mapping[str, AnySplits] = MappingProxyType({})


def evaluate_bundle(
    bundle: OpenedBundle,
    splits: AnySplits,
    precision: Precision | None = None,
    *,
    settings: EvaluationSettings = _DEFAULTS,
    continuous: bool = False,
) -> Evaluation:
    """Load one variant of a bundle, its golden runs replayed, and score it on the test split.

    It runs on a CPU, fp16 too.

    Args:
        bundle: as it was opened.
        splits: of its corpus.
        precision: of the variant; None: the default.
        settings: how a translator searches and is scored, and whether a language model writes tunes to be checked.
        continuous: of texts for a language model: they follow one another, and the state is carried on.

    Raises:
        DataError: the corpus is for another task, or has no test examples.
        BundleError: the bundle is not sound.
    """
    model = load_model(bundle, precision=precision, emulate_fp16=True)
    kind = type(splits.test[0]) if splits.test else None
    match model:
        case ClassifierModel() if kind is LabelledText:
            return _evaluate_classifier(model, bundle, cast("Splits[LabelledText]", splits))
        case LabellerModel() if kind is TaggedTokens and model.spec.input.kind == "words":
            return evaluate_words(model, bundle, cast("Splits[TaggedTokens]", splits))
        case LabellerModel() if kind is LabelledSeries and model.spec.input.kind == "features":
            return evaluate_series(model, cast("Splits[LabelledSeries]", splits))
        case LanguageModel() if kind is PlainText:
            found = _evaluate_language_model(model, bundle, cast("Splits[PlainText]", splits), continuous=continuous)
            return found if settings.tunes is None else _with_tunes(found, bundle, splits, settings.tunes, precision)
        case TranslationModel() if kind is TextPair:
            return evaluate_translator(model, bundle, cast("Splits[TextPair]", splits), settings)
    raise DataError(f"the corpus has no test examples for {bundle.manifest.spec.task}")


def evaluate_variants(
    bundle: OpenedBundle,
    splits: AnySplits,
    *,
    settings: EvaluationSettings = _DEFAULTS,
    continuous: bool = False,
    others: Mapping[str, AnySplits] = _NO_OTHERS,
) -> Evaluations:
    """Score every variant of a bundle, the default first.   Errors as `evaluate_bundle`.

    Args:
        bundle: as `evaluate_bundle`.
        splits: as `evaluate_bundle`.
        settings: as `evaluate_bundle`.
        continuous: as `evaluate_bundle`.
        others: further corpora by name; the score on each of their test splits is added to the further ones.
    """
    manifest = bundle.manifest
    order = sorted(manifest.variants, key=lambda precision: precision != manifest.default_precision)
    found: dict[Precision, Evaluation] = {}
    for precision in order:
        first, *further = (
            evaluate_bundle(bundle, one, precision, settings=settings, continuous=continuous)
            for one in (splits, *others.values())
        )
        named = (
            replace(score, name=f"{score.name} on {name}")
            for name, evaluation in zip(others, further, strict=True)
            for score in (evaluation.score, *evaluation.further)
        )
        asked = dict.fromkeys(chain(first.asked, *(one.asked for one in further)))
        found[precision] = replace(first, further=(*first.further, *named), asked=tuple(asked))
    return found


def _evaluate_classifier(model: ClassifierModel, bundle: OpenedBundle, splits: Splits[LabelledText]) -> Evaluation:
    spec = model.spec
    tokenizer = tokenizer_of(bundle, spec.text)
    encoded = [tokenizer.encode(example.text) for example in splits.test]
    sequences = [token_ids[: spec.max_token_count] for token_ids in encoded]
    logits = classify_all(model.classify, sequences, pad_id=spec.text.pad_id)
    predicted = tuple(spec.labels[index] for index in logits.argmax(axis=-1))
    expected = tuple(example.label for example in splits.test)
    texts = tuple(example.text for example in splits.test)
    answers = LabelAnswers("text", tuple(spec.labels), texts, expected, predicted, probabilities(logits))
    commonest = Counter(example.label for example in splits.training).most_common(1)[0][0]
    wrong = [
        Failure(example.text, f"answered {label}; right is {example.label}")
        for example, label in zip(splits.test, predicted, strict=True)
        if label != example.label
    ]
    baseline = accuracy([commonest] * len(expected), expected)
    cut_count = sum(len(token_ids) > spec.max_token_count for token_ids in encoded)
    score = with_cuts(accuracy(predicted, expected), cut_count, spec.max_token_count)
    asked = (KEEP_BEGINNING,) if cut_count else ()
    return Evaluation(score, of("the commonest label", baseline), few(wrong), answers, asked=asked)


def _evaluate_language_model(
    model: LanguageModel, bundle: OpenedBundle, splits: Splits[PlainText], *, continuous: bool
) -> Evaluation:
    text = model.spec.text
    tokenizer = tokenizer_of(bundle, text)
    sequences = [encode_long(tokenizer, example.text) for example in splits.test]
    token_count = sum(len(sequence) + 1 for sequence in sequences)
    characters = is_character_level(tokenizer)
    likelihoods = (stream_log_likelihoods if continuous else token_log_likelihoods)(model, sequences)
    trained = [encode_long(tokenizer, example.text) for example in splits.training]
    baseline, *others = _ngram_baselines(model, trained, sequences, characters=characters)
    score = likelihood_score([float(row.sum()) for row in likelihoods], token_count, characters=characters)
    if continuous:
        score = replace(score, method=f"{score.method}, the state carried from text to text")
    answers = LikelihoodAnswers(tuple(example.text for example in splits.test), tuple(likelihoods))
    worst = unlikeliest_passages(tokenizer, answers.texts, sequences, likelihoods)
    return Evaluation(score, baseline, worst, answers, other_baselines=tuple(others))


def _with_tunes(
    found: Evaluation, bundle: OpenedBundle, splits: AnySplits, settings: TuneSettings, precision: Precision | None
) -> Evaluation:
    people = held_out_scores(check_held_out(splits, settings.count))  # first: it is quick, and there may be too few
    written = written_scores([check for _, check in check_written(bundle, settings, precision)], settings)
    return replace(found, further=(*found.further, *written), other_baselines=(*found.other_baselines, *people))


def _ngram_baselines(model: LanguageModel, training: _Rows, test: _Rows, *, characters: bool) -> list[Score]:
    """Score test sequences by n-gram models of the training ones. Of words, the longer one would take a gigabyte."""
    fits: dict[str, Callable[..., NgramModel]] = {"a 3-gram model": partial(fit_ngram_model, order=3)}
    if characters:
        fits["a 5-gram model, Kneser-Ney"] = partial(fit_kneser_ney_model, order=5)
    token_count = sum(len(sequence) + 1 for sequence in test)
    scores = []
    for name, fit in fits.items():
        fitted = fit(
            training, vocabulary_size=model.spec.text.vocabulary_size, bos_id=model.bos_id, eos_id=model.eos_id
        )
        likelihoods = [fitted.log_likelihood(sequence) for sequence in test]
        scores.append(of(name, likelihood_score(likelihoods, token_count, characters=characters)))
    return scores
