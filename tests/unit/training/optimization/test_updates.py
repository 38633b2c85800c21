"""One update: the same from micro-batches as from one batch, in bfloat16, and on the device that was asked for."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.training_process import RUN, main, tiny_recipe, tiny_splits
from training.data.encoding.batches import Batch
from training.errors import RecipeError
from training.optimization.distributed import ALONE
from training.optimization.updates import Learner, Update
from training.preparation.prepare import prepare
from training.run.checkpoint import load_checkpoint
from training.run.machine import changed_conditions, find_device
from training.settings.recipe import Recipe
from training.tasks.base import device_of
from training.tasks.translation import TranslationTask


def learner(recipe: Recipe) -> Learner:
    task = prepare(recipe, tiny_splits())
    task.model.train()
    return Learner(task, torch.device("cpu"), ALONE)


def batch_of(task: TranslationTask, batch_tokens: int) -> list[Batch]:
    training = task.recipe.training.model_copy(update={"batch_tokens": batch_tokens})
    return list(
        TranslationTask(**{**vars(task), "recipe": task.recipe.model_copy(update={"training": training})}).batches(1)
    )


def learn(batch_tokens: int) -> tuple[Update, dict[str, Tensor], int]:
    """One update from all examples, cut into batches of this size."""
    own = learner(tiny_recipe(dropout=0.0))
    assert isinstance(own.task, TranslationTask)
    batches = batch_of(own.task, batch_tokens)
    return own.update(batches, 0.02), own.task.model.state_dict(), len(batches)


def test_micro_batches_give_the_update_of_one_large_batch() -> None:
    whole, expected, one = learn(10_000)
    parts, found, several = learn(20)
    assert (one, several) == (1, 6)
    assert parts.loss_count == whole.loss_count
    assert parts.loss_total.item() == pytest.approx(whole.loss_total.item(), rel=1e-6)
    assert parts.gradient_norm.item() == pytest.approx(whole.gradient_norm.item(), rel=1e-5)
    for name, weight in expected.items():
        np.testing.assert_allclose(found[name], weight, rtol=0, atol=1e-5, err_msg=name)


@pytest.mark.parametrize(("dropout", "differs"), [(0.0, False), (0.5, True)])
def test_consistency_costs_where_two_readings_of_a_batch_differ(dropout: float, differs: bool) -> None:
    losses = []
    for consistency in (0.0, 100.0):
        recipe = tiny_recipe(dropout=dropout)
        training = recipe.training.model_copy(update={"consistency": consistency})
        own = learner(recipe.model_copy(update={"training": training}))
        assert isinstance(own.task, TranslationTask)
        update = own.update(batch_of(own.task, 10_000), 0.02)
        losses.append((update.loss_count, update.mean_loss.item()))
    (once, plain), (twice, asked) = losses
    assert twice == 2 * once
    assert (asked > 1.05 * plain) == differs
    if not differs:
        assert asked == pytest.approx(plain, rel=1e-5)


def test_bfloat16_trains_finite_losses_into_float32_weights(tmp_path: Path) -> None:
    settings = {"epochs": 6, "patience": 6}
    losses = {}
    for precision in ("float32", "bfloat16"):
        assert main(tmp_path / precision, {**settings, "precision": precision}, None) == 0
        losses[precision] = json.loads((tmp_path / precision / "curve.json").read_text())["losses"]
    assert all(math.isfinite(loss) for loss in losses["bfloat16"])
    assert losses["bfloat16"][-1] < 0.7 * losses["bfloat16"][0]
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.05)
    weights = load_checkpoint(tmp_path / "bfloat16" / "best.pt", run_sha256=RUN).weights
    assert {weight.dtype for weight in weights.values()} == {torch.float32}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_gpu_that_is_not_there_is_refused_with_the_setting() -> None:
    with pytest.raises(RecipeError, match=r'recipe tiny: training\.device is "cuda", and PyTorch finds no CUDA device'):
        find_device(tiny_recipe(device="cuda"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_on_a_gpu_learns_and_leaves_its_model_on_the_cpu(precision: str, tmp_path: Path) -> None:
    settings = {"epochs": 6, "patience": 6, "device": "cuda", "precision": precision, "checkpoint_steps": 2}
    assert main(tmp_path, settings, None) == 0
    losses = json.loads((tmp_path / "curve.json").read_text())["losses"]
    assert losses[-1] < 0.7 * losses[0]


def test_a_model_says_where_its_batches_go() -> None:
    assert device_of(learner(tiny_recipe()).task.model) == torch.device("cpu")


def test_changed_conditions_are_named_with_both_values() -> None:
    assert changed_conditions({"threads": "1", "torch": "2"}, {"threads": "1", "torch": "2"}) == ""
    assert changed_conditions({"threads": "1"}, {"threads": "4", "torch": "2"}) == (
        "threads 1 before, 4 now, torch unknown before, 2 now"
    )
