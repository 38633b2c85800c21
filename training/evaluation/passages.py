"""The passages of test texts that a language model expected the least.   Knows tokens and likelihoods; no model."""

import unicodedata
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from service.text.tokenizer import Tokenizer
from training.data.encoding.tokenization import UNKNOWN, is_character_level
from training.scoring.scores import FAILURE_COUNT, Failure, likelihood_score

_PASSAGE_TOKENS = 40
"""Of a text, looked at together; what is left at its end counts from a quarter of that."""


class _Passage(NamedTuple):
    """Some tokens of a text.

    Attributes:
        text: which one, counted from 0.
        start: which of its tokens is the first, counted from 0.
        token_ids: one at least.
        log_likelihood: of all of them, in nats.
    """

    text: int
    start: int
    token_ids: Sequence[int]
    log_likelihood: float

    @property
    def mean(self) -> float:
        """Log-likelihood per token."""
        return self.log_likelihood / len(self.token_ids)


def unlikeliest_passages(
    tokenizer: Tokenizer,
    texts: Sequence[str],
    sequences: Sequence[Sequence[int]],
    likelihoods: Sequence[npt.NDArray[np.float64]],
) -> tuple[Failure, ...]:
    """Return a few, the worst first, by the mean of their tokens; ends of texts left out.

    Args:
        tokenizer: the model's.
        texts: as they are in the corpus.
        sequences: their token ids, without an end.
        likelihoods: per text [tokens + 1], in nats, the end last.
    """
    passages = [
        _Passage(index, start, ids, float(row[start : start + len(ids)].sum()))
        for index, (sequence, row) in enumerate(zip(sequences, likelihoods, strict=True))
        for start in range(0, len(sequence), _PASSAGE_TOKENS)
        if (ids := sequence[start : start + _PASSAGE_TOKENS])
    ]
    long = [one for one in passages if len(one.token_ids) >= _PASSAGE_TOKENS // 4] or passages
    worst = sorted(long, key=lambda one: one.mean)[:FAILURE_COUNT]
    return tuple(Failure(_spelt(one, tokenizer, texts[one.text]), _told(one, tokenizer)) for one in worst)


def _spelt(passage: _Passage, tokenizer: Tokenizer, text: str) -> str:
    """A passage as the corpus spells it, where each token is a character; else as decoded, unknown words shown."""
    if is_character_level(tokenizer):
        return unicodedata.normalize("NFC", text)[passage.start : passage.start + len(passage.token_ids)]
    parts = groupby(passage.token_ids, key=lambda token_id: token_id == tokenizer.unknown_id)
    return " ".join(
        " ".join(UNKNOWN for _ in token_ids) if unknown else tokenizer.decode(list(token_ids))
        for unknown, token_ids in parts
    )


def _told(passage: _Passage, tokenizer: Tokenizer) -> str:
    """Say how little a passage was expected, and how much of it the vocabulary lacks."""
    count = len(passage.token_ids)
    unknown = sum(token_id == tokenizer.unknown_id for token_id in passage.token_ids)
    score = likelihood_score([passage.log_likelihood], count, characters=is_character_level(tokenizer))
    return f"{score.name} {score.shown}, over {count} tokens" + (
        f", {unknown} of them unknown to it" if unknown else ""
    )
