"""An n-gram model of token ids, as the yardstick for recurrent ones.   Counts and one smoothing rule; knows no text.

Its perplexity is over the same tokens as a language model's: every token of a text and the end, never the beginning.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Context = tuple[int, ...]


@dataclass(frozen=True)
class NgramModel:
    """An n-gram model with interpolated Witten-Bell smoothing.

    p(w | h) = (c(hw) + t(h) p(w | h')) / (c(h) + t(h)), where c counts, t(h) is the number of different tokens
    seen after the context h, and h' is h without its oldest token; below the empty context stands 1 / vocabulary
    size. So every token has a probability above zero, and they sum to one after every context.

    Source: Witten and Bell 1991, The zero-frequency problem, method C; interpolated as in Chen and Goodman 1998,
    An empirical study of smoothing techniques, equation 17.
    """

    order: int
    vocabulary_size: int
    bos_id: int
    eos_id: int
    counts: dict[Context, Counter[int]]
    """How often each token followed each context of 0 to order - 1 tokens."""

    def probability(self, token_id: int, context: Sequence[int]) -> float:
        """p(token | context); only the last order - 1 tokens of the context count."""
        history = tuple(context)[-(self.order - 1) :] if self.order > 1 else ()
        probability = 1 / self.vocabulary_size
        for length in range(len(history) + 1):
            followers = self.counts.get(history[len(history) - length :])
            if followers is None:
                break  # an unseen context: whatever is longer is unseen too
            kinds = len(followers)
            probability = (followers[token_id] + kinds * probability) / (followers.total() + kinds)
        return probability

    def log_likelihood(self, token_ids: Sequence[int]) -> float:
        """Natural logarithm of the probability of the sequence with its end."""
        padded = [*[self.bos_id] * (self.order - 1), *token_ids, self.eos_id]
        start = self.order - 1
        return math.fsum(
            math.log(self.probability(padded[position], padded[position - start : position]))
            for position in range(start, len(padded))
        )

    def perplexity(self, sequences: Iterable[Sequence[int]]) -> float:
        """Exponential of the mean negative log-likelihood per token, ends included.

        Raises:
            ValueError: there is no sequence.
        """
        total, token_count = 0.0, 0
        for token_ids in sequences:
            total += self.log_likelihood(token_ids)
            token_count += len(token_ids) + 1
        if token_count == 0:
            raise ValueError("perplexity needs at least one sequence")
        return math.exp(-total / token_count)


def fit_ngram_model(
    sequences: Iterable[Sequence[int]], *, order: int = 3, vocabulary_size: int, bos_id: int, eos_id: int
) -> NgramModel:
    """Count the n-grams of sequences that hold neither `bos_id` nor `eos_id` themselves."""
    counts: dict[Context, Counter[int]] = {}
    for token_ids in sequences:
        padded = [*[bos_id] * (order - 1), *token_ids, eos_id]
        for position in range(order - 1, len(padded)):
            for length in range(order):
                context = tuple(padded[position - length : position])
                counts.setdefault(context, Counter())[padded[position]] += 1
    return NgramModel(order, vocabulary_size, bos_id, eos_id, counts)
