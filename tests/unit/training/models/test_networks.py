"""The three networks: what is trained at once is what is run step by step."""

from functools import partial

import pytest
import torch

from training.model_settings import ModelSettings
from training.models.attention import AttentionKind
from training.models.classifier import Classifier
from training.models.dropout import LockedDropout
from training.models.language_model import LanguageModel
from training.models.seq2seq import Seq2Seq, translate_greedily

LENGTHS = torch.tensor([3, 6])
assert_close = partial(torch.testing.assert_close, atol=1e-5, rtol=0.0)


def settings(**changes: object) -> ModelSettings:
    return ModelSettings.model_validate({"cell": "lstm", "embedding_size": 6, "hidden_size": 8, **changes})


def tokens(time: int = 6) -> torch.Tensor:
    return torch.randint(3, 20, (2, time))


@pytest.mark.parametrize("layers", [1, 2])
def test_a_classifier_reads_a_text_in_parts_as_it_reads_it_whole(layers: int) -> None:
    model, text = Classifier(settings(layers=layers), 20, 3).eval(), tokens()
    whole, _ = model(text, torch.tensor([6, 6]))
    _, state = model(text[:, :4], torch.tensor([4, 4]))
    rest, _ = model(text[:, 4:], torch.tensor([2, 2]), state)
    assert_close(rest, whole)


def test_a_bidirectional_classifier_carries_no_state() -> None:
    assert Classifier(settings(bidirectional=True), 20, 3).state_size is None


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("tie_weights", [False, True])
def test_prefill_and_steps_give_the_logits_of_training(cell: str, tie_weights: bool) -> None:
    model, text = LanguageModel(settings(cell=cell, tie_weights=tie_weights), 20).eval(), tokens()
    trained = model(text)
    logits, state = model.prefill(text[:, :3], torch.tensor([3, 3]), torch.zeros(2, model.state_size))
    assert_close(logits, trained[:, 2])
    for time in range(3, 6):
        logits, state = model.step(text[:, time], state)
        assert_close(logits, trained[:, time])


def test_tied_weights_are_one_parameter() -> None:
    tied, free = LanguageModel(settings(tie_weights=True), 20), LanguageModel(settings(), 20)
    assert tied.readout.weight is tied.embedding.weight
    sizes = [sum(parameter.numel() for parameter in model.parameters()) for model in (tied, free)]
    assert sizes[1] - sizes[0] == 20 * 6


@pytest.mark.parametrize("attention", [None, "general", "additive"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_decoder_steps_give_the_logits_of_teacher_forcing(
    attention: AttentionKind | None, bidirectional: bool, cell: str
) -> None:
    model = Seq2Seq(settings(attention=attention, bidirectional=bidirectional, cell=cell, layers=2), 20, 20).eval()
    sources, targets = tokens(), tokens(4)
    trained = model(sources, LENGTHS, targets)
    source = model.encode(sources, LENGTHS)
    state = source.state
    for time in range(4):
        logits, state, weights = model.decoder_step(targets[:, time], state, source.keys, source.values, LENGTHS)
        assert_close(logits, trained[:, time])
        assert (weights is None) == (attention is None)


def test_greedy_translation_ends_at_eos_or_at_the_limit() -> None:
    model = Seq2Seq(settings(attention="dot"), 20, 20).eval()
    with torch.no_grad():
        model.readout.bias[7] = 100.0
        endless = translate_greedily(model, tokens(), LENGTHS, bos_id=1, eos_id=2, max_output_token_count=5)
        at_once = translate_greedily(model, tokens(), LENGTHS, bos_id=1, eos_id=7, max_output_token_count=5)
    assert endless == [[7] * 5] * 2
    assert at_once == [[], []]


def test_locked_dropout_drops_the_same_features_at_every_time() -> None:
    dropout = LockedDropout(0.5).train()
    dropped = dropout(torch.ones(2, 9, 64))
    assert torch.equal(dropped, dropped[:, :1].expand(2, 9, 64))
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(dropout.eval()(torch.ones(2, 9, 64)), torch.ones(2, 9, 64))
