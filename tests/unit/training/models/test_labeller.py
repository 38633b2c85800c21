"""The labeller: reading in parts, in one direction and in both, tokens and readings."""

import pytest
import torch
from torch import nn

from training.models.labeller import Labeller
from training.models.language_model import LanguageModel
from training.settings.model import ModelSettings

KINDS = pytest.mark.parametrize("kind", ["words", "readings"])


def settings(**changes: object) -> ModelSettings:
    return ModelSettings.model_validate({"cell": "lstm", "embedding_size": 6, "hidden_size": 8, **changes})


def labeller(kind: str, **changes: object) -> Labeller:
    torch.manual_seed(0)
    if kind == "words":
        return Labeller.of_words(settings(**changes), 20, 3).eval()
    return Labeller.of_features(settings(**changes), 4, 3).eval()


def steps(kind: str) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randint(3, 20, (2, 6)) if kind == "words" else torch.randn(2, 6, 4)


@KINDS
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_a_labeller_of_one_direction_reads_in_parts_as_it_reads_whole(kind: str, cell: str) -> None:
    model, read = labeller(kind, cell=cell, layers=2), steps(kind)
    whole, _ = model(read, torch.tensor([6, 6]))
    first, state = model(read[:, :4], torch.tensor([4, 4]))
    second, _ = model(read[:, 4:], torch.tensor([2, 2]), state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole, atol=1e-6, rtol=0)
    assert model.state_size == state.shape[1]


@KINDS
@pytest.mark.parametrize("bidirectional", [False, True])
def test_only_a_labeller_of_both_directions_knows_what_comes_later(kind: str, bidirectional: bool) -> None:
    model, read = labeller(kind, bidirectional=bidirectional), steps(kind)
    changed = read.clone()
    changed[:, 5] = changed[:, 5] + 1
    before, after = (model.label(one, torch.tensor([6, 6]))[:, :5] for one in (read, changed))
    assert torch.equal(before, after) is not bidirectional
    assert (model.state_size is None) is bidirectional


@KINDS
@pytest.mark.parametrize("bidirectional", [False, True])
def test_what_is_trained_is_what_is_exported_up_to_each_length(kind: str, bidirectional: bool) -> None:
    model, read, lengths = labeller(kind, bidirectional=bidirectional), steps(kind), torch.tensor([3, 6])
    trained, exported = model.label(read, lengths), model(read, lengths)[0]
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(trained[row, :length], exported[row, :length], atol=1e-6, rtol=0)


def test_a_language_model_fits_into_a_labeller_of_the_same_sizes() -> None:
    tagger, language_model = labeller("words", layers=2), LanguageModel(settings(layers=2), 20)
    for part in ("embedding", "recurrent"):
        module: nn.Module = getattr(tagger, part)
        module.load_state_dict(getattr(language_model, part).state_dict())


def test_one_wild_reading_is_bounded() -> None:
    embedding = labeller("readings").embedding
    assert embedding(torch.tensor([[1e6, 0.0, 0.0, 0.0]])).abs().max() <= 1
