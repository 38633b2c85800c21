"""Measures what ships: a bundle's score on test examples, run by the service's own runtime and engine.

Beside each score stands what is had for nothing: the commonest label, the untranslated source, a 3-gram model.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from service.bundle.manifest import Precision, TextSpec
from service.bundle.store import OpenedBundle
from service.engine.offline import classify_all, decode_all, log_likelihoods, stream_log_likelihood
from service.engine.rows import TranslationRows
from service.runtime.models import ClassifierModel, LanguageModel, TranslationModel, load_model
from service.text.tokenizer import Tokenizer
from training.data.examples import AnySplits, LabelledText, PlainText, Splits, TextPair, group_references
from training.data.ngram import fit_ngram_model
from training.data.tokenization import encode_long, is_character_level
from training.errors import DataError
from training.scores import Score, accuracy, bleu, likelihood_score

_FAILURE_COUNT = 5


@dataclass(frozen=True)
class Evaluation:
    """What a bundle reaches on test examples that were never trained.

    Attributes:
        score: of the bundle.
        baseline: the same measure of what needs no network.
        failures: a few answers that were wrong, for the card.
    """

    score: Score
    baseline: Score
    failures: tuple[str, ...]


Evaluations = Mapping[Precision, Evaluation]
"""One per variant of a bundle, the default first."""


def evaluate_bundle(
    bundle: OpenedBundle, splits: AnySplits, precision: Precision | None = None, *, continuous: bool = False
) -> Evaluation:
    """Load one variant of a bundle, its golden runs replayed, and score it on the test split.

    Args:
        bundle: as it was opened.
        splits: of its corpus.
        precision: of the variant; None: the default.
        continuous: of texts for a language model: they follow one another, and the state is carried on.

    It runs on a CPU, fp16 too.

    Raises:
        DataError: the corpus is for another task, or has no test examples.
        BundleError: the bundle is not sound.
    """
    model = load_model(bundle, precision=precision, emulate_fp16=True)
    kind = type(splits.test[0]) if splits.test else None
    match model:
        case ClassifierModel() if kind is LabelledText:
            return _evaluate_classifier(model, bundle, cast("Splits[LabelledText]", splits))
        case LanguageModel() if kind is PlainText:
            return _evaluate_language_model(model, bundle, cast("Splits[PlainText]", splits), continuous=continuous)
        case TranslationModel() if kind is TextPair:
            return _evaluate_translator(model, bundle, cast("Splits[TextPair]", splits))
    raise DataError(f"the corpus has no test examples for {bundle.manifest.spec.task}")


def evaluate_variants(bundle: OpenedBundle, splits: AnySplits, *, continuous: bool = False) -> Evaluations:
    """Score every variant of a bundle, the default first.   Arguments and errors as `evaluate_bundle`."""
    manifest = bundle.manifest
    order = sorted(manifest.variants, key=lambda precision: precision != manifest.default_precision)
    return {precision: evaluate_bundle(bundle, splits, precision, continuous=continuous) for precision in order}


def _evaluate_classifier(model: ClassifierModel, bundle: OpenedBundle, splits: Splits[LabelledText]) -> Evaluation:
    spec = model.spec
    tokenizer = _tokenizer(bundle, spec.text)
    sequences = [tokenizer.encode(example.text)[: spec.max_token_count] for example in splits.test]
    logits = classify_all(model.classify, sequences, pad_id=spec.text.pad_id)
    predicted = [spec.labels[index] for index in logits.argmax(axis=-1)]
    expected = [example.label for example in splits.test]
    commonest = Counter(example.label for example in splits.training).most_common(1)[0][0]
    wrong = [
        f"{example.text!r}: {label}, and not {example.label}"
        for example, label in zip(splits.test, predicted, strict=True)
        if label != example.label
    ]
    baseline = accuracy([commonest] * len(expected), expected)
    return Evaluation(accuracy(predicted, expected), _named(baseline, "of the commonest label"), _few(wrong))


def _evaluate_language_model(
    model: LanguageModel, bundle: OpenedBundle, splits: Splits[PlainText], *, continuous: bool
) -> Evaluation:
    text = model.spec.text
    tokenizer = _tokenizer(bundle, text)
    sequences = [encode_long(tokenizer, example.text) for example in splits.test]
    token_count = sum(len(sequence) + 1 for sequence in sequences)
    characters = is_character_level(tokenizer)
    trigram = fit_ngram_model(
        (encode_long(tokenizer, example.text) for example in splits.training),
        order=3,
        vocabulary_size=text.vocabulary_size,
        bos_id=model.bos_id,
        eos_id=model.eos_id,
    )
    of_trigram = [trigram.log_likelihood(sequence) for sequence in sequences]
    baseline = _named(likelihood_score(of_trigram, token_count, characters=characters), "of a 3-gram model")
    if not continuous:
        of_model = log_likelihoods(model, sequences).tolist()
        return Evaluation(likelihood_score(of_model, token_count, characters=characters), baseline, ())
    score = likelihood_score([stream_log_likelihood(model, sequences)], token_count, characters=characters)
    return Evaluation(replace(score, method=f"{score.method}, the state carried from text to text"), baseline, ())


def _evaluate_translator(model: TranslationModel, bundle: OpenedBundle, splits: Splits[TextPair]) -> Evaluation:
    spec = model.spec
    groups = group_references(splits.test)
    source = _tokenizer(bundle, spec.source)
    # the engine appends the end of a source itself
    sequences = [source.encode(group.source)[: spec.max_token_count - 1] for group in groups]
    produced = decode_all(TranslationRows(model), sequences, max_output_token_count=spec.max_output_token_count)
    target = _tokenizer(bundle, spec.target)
    hypotheses = [target.decode(ids) for ids in produced]
    references = [group.references for group in groups]
    wrong = [
        f"{group.source!r}: {hypothesis!r}, and not {group.references[0]!r}"
        for group, hypothesis in zip(groups, hypotheses, strict=True)
        if hypothesis not in group.references
    ]
    baseline = bleu([group.source for group in groups], references)
    return Evaluation(bleu(hypotheses, references), _named(baseline, "of the source, copied"), _few(wrong))


def _tokenizer(bundle: OpenedBundle, text: TextSpec) -> Tokenizer:
    return Tokenizer.from_bytes(bundle.files[text.tokenizer])


def _named(score: Score, owner: str) -> Score:
    return Score(f"{score.name} {owner}", score.value, score.method)


def _few(failures: Sequence[str]) -> tuple[str, ...]:
    """Return a few failures, taken evenly over all of them."""
    step = max(1, len(failures) // _FAILURE_COUNT)
    return tuple(failures[::step][:_FAILURE_COUNT])
