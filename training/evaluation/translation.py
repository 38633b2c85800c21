"""Scores of a translator's bundle, run by the service's own runtime and engine.   Knows no other task."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from service.bundle.store import OpenedBundle
from service.engine.offline import decode_all
from service.engine.rows import TranslationRows
from service.runtime.models import TranslationModel
from training.data.examples import ReferencedText, Splits, TextPair, group_references
from training.evaluation.demonstrate import tokenizer_of
from training.scoring.answers import TranslationAnswers
from training.scoring.scores import Evaluation, Failure, Score, bleu, few, of, with_cuts
from training.settings.evaluation import EvaluationSettings

KEEP_BEGINNING = "truncation=TRUNCATION_KEEP_BEGINNING"
"""Field of a request that has texts cut as they are cut here."""


@dataclass(frozen=True)
class _Cut:
    """How many sources were longer than the model accepts, and what that is, ends included."""

    count: int
    limit: int


def evaluate_translator(
    model: TranslationModel, bundle: OpenedBundle, splits: Splits[TextPair], settings: EvaluationSettings
) -> Evaluation:
    """Score a translator: as the recipe searches, and where that is a beam, greedily too."""
    groups, spec = group_references(splits.test), model.spec
    source = tokenizer_of(bundle, spec.source)
    encoded = [source.encode(group.source) for group in groups]
    sequences = [token_ids[: spec.max_token_count - 1] for token_ids in encoded]  # the engine appends the end itself
    cut = _Cut(sum(len(ids) + 1 > spec.max_token_count for ids in encoded), spec.max_token_count)
    hypotheses = _translate(model, bundle, sequences, settings)
    answers = TranslationAnswers(groups, tuple(hypotheses), tuple(len(ids) + 1 for ids in sequences))
    score, *further = _scores(groups, hypotheses, settings, cut)
    if settings.beam_size > 1:
        greedy = settings.model_copy(update={"beam_size": 1})
        found = _scores(groups, _translate(model, bundle, sequences, greedy), greedy, cut)[0]
        further.append(replace(found, name=f"{found.name}, greedy"))
    copied = bleu([group.source for group in groups], _references(groups), settings.bleu_tokenization)
    return Evaluation(
        score,
        of("the source, copied", copied),
        few(_failures(groups, hypotheses)),
        answers,
        tuple(further),
        asked=_asked(settings, cut),
    )


def _translate(
    model: TranslationModel, bundle: OpenedBundle, sequences: Sequence[Sequence[int]], settings: EvaluationSettings
) -> list[str]:
    produced = decode_all(
        TranslationRows(model),
        sequences,
        max_output_token_count=model.spec.max_output_token_count,
        beam_size=settings.beam_size,
        length_penalty=settings.length_penalty,
    )
    target = tokenizer_of(bundle, model.spec.target)
    return [target.decode(ids) for ids in produced]


def _scores(
    groups: Sequence[ReferencedText], hypotheses: Sequence[str], settings: EvaluationSettings, cut: _Cut
) -> list[Score]:
    """BLEU, and where a source has several references, BLEU against the first of each as well."""
    references = _references(groups)
    scores = [bleu(hypotheses, references, settings.bleu_tokenization)]
    if any(len(of_one) > 1 for of_one in references):
        alone = bleu(hypotheses, [of_one[:1] for of_one in references], settings.bleu_tokenization)
        scores.append(replace(alone, name=f"{alone.name}, first reference alone"))
    return [_with_search(with_cuts(score, cut.count, cut.limit), settings) for score in scores]


def _with_search(score: Score, settings: EvaluationSettings) -> Score:
    if settings.beam_size == 1:
        return score
    beam = f"beam of {settings.beam_size}, length penalty {settings.length_penalty:g}"
    return replace(score, method=f"{score.method}, {beam}")


def _asked(settings: EvaluationSettings, cut: _Cut) -> tuple[str, ...]:
    fields = []
    if settings.beam_size > 1:
        fields += [f"beam_size={settings.beam_size}", f"length_penalty={settings.length_penalty:g}"]
    return tuple(fields + [KEEP_BEGINNING] * (cut.count > 0))


def _references(groups: Sequence[ReferencedText]) -> list[tuple[str, ...]]:
    return [group.references for group in groups]


def _failures(groups: Sequence[ReferencedText], hypotheses: Sequence[str]) -> list[Failure]:
    return [
        Failure(group.source, hypothesis, group.references[0])
        for group, hypothesis in zip(groups, hypotheses, strict=True)
        if hypothesis not in group.references
    ]
