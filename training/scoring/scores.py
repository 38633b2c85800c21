"""The measures that validation and evaluation share.   Knows predictions and answers; no model."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Protocol, cast

from sacrebleu.metrics.bleu import BLEU
from sklearn.metrics import accuracy_score

from training.scoring.answers import Answers

FAILURE_COUNT = 5
"""Most that a card tells."""
_QUOTED_WIDTH = 80
"""Characters."""
_BRIEF_WORDS = 5
_WORDS_BEFORE = 2
"""Of two texts that differ, what is quoted before the first word that does."""


class Quote(Protocol):
    """Shortens a text for a card: `quoted` or `quoted_briefly`."""

    def __call__(self, text: str, *, start: int = 0) -> str:
        """Quote from word `start` on, counted from 0."""


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
        outcome: what came of it: in words, or where `reference` is given the text that was answered.
        reference: a text that was right; empty where none is.
    """

    text: str
    outcome: str
    reference: str = ""

    def told(self, quote: Quote) -> str:
        """Say it in a line; `quote` shortens what is of the corpus. Two texts are shown where they begin to differ."""
        if not self.reference:
            return f"{quote(self.text)}: {self.outcome}"
        start = max(0, _shared_words(self.outcome, self.reference) - _WORDS_BEFORE)
        return (
            f"{quote(self.text)}: answered {quoted(self.outcome, start=start)}; "
            f"a right one is {quote(self.reference, start=start)}"
        )


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


def quoted(text: str, *, start: int = 0) -> str:
    """Return a text for a card from a word on, or the beginning of that."""
    return _quoted(text.split()[start:], start)


def quoted_briefly(text: str, *, start: int = 0) -> str:
    """Return a few words of a text for a card: corpora that may not be passed on are hinted at, not copied."""
    words = text.split()[start:]
    return _quoted(words[:_BRIEF_WORDS] + ["…"] * (len(words) > _BRIEF_WORDS), start)


def _quoted(words: Sequence[str], start: int) -> str:
    return repr(textwrap.shorten(" ".join([*["…"] * (start > 0), *words]), _QUOTED_WIDTH, placeholder=" …"))


def _shared_words(one: str, other: str) -> int:
    """How many words two texts begin with alike."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one.split(), other.split(), strict=False)))


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
