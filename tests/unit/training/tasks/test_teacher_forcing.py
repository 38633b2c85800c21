"""The share of true tokens that a decoder is fed, update by update, and that translation follows it."""

import math
from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from tests.training_process import tiny_recipe, tiny_splits
from training.data.encoding.tokenization import BOS_ID, EOS_ID, PAD_ID
from training.models.seq2seq import Seq2Seq
from training.preparation.prepare import prepare
from training.settings.training import TrainingSettings
from training.tasks.teacher_forcing import teacher_forcing_ratio
from training.tasks.translation import TranslationTask


def ratios(steps: list[int], **settings: Any) -> list[float]:
    checked = TrainingSettings.model_validate({"epochs": 1, **settings})
    return [teacher_forcing_ratio(checked, step) for step in steps]


def test_a_constant_ratio_is_that_from_the_first_update() -> None:
    assert ratios([0, 10_000]) == [1.0, 1.0]
    assert ratios([0, 10_000], teacher_forcing_ratio=0.5) == [0.5, 0.5]


def test_a_linear_ratio_falls_evenly_and_stays_where_it_arrives() -> None:
    settings = {"teacher_forcing_ratio": 0.4, "teacher_forcing_schedule": "linear", "teacher_forcing_steps": 10}
    assert ratios([0, 5, 10, 11], **settings) == pytest.approx([1.0, 0.7, 0.4, 0.4])


def test_an_inverse_sigmoid_is_half_way_after_k_log_k_updates() -> None:
    settings = {
        "teacher_forcing_ratio": 0.25,
        "teacher_forcing_schedule": "inverse_sigmoid",
        "teacher_forcing_steps": 100,
    }
    half = round(100 * math.log(100))
    assert ratios([0, half, 100_000_000], **settings) == pytest.approx([100 / 101, 0.5, 0.25], abs=2e-3)


def test_translation_is_fed_the_truth_at_first_and_its_own_tokens_later() -> None:
    settings: dict[str, Any] = {
        "teacher_forcing_ratio": 0.0,
        "teacher_forcing_schedule": "linear",
        "teacher_forcing_steps": 10,
    }
    task = prepare(tiny_recipe(dropout=0.0, **settings), tiny_splits())
    forced = prepare(tiny_recipe(dropout=0.0), tiny_splits())
    assert isinstance(task, TranslationTask)
    batch = next(task.batches(1))
    torch.manual_seed(0)
    assert task.loss(batch, 0).total.item() == forced.loss(batch, 0).total.item()
    assert task.loss(batch, 10).total.item() != forced.loss(batch, 10).total.item()


class FixedChoices(nn.Module):
    """A decoder that prefers token 10 * row + t + 50 at time t, whatever it is fed."""

    def forward(self, source_ids: Tensor, source_lengths: Tensor, target_ids: Tensor) -> Tensor:
        rows, times = target_ids.shape
        choices = 50 + 10 * torch.arange(rows)[:, None] + torch.arange(times)  # [rows, time]
        return nn.functional.one_hot(choices, 100).float()  # [rows, time, vocabulary]


TRUE = [[BOS_ID, 11, 12, 13, 14], [BOS_ID, 21, 22, PAD_ID, PAD_ID]]
OWN = [[BOS_ID, 50, 51, 52, 53], [BOS_ID, 60, 61, PAD_ID, PAD_ID]]
HALF = [[BOS_ID, 50, 12, 13, 14], [BOS_ID, 21, 61, PAD_ID, PAD_ID]]


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        pytest.param(1.0, TRUE, id="the truth alone"),
        pytest.param(0.0, OWN, id="own tokens alone, one step later"),
        pytest.param(0.5, HALF, id="half and half, seeded"),
    ],
)
def test_own_tokens_stand_one_step_later_and_replace_neither_bos_nor_padding(
    ratio: float, expected: list[list[int]]
) -> None:
    task = prepare(tiny_recipe(), tiny_splits())
    assert isinstance(task, TranslationTask)
    task = replace(task, model=cast("Seq2Seq", FixedChoices()))
    sources, lengths = torch.tensor([[5, EOS_ID], [6, EOS_ID]]), torch.tensor([2, 2])
    torch.manual_seed(0)
    assert task._mix_in_own_tokens(sources, lengths, torch.tensor(TRUE), ratio).tolist() == expected
