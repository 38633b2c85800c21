"""The stack of layers: padding is not read, and the state holds everything."""

import itertools

import pytest
import torch

from training.models.recurrent import Cell, Recurrent

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
    last = recurrent.last_output(state)
    assert torch.equal(last[:, :6], outputs[torch.arange(3), LENGTHS - 1, :6])
    if bidirectional:
        assert torch.equal(last[:, 6:], outputs[:, 0, 6:])  # the backward direction ends at the first token


def test_an_lstm_starts_with_open_forget_gates() -> None:
    fused = stack("lstm", 2, bidirectional=True).fused
    for name, bias in fused.named_parameters():
        if name.startswith("bias_ih"):
            assert bias[6:12].tolist() == [1.0] * 6
            assert bias[:6].tolist() == [0.0] * 6
