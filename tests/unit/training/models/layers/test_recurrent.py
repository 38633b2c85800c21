"""The stack of layers: padding is not read, and the state holds everything."""

import itertools

import pytest
import torch

from training.models.layers.dropout import DropoutRates
from training.models.layers.recurrent import Cell, Recurrent

LENGTHS = torch.tensor([4, 7, 1])
SHAPES = list(itertools.product(["rnn", "lstm", "gru"], [1, 2], [False, True]))


def stack(cell: Cell, layers: int, bidirectional: bool) -> Recurrent:
    return Recurrent(cell, 5, 6, layers=layers, bidirectional=bidirectional).eval()


def rows(time: int = 7) -> torch.Tensor:
    return torch.randn(3, time, 5)


@pytest.mark.parametrize(("cell", "layers", "bidirectional"), SHAPES)
def test_padding_changes_neither_outputs_nor_state(cell: Cell, layers: int, bidirectional: bool) -> None:
    recurrent, inputs = stack(cell, layers, bidirectional), rows()
    outputs, state = recurrent(inputs, LENGTHS)
    spoilt = inputs.clone()
    for row, length in enumerate(LENGTHS.tolist()):
        spoilt[row, length:] = 1e3
    outputs_of_spoilt, state_of_spoilt = recurrent(spoilt, LENGTHS)
    assert torch.equal(outputs, outputs_of_spoilt)
    assert torch.equal(state, state_of_spoilt)
    assert (outputs[0, 4:] == 0).all()


@pytest.mark.parametrize(("cell", "layers", "bidirectional"), SHAPES)
def test_the_state_has_the_announced_size_and_survives_unpacking(cell: Cell, layers: int, bidirectional: bool) -> None:
    recurrent = stack(cell, layers, bidirectional)
    _, state = recurrent(rows(), LENGTHS)
    assert state.shape == (3, recurrent.state_size)
    assert torch.equal(recurrent.pack(recurrent.unpack(state)), state)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("layers", [1, 2])
def test_reading_in_two_parts_equals_reading_at_once(cell: Cell, layers: int) -> None:
    recurrent, inputs = stack(cell, layers, bidirectional=False), rows()
    whole, end = recurrent.read(inputs)
    _, state = recurrent.read(inputs[:, :3])
    rest, end_of_rest = recurrent.read(inputs[:, 3:], state)
    torch.testing.assert_close(rest, whole[:, 3:], atol=1e-6, rtol=0)
    torch.testing.assert_close(end_of_rest, end, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("cell", "layers", "bidirectional"), SHAPES)
def test_last_output_is_the_top_output_at_each_rows_end(cell: Cell, layers: int, bidirectional: bool) -> None:
    recurrent = stack(cell, layers, bidirectional)
    outputs, state = recurrent(rows(), LENGTHS)
    last = recurrent.last_output(outputs, LENGTHS)
    top = recurrent.unpack(state)[: layers * recurrent.directions][-recurrent.directions :]  # hidden vectors
    assert torch.equal(last, top.transpose(0, 1).flatten(1))
    assert torch.equal(last[:, :6], outputs[torch.arange(3), LENGTHS - 1, :6])
    if bidirectional:
        assert torch.equal(last[:, 6:], outputs[:, 0, 6:])  # the backward direction ends at the first token


def test_an_lstm_starts_with_open_forget_gates() -> None:
    for name, bias in stack("lstm", 2, bidirectional=True).named_parameters():
        if "bias_ih" in name:
            assert bias[6:12].tolist() == [1.0] * 6
            assert bias[:6].tolist() == [0.0] * 6


def noisy(**rates: float) -> Recurrent:
    return Recurrent("lstm", 5, 6, layers=3, dropout=DropoutRates(**rates)).train()


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_stack_is_its_layers_with_sums_and_norms_between(cell: Cell, bidirectional: bool) -> None:
    both = 2 if bidirectional else 1
    recurrent = Recurrent(cell, 5, 6, layers=3, bidirectional=bidirectional, residual=True, layer_norm=True)
    data = rows()
    outputs, _ = recurrent.read(data)
    for index in range(3):
        given, _ = recurrent.layer(index)(data.transpose(0, 1))  # torch's own, time first
        summed = given.transpose(0, 1) + (data if index > 0 else 0)  # the first layer reads 5 and gives 6 or 12
        data = torch.nn.functional.layer_norm(summed, (6 * both,))
    torch.testing.assert_close(outputs, data, atol=1e-5, rtol=0)


def test_a_residual_sum_needs_equal_widths() -> None:
    assert [Recurrent("gru", 6, 6, layers=2, residual=True).sums(layer) for layer in (0, 1)] == [True, True]
    assert [Recurrent("gru", 5, 6, layers=2, residual=True).sums(layer) for layer in (0, 1)] == [False, True]
    assert not Recurrent("gru", 6, 6, layers=2).sums(1)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_what_stands_between_layers_reads_no_padding_either(bidirectional: bool) -> None:
    recurrent = Recurrent("gru", 6, 6, layers=2, bidirectional=bidirectional, residual=True, layer_norm=True)
    inputs = torch.randn(3, 7, 6)
    outputs, state = recurrent(inputs, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        alone, state_alone = recurrent(inputs[row : row + 1, :length], LENGTHS[row : row + 1])
        torch.testing.assert_close(outputs[row, :length], alone[0], atol=1e-6, rtol=0)
        torch.testing.assert_close(state[row], state_alone[0], atol=1e-6, rtol=0)
        assert (outputs[row, length:] == 0).all()


def test_a_mask_drops_the_same_features_at_every_time() -> None:
    outputs, _ = noisy(outputs=0.5).read(rows())
    dropped = outputs == 0
    assert torch.equal(dropped, dropped[:, :1].expand_as(dropped))
    assert 0 < dropped.float().mean() < 1
    assert len({tuple(row.tolist()) for row in dropped[:, 0]}) > 1  # not the same for every row


def test_packed_rows_have_one_mask_each_too() -> None:
    recurrent = noisy(outputs=0.5)
    outputs, _ = recurrent(rows(), LENGTHS)
    masks = set()
    for row, length in enumerate(LENGTHS.tolist()):
        dropped = outputs[row, :length] == 0
        assert torch.equal(dropped, dropped[:1].expand_as(dropped))
        masks.add(tuple(dropped[0].tolist()))
    assert len(masks) == 3


@pytest.mark.parametrize("place", ["inputs", "hidden", "outputs", "weights"])
def test_each_rate_drops_in_training_alone(place: str) -> None:
    recurrent, inputs = noisy(**{place: 0.5}), rows()
    first, _ = recurrent.read(inputs)
    second, _ = recurrent.read(inputs)
    assert not torch.equal(first, second)
    plain = noisy()
    plain.load_state_dict(recurrent.state_dict())
    assert torch.equal(recurrent.eval().read(inputs)[0], plain.read(inputs)[0])


def test_noise_drawn_once_serves_all_parts_of_a_batch() -> None:
    recurrent, inputs = noisy(inputs=0.3, hidden=0.3, outputs=0.3, weights=0.3), rows()
    noise = recurrent.draw_noise(inputs)
    whole, end = recurrent.read(inputs, None, noise)
    state = None
    for time in range(7):
        step, state = recurrent.read(inputs[:, time : time + 1], state, noise)
        torch.testing.assert_close(step[:, 0], whole[:, time], atol=1e-6, rtol=0)
    torch.testing.assert_close(state, end, atol=1e-6, rtol=0)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_dropped_weights_give_what_a_layer_with_those_weights_gives(cell: Cell) -> None:
    recurrent, inputs = Recurrent(cell, 5, 6, dropout=DropoutRates(weights=0.5)).train(), rows()
    torch.manual_seed(1)
    noise = recurrent.draw_noise(inputs)
    (weights,) = noise.weights
    dropped = weights[1] == 0
    assert 0.3 < dropped.float().mean() < 0.7
    plain = Recurrent(cell, 5, 6)
    with torch.no_grad():
        for parameter, weight in zip(plain.layer(0).all_weights[0], weights, strict=True):
            parameter.copy_(weight)
    torch.testing.assert_close(recurrent.read(inputs, None, noise), plain.read(inputs))


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_the_gradient_of_dropped_weights_reaches_the_whole_ones(cell: Cell) -> None:
    """It is the gradient of the dropped matrix, times its mask; what was dropped gets none."""
    recurrent, inputs = Recurrent(cell, 5, 6, dropout=DropoutRates(weights=0.5)).train(), rows()
    noise = recurrent.draw_noise(inputs)
    used = noise.weights[0][1]
    used.retain_grad()
    torch.autograd.backward(recurrent.read(inputs, None, noise)[0].square().sum())
    whole = recurrent.layer(0).get_parameter("weight_hh_l0")
    assert used.grad is not None
    assert whole.grad is not None
    kept = used != 0
    torch.testing.assert_close(whole.grad, used.grad * kept * 2)
    assert (whole.grad[~kept] == 0).all()
    assert (whole.grad[kept] != 0).all()


def test_a_checkpoint_holds_whole_weights() -> None:
    recurrent = noisy(weights=0.5)
    before = {name: weight.clone() for name, weight in recurrent.state_dict().items()}
    recurrent.read(rows())
    assert all(torch.equal(weight, before[name]) for name, weight in recurrent.state_dict().items())
    assert before.keys() == dict(recurrent.named_parameters()).keys()


@pytest.mark.parametrize("bidirectional", [False, True])
def test_gradients_of_an_lstm_over_padded_rows_are_those_of_its_rows_alone(bidirectional: bool) -> None:
    torch.manual_seed(3)
    recurrent, inputs = stack("lstm", 2, bidirectional).double(), rows().double()
    outputs, state = recurrent(inputs, LENGTHS)
    together = torch.autograd.grad(outputs.square().sum() + state.square().sum(), list(recurrent.parameters()))
    alone = [recurrent.read(inputs[[row], :length]) for row, length in enumerate(LENGTHS.tolist())]
    loss = torch.stack([outputs.square().sum() + state.square().sum() for outputs, state in alone]).sum()
    apart = torch.autograd.grad(loss, list(recurrent.parameters()))
    for one, other in zip(together, apart, strict=True):
        torch.testing.assert_close(one, other)
