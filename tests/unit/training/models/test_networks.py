"""The three networks: what is trained at once is what is run step by step."""

from functools import partial

import pytest
import torch

from training.models.classifier import Classifier
from training.models.language_model import LanguageModel
from training.models.seq2seq import Seq2Seq, translate_greedily
from training.settings.model import ModelSettings

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


BETWEEN = {"residual": True, "layer_norm": True}
DECODERS = [
    {"attention": attention, **options}
    for attention in (None, "dot", "general", "additive")
    for options in ({}, BETWEEN, {"input_feeding": True}, {"input_feeding": True, **BETWEEN})
    if attention or "input_feeding" not in options
]


@pytest.mark.parametrize("options", DECODERS, ids=lambda options: "-".join(str(value) for value in options.items()))
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_decoder_steps_give_the_logits_of_teacher_forcing(
    options: dict[str, object], bidirectional: bool, cell: str
) -> None:
    model = Seq2Seq(settings(bidirectional=bidirectional, cell=cell, layers=2, **options), 20, 20).eval()
    sources, targets = tokens(), tokens(4)
    trained = model(sources, LENGTHS, targets)
    source = model.encode(sources, LENGTHS)
    assert source.state.shape == (2, model.state_size)
    state = source.state
    for time in range(4):
        logits, state, weights = model.decoder_step(targets[:, time], state, source.keys, source.values, LENGTHS)
        assert_close(logits, trained[:, time])
        assert (weights is None) == (model.attention is None)


@pytest.mark.parametrize(
    "options", [{"attention": "general"}, {"attention": "dot", "bidirectional": True}, {"attention": None}], ids=str
)
def test_teacher_forcing_runs_the_decoder_once_over_the_whole_target(
    options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, widths = Seq2Seq(settings(**options), 20, 20), []
    read = model.decoder.read

    def counting(inputs: torch.Tensor, *rest: object) -> object:
        widths.append(inputs.shape[1])
        return read(inputs, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(model.decoder, "read", counting)
    model(tokens(), LENGTHS, tokens(4))
    assert widths == [4]


def test_input_feeding_shows_the_decoder_what_its_attention_came_to() -> None:
    """Another attention at the first step changes the recurrence of the second, which without feeding it cannot."""
    sources, targets = tokens(), tokens(2)
    for feeds in (False, True):
        model = Seq2Seq(settings(attention="general", input_feeding=feeds), 20, 20).eval()
        source = model.encode(sources, LENGTHS)
        assert source.values is not None
        states = []
        for values in (source.values, source.values + 1):
            state = source.state
            for time in range(2):
                _, state, _ = model.decoder_step(targets[:, time], state, source.keys, values, LENGTHS)
            states.append(state[:, : model.decoder.state_size])
        assert torch.equal(*states) is not feeds


def test_a_decoder_that_is_fed_starts_from_a_vector_of_zeros_and_carries_it_last() -> None:
    model = Seq2Seq(settings(attention="dot", input_feeding=True), 20, 20).eval()
    state = model.encode(tokens(), LENGTHS).state
    assert model.state_size == model.decoder.state_size + 6
    assert (state[:, -6:] == 0).all()


def test_dot_attention_to_both_directions_halves_the_encoder() -> None:
    model = Seq2Seq(settings(attention="dot", bidirectional=True), 20, 20)
    assert (model.encoder.hidden_size, model.encoder.output_size, model.decoder.hidden_size) == (4, 8, 8)
    assert model.encode(tokens(), LENGTHS).state.shape == (2, 16)


def test_three_ways_of_tying_leave_one_table() -> None:
    shared = Seq2Seq(settings(tie_weights=True, share_embeddings=True), 20, 20)
    assert shared.readout.weight is shared.source_embedding.weight is shared.target_embedding.weight
    tied = Seq2Seq(settings(tie_weights=True), 20, 20)
    sizes = [sum(parameter.numel() for parameter in model.parameters()) for model in (shared, tied)]
    assert sizes[1] - sizes[0] == 20 * 6
    logits = shared(tokens(), LENGTHS, tokens(4))
    torch.autograd.backward(logits.sum())
    assert shared.source_embedding.weight.grad is not None


def test_a_stack_with_something_between_its_layers_is_read_in_parts_too() -> None:
    between = {"layers": 3, "residual": True, "layer_norm": True}
    model, text = Classifier(settings(**between), 20, 3).eval(), tokens()
    whole, _ = model(text, torch.tensor([6, 6]))
    _, state = model(text[:, :4], torch.tensor([4, 4]))
    assert_close(model(text[:, 4:], torch.tensor([2, 2]), state)[0], whole)
    language_model = LanguageModel(settings(**between), 20).eval()
    prefilled, _ = language_model.prefill(text, LENGTHS, torch.zeros(2, language_model.state_size))
    assert_close(prefilled, language_model(text)[[0, 1], LENGTHS - 1])


def test_greedy_translation_ends_at_eos_or_at_the_limit() -> None:
    model = Seq2Seq(settings(attention="dot"), 20, 20).eval()
    with torch.no_grad():
        model.readout.bias[7] = 100.0
        endless = translate_greedily(model, tokens(), LENGTHS, bos_id=1, eos_id=2, max_output_token_count=5)
        at_once = translate_greedily(model, tokens(), LENGTHS, bos_id=1, eos_id=7, max_output_token_count=5)
    assert endless == [[7] * 5] * 2
    assert at_once == [[], []]
