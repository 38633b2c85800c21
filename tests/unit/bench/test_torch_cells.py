"""A language model rewritten for speed in PyTorch gives what it gave, and its int8 nearly so."""

import pytest
import torch

from tests.bench.serving.contenders.pytorch.cells import CellStep, PackedPrefill, quantised
from training.models.language_model import LanguageModel
from training.settings.model import ModelSettings

VOCABULARY, ROWS = 20, 3
LENGTHS = torch.tensor([5, 2, 4])
INT8_TOLERANCE = 0.05
"""Of logits, whose spread is about 1."""


@pytest.fixture
def network() -> LanguageModel:
    torch.manual_seed(0)
    settings = ModelSettings.model_validate({"cell": "lstm", "embedding_size": 16, "hidden_size": 24, "layers": 2})
    return LanguageModel(settings, VOCABULARY).eval()


@pytest.mark.parametrize(("as_int8", "tolerance"), [(False, 1e-5), (True, INT8_TOLERANCE)])
@torch.inference_mode()
def test_prefill_and_step_of_cells_are_the_networks_own(
    network: LanguageModel, as_int8: bool, tolerance: float
) -> None:
    token_ids, nothing = torch.randint(VOCABULARY, (ROWS, 5)), torch.zeros(ROWS, network.state_size)
    modules = PackedPrefill(network).eval(), CellStep(network).eval()
    prefill, step = map(quantised, modules) if as_int8 else modules
    logits, state = network.prefill(token_ids, LENGTHS, nothing)
    torch.testing.assert_close(prefill(token_ids, LENGTHS, nothing), (logits, state), atol=tolerance, rtol=0)
    expected = network.step(token_ids[:, 0], state)
    torch.testing.assert_close(step(token_ids[:, 0], state), expected, atol=tolerance, rtol=0)


def test_cells_are_not_for_another_kind_of_layer() -> None:
    settings = ModelSettings.model_validate({"cell": "gru", "embedding_size": 16, "hidden_size": 24})
    with pytest.raises(ValueError, match="expected lstm"):
        CellStep(LanguageModel(settings, VOCABULARY))
