"""The written-out equations give what torch's fused layers give, in value and in gradient."""

from collections.abc import Callable, Sequence
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from training.models.layers.cells import (
    CellWeights,
    gru_cell,
    gru_over_time,
    lstm_cell,
    lstm_over_time,
    rnn_over_time,
    weights_of,
)

INPUTS = torch.linspace(-2, 2, 7 * 5).reshape(7, 5)  # [time, input]
assert_close = partial(torch.testing.assert_close, atol=1e-6, rtol=0.0)


def test_lstm_equations_equal_the_fused_layer() -> None:
    fused = nn.LSTM(5, 6)
    outputs, (hidden, cell) = fused(INPUTS)
    steps = lstm_over_time(INPUTS, weights_of(fused))
    assert_close(steps.hidden, outputs)
    assert_close(steps.hidden[-1], hidden[0])
    assert_close(steps.cell[-1], cell[0])


def test_gru_equations_equal_the_fused_layer() -> None:
    fused = nn.GRU(5, 6)
    outputs, _ = fused(INPUTS)
    assert_close(gru_over_time(INPUTS, weights_of(fused)).hidden, outputs)


def test_rnn_equations_equal_the_fused_layer() -> None:
    fused = nn.RNN(5, 6)
    outputs, _ = fused(INPUTS)
    assert_close(rnn_over_time(INPUTS, weights_of(fused)), outputs)


def test_weights_of_finds_the_second_layer_and_the_backward_direction() -> None:
    fused = nn.LSTM(5, 6, num_layers=2, bidirectional=True)
    outputs, _ = fused(INPUTS)
    first = [
        lstm_over_time(INPUTS, weights_of(fused)).hidden,
        lstm_over_time(INPUTS.flip(0), weights_of(fused, backward=True)).hidden.flip(0),
    ]
    second = lstm_over_time(torch.cat(first, dim=1), weights_of(fused, layer=1)).hidden
    assert_close(second, outputs[:, :6])


def test_an_open_forget_gate_and_a_closed_input_gate_keep_the_cell() -> None:
    fused = nn.LSTM(5, 6)
    with torch.no_grad():
        fused.get_parameter("bias_ih_l0").copy_(torch.tensor([-50.0, 50.0, 0.0, 0.0]).repeat_interleave(6))  # i f g o
    cell = torch.linspace(-1, 1, 6)
    step = lstm_cell(INPUTS[0], torch.zeros(6), cell, weights_of(fused))
    assert_close(step.cell, cell)


def test_an_open_update_gate_keeps_the_state() -> None:
    fused = nn.GRU(5, 6)
    with torch.no_grad():
        fused.get_parameter("bias_ih_l0").copy_(torch.tensor([0.0, 50.0, 0.0]).repeat_interleave(6))  # r z n
    hidden = torch.linspace(-1, 1, 6)
    assert_close(gru_cell(INPUTS[0], hidden, weights_of(fused)).hidden, hidden)


@pytest.mark.parametrize("gate", ["forget_gate", "input_gate", "output_gate"])
def test_every_gate_of_every_unit_lies_between_zero_and_one(gate: str) -> None:
    values = getattr(lstm_over_time(INPUTS, weights_of(nn.LSTM(5, 6))), gate)
    assert values.shape == (7, 6)
    assert ((values > 0) & (values < 1)).all()


CELLS: dict[str, tuple[Callable[[int, int], nn.RNNBase], Callable[[Tensor, CellWeights], Tensor]]] = {
    "rnn": (nn.RNN, rnn_over_time),
    "lstm": (nn.LSTM, lambda inputs, weights: lstm_over_time(inputs, weights).hidden),
    "gru": (nn.GRU, lambda inputs, weights: gru_over_time(inputs, weights).hidden),
}


def gradients(outputs: Tensor, of: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Of a loss that weighs every output of every time differently, so that no error can cancel another."""
    weighing = torch.linspace(-1, 2, outputs.numel(), dtype=outputs.dtype).reshape(outputs.shape)
    return torch.autograd.grad((outputs * weighing).sum(), of)


@pytest.mark.parametrize("cell", CELLS)
def test_backpropagation_through_time_equals_the_fused_layers(cell: str) -> None:
    """Gradients of seven steps, with respect to the inputs and to every weight and bias."""
    layer, over_time = CELLS[cell]
    fused = layer(5, 6).double()
    inputs = INPUTS.double().requires_grad_()
    weights = weights_of(fused)
    of = [inputs, *fused.parameters()]
    assert len(of) == 5
    written, expected = gradients(over_time(inputs, weights), of), gradients(fused(inputs)[0], of)
    for ours, theirs in zip(written, expected, strict=True):
        assert theirs.abs().max() > 1e-3
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=0)


@pytest.mark.parametrize("cell", CELLS)
def test_the_last_step_sends_its_gradient_to_the_first_input(cell: str) -> None:
    layer, over_time = CELLS[cell]
    fused = layer(5, 6).double()
    inputs = INPUTS.double().requires_grad_()
    (written,) = gradients(over_time(inputs, weights_of(fused))[-1], [inputs])
    (expected,) = gradients(fused(inputs)[0][-1], [inputs])
    assert (written[0] != 0).any()
    torch.testing.assert_close(written, expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_equal_finite_differences_in_float64(cell: str) -> None:
    layer, over_time = CELLS[cell]
    small = layer(2, 3).double()
    inputs = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)

    def run(inputs: Tensor, *weights: Tensor) -> Tensor:
        return over_time(inputs, CellWeights(*weights))

    assert torch.autograd.gradcheck(run, (inputs, *small.parameters()))


def test_the_memory_of_an_lstm_has_the_fused_layers_gradient() -> None:
    """Into the cell state that is carried in, and out of the one that is carried on."""
    fused = nn.LSTM(5, 6).double()
    hidden, cell = (torch.randn(6, dtype=torch.float64, requires_grad=True) for _ in range(2))
    step = lstm_cell(INPUTS[0].double(), hidden, cell, weights_of(fused))
    _, (_, last) = fused(INPUTS[:1].double(), (hidden[None], cell[None]))
    for ours, theirs in zip(gradients(step.cell, [hidden, cell]), gradients(last[0], [hidden, cell]), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=0)
