"""Trains one translation model for a number of updates and says how fast; `tests.bench.training_speed` runs it.

`seqserve` is the project's own loop; `naive` is the loop that tutorials show: random batches of sentences, and a
decoder that is run step by step.
"""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import torch
from rich.progress import Progress
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from training.data.encoding.batches import Batch
from training.data.examples import Splits, TextPair
from training.preparation.prepare import prepare
from training.run.loop import train
from training.settings.recipe import Recipe
from training.tasks.base import Task

EMBEDDING, HIDDEN, DROPOUT, SMOOTHING, CLIP, LEARNING_RATE = 256, 256, 0.2, 0.1, 1.0, 1e-3
SENTENCES = 64
PADDED_TOKENS = 1024
"""What 64 sentences of the corpus come to."""
THREADS = 2
BOS, EOS, PAD = "<bos>", "<eos>", 0


class EnoughError(Exception):
    """All updates are done."""


@dataclass
class Clock:
    """Prints, every so many updates, the target tokens per second since the last time."""

    updates: int
    every: int
    token_count: int = 0
    started: float = field(default_factory=time.perf_counter)

    def tick(self, update: int, token_count: int) -> None:
        """Count an update.   Raises EnoughError after the last."""
        self.token_count += token_count
        if update % self.every == 0:
            now = time.perf_counter()
            sys.stdout.write(f"tokens_per_second {self.token_count / (now - self.started):.1f}\n")
            self.token_count, self.started = 0, now
        if update >= self.updates:
            raise EnoughError


def train_with_seqserve(sources: list[str], targets: list[str], clock: Clock, precision: str) -> None:
    """The project's own loop, from recipe to updates."""
    pairs = tuple(TextPair(source, target) for source, target in zip(sources, targets, strict=True))
    words = {"kind": "words", "vocabulary_size": 100_000}
    document = {
        "name": "training-speed",
        "version": 1,
        "task": "translation",
        "seed": 1,
        "data": {"corpus": "training-speed"},
        "source_tokenizer": words,
        "target_tokenizer": words,
        "model": {
            "cell": "lstm",
            "bidirectional": True,
            "embedding_size": EMBEDDING,
            "hidden_size": HIDDEN,
            "dropout": DROPOUT,
            "attention": "general",
            "tie_weights": True,
        },
        "training": {
            "epochs": 100,
            "batch_tokens": PADDED_TOKENS,
            "learning_rate": LEARNING_RATE,
            "clip_norm": CLIP,
            "label_smoothing": SMOOTHING,
            "threads": THREADS,
            "precision": precision,
        },
    }
    task = prepare(Recipe.model_validate(document), Splits(pairs, pairs[:10], ()))
    with TemporaryDirectory() as folder, Progress(disable=True) as progress:
        train(cast("Task", _Timed(task, clock)), Path(folder), run_sha256="", progress=progress)


class _Timed:
    """The task, its updates counted: one for each batch."""

    def __init__(self, task: Task, clock: Clock) -> None:
        self._task, self._clock, self._updates = task, clock, 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._task, name)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """As the task's; the next one is asked for when the last was learnt from."""
        for batch in self._task.batches(epoch):
            yield batch
            self._updates += 1
            self._clock.tick(self._updates, int((batch.columns[1].lengths - 1).sum()))


class NaiveTranslator(nn.Module):
    """The model of the tutorials, of the same sizes: bidirectional encoder, Luong's general attention."""

    def __init__(self, source_size: int, target_size: int) -> None:
        super().__init__()
        self.source_embedding = nn.Embedding(source_size, EMBEDDING, padding_idx=PAD)
        self.target_embedding = nn.Embedding(target_size, EMBEDDING, padding_idx=PAD)
        self.encoder = nn.LSTM(EMBEDDING, HIDDEN, batch_first=True, bidirectional=True)
        self.bridge = nn.Linear(2 * HIDDEN, HIDDEN)
        self.decoder = nn.LSTM(EMBEDDING, HIDDEN, batch_first=True)
        self.query = nn.Linear(HIDDEN, 2 * HIDDEN, bias=False)
        self.combine = nn.Linear(3 * HIDDEN, EMBEDDING)
        self.output = nn.Linear(EMBEDDING, target_size)
        self.output.weight = self.target_embedding.weight
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Logits [rows, time - 1, vocabulary] of `target` [rows, time] after its first token."""
        lengths = (source != PAD).sum(dim=1)
        packed = pack_padded_sequence(
            self.dropout(self.source_embedding(source)), lengths, batch_first=True, enforce_sorted=False
        )
        outputs, (hidden, cell) = self.encoder(packed)
        memory, _ = pad_packed_sequence(outputs, batch_first=True)  # [rows, source time, 2 * hidden]
        state = tuple(torch.tanh(self.bridge(torch.cat([last[0], last[1]], dim=-1)))[None] for last in (hidden, cell))
        logits = []
        for step in range(target.shape[1] - 1):
            embedded = self.dropout(self.target_embedding(target[:, step : step + 1]))
            output, state = self.decoder(embedded, state)  # [rows, 1, hidden]
            scores = (self.query(output) @ memory.transpose(1, 2)).masked_fill((source == PAD)[:, None], -1e9)
            context = torch.softmax(scores, dim=-1) @ memory
            combined = torch.tanh(self.combine(torch.cat([output, context], dim=-1)))
            logits.append(self.output(self.dropout(combined)))
        return torch.cat(logits, dim=1)


def train_naively(sources: list[str], targets: list[str], clock: Clock) -> None:
    """The loop of the tutorials: shuffled batches of sentences, one step of the decoder after another."""
    torch.manual_seed(1)
    torch.set_num_threads(THREADS)
    source_ids, target_ids = _ids(sources, ends=[EOS]), _ids(targets, begins=[BOS], ends=[EOS])
    model = NaiveTranslator(_size(source_ids), _size(target_ids))
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    criterion = nn.CrossEntropyLoss(ignore_index=PAD, label_smoothing=SMOOTHING)
    update = 0
    while True:
        order = torch.randperm(len(sources)).tolist()
        for start in range(0, len(order), SENTENCES):
            indices = order[start : start + SENTENCES]
            source = pad_sequence([source_ids[index] for index in indices], batch_first=True)
            target = pad_sequence([target_ids[index] for index in indices], batch_first=True)
            optimizer.zero_grad()
            loss = criterion(model(source, target).flatten(0, 1), target[:, 1:].flatten())
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
            update += 1
            clock.tick(update, int((target[:, 1:] != PAD).sum()))


def _ids(texts: list[str], *, begins: list[str] | None = None, ends: list[str]) -> list[Tensor]:
    rows = [[*(begins or []), *text.split(), *ends] for text in texts]
    numbers = {token: number for number, token in enumerate(sorted({token for row in rows for token in row}), start=1)}
    return [torch.tensor([numbers[token] for token in row]) for row in rows]


def _size(rows: list[Tensor]) -> int:
    return max(int(row.max()) for row in rows) + 1


def main() -> None:
    """CONTENDER FOLDER UPDATES EVERY: the folder holds train.source and train.target, tokens between blanks."""
    contender, folder, updates, every = sys.argv[1:]
    sources, targets = (
        Path(folder, f"train.{side}").read_text(encoding="utf-8").splitlines() for side in ("source", "target")
    )
    clock = Clock(int(updates), int(every))
    contenders: dict[str, Callable[[list[str], list[str], Clock], None]] = {
        "seqserve": partial(train_with_seqserve, precision="float32"),
        "seqserve-bfloat16": partial(train_with_seqserve, precision="bfloat16"),
        "naive": train_naively,
    }
    try:
        contenders[contender](sources, targets, clock)
    except EnoughError:
        return


if __name__ == "__main__":
    main()
