"""The measures that validation and evaluation share.   Knows predictions and answers; no model."""

import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

from sacrebleu.metrics.bleu import BLEU
from sklearn.metrics import accuracy_score

from training.scoring.answers import Answers

FAILURE_COUNT = 5
"""Most that a card tells."""
_QUOTED_WIDTH = 80
"""Characters."""
_BRIEF_WORDS = 5


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
class Failure:
    """A test example that went wrong.

    Attributes:
        text: the example, or a part of it.
        outcome: what came of it, in words.
        reference: a text that was right; empty where none is.
    """

    text: str
    outcome: str
    reference: str = ""

    def told(self, quote: Callable[[str], str]) -> str:
        """Say it in a line; `quote` shortens what is of the corpus."""
        return f"{quote(self.text)}: {self.outcome}" + (f", and not {quote(self.reference)}" if self.reference else "")


@dataclass(frozen=True)
class Evaluation:
    """What a bundle reaches on test examples that were never trained.

    Attributes:
        score: of the bundle.
        baseline: the same measure of what needs no network.
        failures: a few that were wrong, or the worst, for the card.
        answers: everything that the scores were made of.
        further: other measures of the same answers.
        other_baselines: more of what needs no network.
        asked: fields of a request, or more in words, that give these answers and that are not what is had unasked.
    """

    score: Score
    baseline: Score
    failures: tuple[Failure, ...]
    answers: Answers
    further: tuple[Score, ...] = ()
    other_baselines: tuple[Score, ...] = ()
    asked: tuple[str, ...] = ()


def accuracy(predicted: Sequence[str], expected: Sequence[str], unit: str = "texts") -> Score:
    """Share of equal labels by scikit-learn, in percent."""
    right = accuracy_score(expected, predicted, normalize=False)
    return Score("accuracy", 100 * right / len(expected), f"percent of {len(expected)} {unit}")


def of(owner: str, score: Score) -> Score:
    """The score, named after what reached it."""
    return replace(score, name=f"{score.name} of {owner}")


def with_cuts(score: Score, count: int, limit: int) -> Score:
    """Say in the score's method how many texts were cut to what the model accepts, if any were."""
    return replace(score, method=f"{score.method}, {count} cut to {limit} tokens") if count else score


def quoted(text: str) -> str:
    """Return a text for a card, or its beginning."""
    return repr(textwrap.shorten(text, _QUOTED_WIDTH, placeholder=" …"))


def quoted_briefly(text: str) -> str:
    """Return the first words of a text for a card: corpora that may not be passed on are hinted at, not copied."""
    words = text.split()
    return quoted(" ".join(words[:_BRIEF_WORDS]) + (" …" if len(words) > _BRIEF_WORDS else ""))


def few(failures: Sequence[Failure]) -> tuple[Failure, ...]:
    """Return a few failures, taken evenly over all of them."""
    step = max(1, len(failures) // FAILURE_COUNT)
    return tuple(failures[::step][:FAILURE_COUNT])


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
    method = f"sacrebleu {metric.get_signature()}, {len(hypotheses)} sentences"
    if widest > 1:
        method += f", {sum(map(len, references)) / len(references):.2f} references each on average"
    return Score("BLEU", value, method)
