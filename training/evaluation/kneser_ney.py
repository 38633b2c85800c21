"""An n-gram model with Kneser-Ney smoothing: the strongest of those that only count.   Knows token ids; no text."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from training.evaluation.ngram import Context, NgramModel, fit_ngram_model

Discounts = tuple[float, float, float]
"""What is taken from tokens that were counted once, twice, and oftener."""

_UNKNOWN_DISCOUNTS: Discounts = (0.5, 0.75, 0.9)
"""Where too few tokens were counted to tell."""


@dataclass(frozen=True)
class KneserNeyModel(NgramModel):
    """An n-gram model with interpolated modified Kneser-Ney smoothing.

    p(w | h) = (c(hw) - D(c(hw)) + g(h) p(w | h')) / c(h), where h' is h without its oldest token, D a discount that
    depends on the count, and g(h) all that was taken from what followed h; below the empty context stands 1 /
    vocabulary size. Contexts of the full length count tokens; shorter ones count before how many different tokens a
    token was seen after them.

    Source: Chen and Goodman 1998, An empirical study of smoothing techniques, section 3.
    """

    discounts: tuple[Discounts, ...] = ()
    """Of contexts of 0 to order - 1 tokens."""

    def probability(self, token_id: int, context: Sequence[int]) -> float:
        """As `NgramModel`."""
        history = tuple(context)[-(self.order - 1) :] if self.order > 1 else ()
        probability = 1 / self.vocabulary_size
        for length, discounts in enumerate(self.discounts[: len(history) + 1]):
            followers = self.counts.get(history[len(history) - length :])
            if followers is None:
                break  # an unseen context: whatever is longer is unseen too
            count = followers[token_id]
            taken = sum(_discount(discounts, times) * kinds for times, kinds in Counter(followers.values()).items())
            probability = (count - _discount(discounts, count) + taken * probability) / followers.total()
        return probability


def fit_kneser_ney_model(
    sequences: Iterable[Sequence[int]], *, order: int, vocabulary_size: int, bos_id: int, eos_id: int
) -> KneserNeyModel:
    """Count the n-grams of sequences.   Arguments as `fit_ngram_model`."""
    counted = fit_ngram_model(sequences, order=order, vocabulary_size=vocabulary_size, bos_id=bos_id, eos_id=eos_id)
    counts = {context: followers for context, followers in counted.counts.items() if len(context) == order - 1}
    continued = counts
    for _ in range(order - 1):
        continued = _continuations(continued)
        counts = counts | continued
    discounts = tuple(
        _discounts([of for context, of in counts.items() if len(context) == size]) for size in range(order)
    )
    return KneserNeyModel(order, vocabulary_size, bos_id, eos_id, counts, discounts)


def _continuations(longer: dict[Context, Counter[int]]) -> dict[Context, Counter[int]]:
    """For contexts one token shorter: after how many different longer ones each token was seen."""
    shorter: dict[Context, Counter[int]] = {}
    for context, followers in longer.items():
        shorter.setdefault(context[1:], Counter()).update(followers.keys())
    return shorter


def _discounts(followers: Sequence[Counter[int]]) -> Discounts:
    """Chen and Goodman's estimates from how many counts are 1, 2, 3 and 4."""
    seen = Counter(count for of_context in followers for count in of_context.values())
    if not all(seen[times] for times in (1, 2, 3, 4)):
        return _UNKNOWN_DISCOUNTS
    share = seen[1] / (seen[1] + 2 * seen[2])
    found = [times - (times + 1) * share * seen[times + 1] / seen[times] for times in (1, 2, 3)]
    if not all(0 < value < times for times, value in enumerate(found, start=1)):
        return _UNKNOWN_DISCOUNTS
    return found[0], found[1], found[2]


def _discount(discounts: Discounts, count: int) -> float:
    return discounts[min(count, 3) - 1] if count else 0.0
