"""The measures that validation and evaluation share.   Knows predictions and answers; no model."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

from sacrebleu.metrics.bleu import BLEU
from sklearn.metrics import accuracy_score

from training.scoring.answers import Answers

_FAILURE_COUNT = 5
_QUOTED_WIDTH = 80
"""Characters."""


@dataclass(frozen=True)
class Score:
    """A measured number and how it was measured."""

    name: str
    value: float
    method: str
    decimals: int = 2

    @property
    def shown(self) -> str:
        """The number, rounded for people."""
        return f"{self.value:.{self.decimals}f}"

    def __str__(self) -> str:
        return f"{self.name} {self.shown} ({self.method})"


@dataclass(frozen=True)
class Evaluation:
    """What a bundle reaches on test examples that were never trained.

    Attributes:
        score: of the bundle.
        baseline: the same measure of what needs no network.
        failures: a few answers that were wrong, for the card.
        answers: everything that the scores were made of.
        further: other measures of the same answers.
        other_baselines: more of what needs no network.
    """

    score: Score
    baseline: Score
    failures: tuple[str, ...]
    answers: Answers
    further: tuple[Score, ...] = ()
    other_baselines: tuple[Score, ...] = ()


def accuracy(predicted: Sequence[str], expected: Sequence[str], unit: str = "texts") -> Score:
    """Share of equal labels by scikit-learn, in percent."""
    right = accuracy_score(expected, predicted, normalize=False)
    return Score("accuracy", 100 * right / len(expected), f"percent of {len(expected)} {unit}")


def of(owner: str, score: Score) -> Score:
    """The score, named after what reached it."""
    return replace(score, name=f"{score.name} of {owner}")


def quoted(text: str) -> str:
    """Return the beginning of a text for a card: corpora that may not be passed on are quoted, not copied."""
    return repr(textwrap.shorten(text, _QUOTED_WIDTH, placeholder=" …"))


def few(failures: Sequence[str]) -> tuple[str, ...]:
    """Return a few failures, taken evenly over all of them."""
    step = max(1, len(failures) // _FAILURE_COUNT)
    return tuple(failures[::step][:_FAILURE_COUNT])


def perplexity(log_likelihoods: Sequence[float], token_count: int) -> Score:
    """Exponential of the mean negative log-likelihood per token, in nats; ends of sequences count as tokens."""
    value = math.exp(-math.fsum(log_likelihoods) / token_count)
    return Score("perplexity", value, f"per token, over {token_count} tokens, ends included")


def likelihood_score(log_likelihoods: Sequence[float], token_count: int, *, characters: bool) -> Score:
    """Bits per character where tokens are characters, else perplexity per token: the measures that others publish.

    Args:
        log_likelihoods: in nats; their sum counts.
        token_count: that were predicted, ends of texts included.
        characters: the tokens are characters.
    """
    if not characters:
        return perplexity(log_likelihoods, token_count)
    nats = -math.fsum(log_likelihoods) / token_count
    method = f"{nats:.4f} nats per character, over {token_count} characters, ends included"
    return Score("bits per character", nats / math.log(2), method, decimals=4)


def bleu(hypotheses: Sequence[str], references: Sequence[Sequence[str]], tokenization: str = "13a") -> Score:
    """Corpus BLEU by sacrebleu.

    Args:
        hypotheses: one translation per source.
        references: per source, every translation that counts as right, one at least.
        tokenization: sacrebleu's name of how texts are cut into words.
    """
    widest = max(len(group) for group in references)
    # None where a source has fewer references than others: an empty text would count as a reference of length 0
    streams = [[group[place] if place < len(group) else None for group in references] for place in range(widest)]
    metric = BLEU(tokenize=tokenization, force=True)  # no warning of texts that look tokenised
    value = float(metric.corpus_score(list(hypotheses), cast("list[list[str]]", streams)).score)
    return Score("BLEU", value, f"sacrebleu {metric.get_signature()}, {len(hypotheses)} sentences")
