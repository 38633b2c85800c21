"""A language model that reads a stream: the state goes on, gradients do not, and no text is too long."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.progress import Progress

from service.engine.offline import stream_log_likelihoods
from service.runtime.models import LanguageModel, load_model
from training.data.encoding.batches import Batch, Padded
from training.data.encoding.tokenization import BOS_ID, EOS_ID
from training.data.examples import AnySplits, PlainText, Splits
from training.errors import DataError
from training.evaluation.evaluate import evaluate_bundle
from training.export.bundle import draft_bundle
from training.optimization.distributed import ALONE
from training.optimization.updates import Learner
from training.preparation.prepare import prepare
from training.run.checkpoint import load_checkpoint
from training.run.loop import LAST, train
from training.settings.recipe import Recipe
from training.tasks.generation import rows_loss
from training.tasks.stream import StreamTask

MakeRecipe = Callable[..., Recipe]
Tiny = Mapping[str, AnySplits]
Prepare = Callable[..., StreamTask]


@pytest.fixture
def prepared(make_recipe: MakeRecipe, tiny_splits: Tiny) -> Prepare:
    """A task on the tiny tunes; settings of [windows] and others can be changed, and other texts given."""

    def prepare_it(
        splits: AnySplits | None = None, model: Any = None, training: Any = None, **windows: Any
    ) -> StreamTask:
        recipe = make_recipe(
            "generation",
            windows={"token_count": 8} | windows,
            training={"batch_tokens": 24} | (training or {}),
            model=model or {},
        )
        task = prepare(recipe, splits or tiny_splits["generation"])
        assert isinstance(task, StreamTask)
        return task

    return prepare_it


def column(task: StreamTask, epoch: int) -> list[list[list[int]]]:
    return [batch.columns[0].values.tolist() for batch in task.batches(epoch)]


def losses(task: StreamTask, epoch: int) -> list[float]:
    return [task.loss(batch).total.item() for batch in task.batches(epoch)]


@pytest.mark.parametrize("random_token_count", [False, True])
def test_an_epoch_has_the_batches_that_were_promised(prepared: Prepare, random_token_count: bool) -> None:
    task = prepared(random_token_count=random_token_count)
    assert {len(column(task, epoch)) for epoch in range(1, 6)} == {task.batch_count()}
    assert {len(rows) for rows in column(task, 1)} == {3}


def test_epochs_are_cut_at_other_places_and_come_again_the_same(prepared: Prepare) -> None:
    task = prepared(random_token_count=True)
    assert column(task, 1) == column(task, 1)
    assert column(task, 1) != column(task, 2)


def test_windows_read_one_after_another_cost_what_the_rows_cost_at_once(prepared: Prepare) -> None:
    task = prepared()
    task.model.eval()
    windows = list(task.batches(1))
    rows = np.concatenate(
        [windows[0].columns[0].values, *(window.columns[0].values[:, 1:] for window in windows[1:])], axis=1
    )
    with torch.no_grad():
        at_once = rows_loss(task.model, torch.from_numpy(rows), batch_tokens=10_000)
        in_windows = [task.loss(window) for window in windows]
    assert sum(loss.count for loss in in_windows) == at_once.count
    assert sum(loss.total.item() for loss in in_windows) == pytest.approx(at_once.total.item(), rel=1e-6)


def test_the_state_of_a_window_matters_and_an_epoch_begins_without_one(prepared: Prepare) -> None:
    task = prepared()
    task.model.eval()
    with torch.no_grad():
        first = losses(task, 1)
        assert losses(task, 1) == first
        second = list(task.batches(1))[1]
        task.restore_carried_state({})
        assert task.loss(second).total.item() != first[1]


def test_gradients_do_not_leave_their_window(prepared: Prepare) -> None:
    task = prepared()
    first, second, *_ = task.batches(1)
    task.loss(first)
    assert not task.carried_state()["state"].requires_grad
    torch.autograd.backward(task.loss(second).total)
    embedding = task.model.embedding.weight.grad
    assert embedding is not None
    read = set(second.columns[0].values[:, :-1].flatten().tolist())
    moved = set(torch.nonzero(embedding.abs().sum(dim=1)).flatten().tolist())
    assert moved <= read


def test_a_task_goes_on_within_an_epoch_from_what_another_carried(prepared: Prepare) -> None:
    whole, stopped, resumed = prepared(), prepared(), prepared()
    for task in (whole, stopped, resumed):
        task.model.eval()
    with torch.no_grad():
        expected = losses(whole, 2)
        for batch in list(stopped.batches(2))[:2]:
            stopped.loss(batch)
        resumed.restore_carried_state(stopped.carried_state())
        rest = [resumed.loss(batch).total.item() for batch in list(resumed.batches(2))[2:]]
    assert rest == expected[2:]


@dataclass(frozen=True)
class Stopping(StreamTask):
    """Is stopped by hand before some window of its second epoch."""

    def batches(self, epoch: int) -> Iterator[Batch]:
        for index, batch in enumerate(super().batches(epoch)):
            if (epoch, index) == (2, 5):
                raise KeyboardInterrupt
            yield batch


def run(task: StreamTask, folder: Path) -> dict[str, torch.Tensor]:
    with Progress(disable=True) as progress:
        train(task, folder, run_sha256="a" * 64, progress=progress)
    return load_checkpoint(folder / LAST, run_sha256="a" * 64).weights


def test_a_run_that_was_stopped_within_an_epoch_goes_on_bit_for_bit(prepared: Prepare, tmp_path: Path) -> None:
    changes = {"random_token_count": True, "training": {"checkpoint_steps": 2}, "model": {"dropout": 0.3}}
    whole, stopped, resumed = (prepared(**changes) for _ in range(3))
    expected = run(whole, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(Stopping(**{field.name: getattr(stopped, field.name) for field in fields(stopped)}), tmp_path / "stopped")
    found = run(resumed, tmp_path / "stopped")
    assert all(torch.equal(found[name], weight) for name, weight in expected.items())


def test_the_begin_of_a_text_is_read_and_not_predicted(prepared: Prepare) -> None:
    task = prepared()
    windows = [torch.tensor(rows) for rows in column(task, 1)]
    begins = sum(int((window[:, 1:] == BOS_ID).sum()) for window in windows)
    assert begins > 10
    predicted = sum(task.loss(batch).count for batch in task.batches(1))
    assert predicted == sum(window[:, 1:].numel() for window in windows) - begins


def test_a_window_with_nothing_to_predict_teaches_nothing_and_spoils_nothing(prepared: Prepare) -> None:
    """The last window of a row may hold the begin of a text alone."""
    task = prepared()
    learner = Learner(task, torch.device("cpu"), ALONE)
    window = Padded(np.array([[EOS_ID, BOS_ID]]), np.array([2]))
    update = learner.update([Batch(np.array([0]), (window,))], 0.1)
    assert (update.loss_count, update.mean_loss.item(), update.gradient_norm.item()) == (0, 0, 0)
    assert all(parameter.isfinite().all() for parameter in task.model.parameters())


def test_texts_apart_change_places_between_epochs_and_continuous_ones_do_not(prepared: Prepare) -> None:
    def follows(task: StreamTask, epoch: int) -> set[tuple[int, ...]]:
        """What stands behind each end of a text."""
        stream = [rows[0] for rows in column(task, epoch)]
        flat = [*stream[0], *(token for window in stream[1:] for token in window[1:])]
        return {tuple(flat[at - 2 : at + 4]) for at, token in enumerate(flat) if token == EOS_ID and at > 2}

    task = prepared(continuous=True)
    text = np.concatenate(task.texts)
    circle = np.concatenate([text, text[:10]]).tolist()
    runs = {tuple(circle[at : at + 6]) for at in range(len(text))}
    assert all(found in runs for epoch in (1, 2, 3) for found in follows(task, epoch) if len(found) == 6)
    apart = prepared(continuous=False)
    assert follows(apart, 1) != follows(apart, 2)


def test_long_rows_are_read_in_parts_with_the_same_loss(prepared: Prepare) -> None:
    task = prepared()
    task.model.eval()
    token_ids = torch.from_numpy(np.concatenate(task.texts))[None].repeat(2, 1)
    with torch.no_grad():
        whole, parts = (rows_loss(task.model, token_ids, batch_tokens=budget) for budget in (10_000, 14))
    assert whole.count == parts.count
    assert whole.total.item() == pytest.approx(parts.total.item(), rel=1e-6)


def test_no_text_is_too_long(prepared: Prepare) -> None:
    long = PlainText("K:C\n" + "ABcd|" * 4000)
    task = prepared(Splits((long,), (long,), ()))
    assert task.token_count == 20_006
    assert max(batch.columns[0].values.size for batch in task.batches(1)) <= 3 * 9
    with torch.no_grad():
        assert np.isfinite(task.validate())


def test_too_little_text_for_the_rows_is_told(prepared: Prepare) -> None:
    splits = Splits((PlainText("AB"),), (PlainText("AB"),), ())
    with pytest.raises(DataError, match=r"more than 6 tokens \(2 for each of 3 rows\), found 1 texts and 4 tokens"):
        prepared(splits)


def test_the_bundle_of_a_stream_is_measured_as_one_text(prepared: Prepare, tiny_splits: Tiny, tmp_path: Path) -> None:
    task = prepared()
    with Progress(disable=True) as progress:
        outcome = train(task, tmp_path, run_sha256="a" * 64, progress=progress)
    assert outcome.epochs[-1].loss < outcome.epochs[0].loss
    bundle = draft_bundle(task, run_sha256="a" * 64).opened()
    splits = tiny_splits["generation"]
    carried, apart = (evaluate_bundle(bundle, splits, continuous=continuous) for continuous in (True, False))
    assert carried.score.name == "bits per character"
    assert carried.score.value != apart.score.value
    assert carried.score.method.endswith("ends included, the state carried from text to text")
    assert carried.baseline.name == "bits per character of a 3-gram model"

    texts = [task.text.tokenizer.encode(example.text) for example in splits.test if isinstance(example, PlainText)]
    stream = torch.tensor([[one for text in texts for one in (BOS_ID, *text, EOS_ID)]])
    with torch.no_grad():
        expected = rows_loss(task.model, stream, batch_tokens=10_000)
    model = load_model(bundle)
    assert isinstance(model, LanguageModel)
    assert sum(float(row.sum()) for row in stream_log_likelihoods(model, texts)) == pytest.approx(
        -expected.total.item(), rel=1e-5
    )
    assert carried.score.value == pytest.approx(expected.total.item() / expected.count / np.log(2), rel=1e-5)
