"""Language models of the real corpora: read as their published numbers are, and learnt from in a few steps."""

import os
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from training.data.encoding.tokenization import UNKNOWN_ID
from training.data.load import load_corpus
from training.preparation.prepare import prepare
from training.settings.recipe import Recipe
from training.tasks.stream import StreamTask

pytestmark = pytest.mark.data

CHARACTERS: dict[str, Any] = {"kind": "characters"}


@pytest.fixture(scope="module")
def data_folder() -> Path:
    folder = os.environ.get("SEQSERVE_DATA")
    if not folder:
        pytest.skip("SEQSERVE_DATA names no folder of real corpora")
    return Path(folder)


def prepared(data_folder: Path, corpus: str, tokenizer: dict[str, Any], **data: Any) -> StreamTask:
    recipe = Recipe.model_validate(
        {
            "name": "text",
            "version": 1,
            "task": "generation",
            "seed": 1,
            "data": {"corpus": corpus} | data,
            "tokenizer": tokenizer,
            "model": {"cell": "lstm", "embedding_size": 32, "hidden_size": 64},
            "training": {"epochs": 1, "batch_tokens": 2048, "threads": 1},
            "windows": {"token_count": 64, "continuous": corpus in {"ptb", "tinyshakespeare"}},
        }
    )
    task = prepare(recipe, load_corpus(corpus, data_folder))
    assert isinstance(task, StreamTask)
    return task


def learn(task: StreamTask, steps: int) -> tuple[float, float]:
    """Mean loss of the first and of the last few of some updates."""
    torch.set_num_threads(1)
    optimizer = torch.optim.Adam(task.model.parameters(), lr=5e-3)
    losses = []
    for batch in islice(task.batches(1), steps):
        loss = task.loss(batch)
        mean = loss.total / loss.count
        optimizer.zero_grad()
        torch.autograd.backward(mean)
        optimizer.step()
        losses.append(mean.item())
    return sum(losses[:5]) / 5, sum(losses[-5:]) / 5


def test_the_plays_are_one_text_of_known_characters(data_folder: Path) -> None:
    task = prepared(data_folder, "tinyshakespeare", CHARACTERS)
    assert task.text.tokenizer.vocabulary_size == 4 + 65
    assert task.metric == "bits per character"
    assert task.token_count == 948_084 + 2 * 2, "85 % of 1,115,394 characters, and both ends of two texts"
    assert task.batch_count() == 463
    first, last = learn(task, 60)
    assert last < first - 1


def test_the_treebank_has_its_published_words(data_folder: Path) -> None:
    task = prepared(data_folder, "ptb", {"kind": "whitespace", "vocabulary_size": 20_000})
    assert task.text.tokenizer.vocabulary_size == 3 + 9_999, "padding, begin, end; and the words, the unknown one too"
    assert task.metric == "perplexity"
    assert task.token_count == 929_589 + 42_068, "as published, and a begin for each sentence that is not predicted"
    unknown = sum(int((ids == UNKNOWN_ID).sum()) for ids in task.texts)
    assert unknown == 45_020, "what its authors have replaced, and nothing else"
    first, last = learn(task, 40)
    assert last < first - 1


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_reviews_are_read_whole_however_long_they_are(data_folder: Path, kind: str) -> None:
    task = prepared(data_folder, "imdb-text", {"kind": kind, "vocabulary_size": 4000}, max_examples=500)
    assert len(task.texts) == 500
    assert max(map(len, task.texts)) > 1000
    first, last = learn(task, 40)
    assert last < first - 0.5
