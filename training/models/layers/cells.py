"""The cell equations written out as the textbook has them, every gate returned.

For looking inside a trained model. Training runs torch's fused kernels, which give the same values and the same
gradients; tests say so. The names are the textbook's: gates are between 0 and 1 and decide how much passes, a candidate
is what could be remembered, the cell state is an LSTM's memory and the hidden state what a cell shows of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class CellWeights:
    """One layer in one direction: input and recurrent matrices and their biases, gates stacked in torch's order."""

    input_matrix: Tensor  # [gates * hidden, input]
    recurrent_matrix: Tensor  # [gates * hidden, hidden]
    input_bias: Tensor  # [gates * hidden]
    recurrent_bias: Tensor  # [gates * hidden]


@dataclass(frozen=True)
class LstmStep:
    """What an LSTM cell computes at one time, or at all of them when stacked: every field is [..., hidden]."""

    forget_gate: Tensor
    input_gate: Tensor
    output_gate: Tensor
    candidate: Tensor
    cell: Tensor
    hidden: Tensor


@dataclass(frozen=True)
class GruStep:
    """What a GRU cell computes at one time, or at all of them when stacked: every field is [..., hidden]."""

    reset_gate: Tensor
    update_gate: Tensor
    candidate: Tensor
    hidden: Tensor


def weights_of(layers: nn.RNNBase, layer: int = 0, *, backward: bool = False) -> CellWeights:
    """Return the weights that `layers` holds for one of its layers, in one direction."""
    suffix = f"l{layer}" + ("_reverse" if backward else "")
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    return CellWeights(*(layers.get_parameter(f"{name}_{suffix}") for name in names))


def lstm_cell(inputs: Tensor, hidden: Tensor, cell: Tensor, weights: CellWeights) -> LstmStep:
    """Advance a long short-term memory cell by one time.

    The cell state is a conveyor belt: the forget gate scales what it carries, the input gate scales what is put on it,
    the output gate scales what is read from it.

        i = sigmoid(W_i x + U_i h + b_i)    f = sigmoid(W_f x + U_f h + b_f)    o = sigmoid(W_o x + U_o h + b_o)
        g = tanh(W_g x + U_g h + b_g)       c' = f * c + i * g                  h' = o * tanh(c')

    Args:
        inputs: [..., input].
        hidden: [..., hidden], the state before.
        cell: [..., hidden], the cell state before.
        weights: gates in torch's order i, f, g, o.

    Source: Hochreiter & Schmidhuber 1997; the forget gate from Gers et al. 2000.
    """
    summed = _affine(inputs, hidden, weights)  # [..., 4 * hidden]
    to_input, to_forget, to_candidate, to_output = summed.chunk(4, dim=-1)
    input_gate, forget_gate, output_gate = torch.sigmoid(to_input), torch.sigmoid(to_forget), torch.sigmoid(to_output)
    candidate = torch.tanh(to_candidate)
    cell = forget_gate * cell + input_gate * candidate
    return LstmStep(
        forget_gate=forget_gate,
        input_gate=input_gate,
        output_gate=output_gate,
        candidate=candidate,
        cell=cell,
        hidden=output_gate * torch.tanh(cell),
    )


def gru_cell(inputs: Tensor, hidden: Tensor, weights: CellWeights) -> GruStep:
    """Advance a gated recurrent unit by one time.

    One gate fewer than the LSTM and no cell state: the update gate mixes the old state with the candidate.

        r = sigmoid(W_r x + U_r h + b_r)                        z = sigmoid(W_z x + U_z h + b_z)
        n = tanh(W_n x + b_n + r * (U_n h + b'_n))              h' = (1 - z) * n + z * h

    Args:
        inputs: [..., input].
        hidden: [..., hidden], the state before.
        weights: gates in torch's order r, z, n.

    Source: Cho et al. 2014, arXiv:1406.1078; the reset gate is applied after the recurrent product, as cuDNN does.
    """
    from_input = inputs @ weights.input_matrix.T + weights.input_bias  # [..., 3 * hidden]
    from_hidden = hidden @ weights.recurrent_matrix.T + weights.recurrent_bias  # [..., 3 * hidden]
    input_r, input_z, input_n = from_input.chunk(3, dim=-1)
    hidden_r, hidden_z, hidden_n = from_hidden.chunk(3, dim=-1)
    reset_gate = torch.sigmoid(input_r + hidden_r)
    update_gate = torch.sigmoid(input_z + hidden_z)
    candidate = torch.tanh(input_n + reset_gate * hidden_n)
    hidden = (1 - update_gate) * candidate + update_gate * hidden
    return GruStep(reset_gate=reset_gate, update_gate=update_gate, candidate=candidate, hidden=hidden)


def rnn_cell(inputs: Tensor, hidden: Tensor, weights: CellWeights) -> Tensor:
    """Advance a vanilla recurrent cell by one time: h' = tanh(W x + U h + b).   Source: Elman 1990."""
    return torch.tanh(_affine(inputs, hidden, weights))


def lstm_over_time(
    inputs: Tensor, weights: CellWeights, hidden: Tensor | None = None, cell: Tensor | None = None
) -> LstmStep:
    """Run an LSTM layer over `inputs` [time, input] from states [hidden] or zeros; the fields are [time, hidden]."""
    zeros = inputs.new_zeros(weights.recurrent_matrix.shape[1])
    hidden, cell = zeros if hidden is None else hidden, zeros if cell is None else cell
    steps: list[LstmStep] = []
    for now in inputs:
        step = lstm_cell(now, hidden, cell, weights)
        hidden, cell = step.hidden, step.cell
        steps.append(step)
    return LstmStep(*_stacked(steps))


def gru_over_time(inputs: Tensor, weights: CellWeights, hidden: Tensor | None = None) -> GruStep:
    """Run a GRU layer over `inputs` [time, input] from a state [hidden] or zeros; the fields are [time, hidden]."""
    hidden = inputs.new_zeros(weights.recurrent_matrix.shape[1]) if hidden is None else hidden
    steps: list[GruStep] = []
    for now in inputs:
        steps.append(gru_cell(now, hidden, weights))
        hidden = steps[-1].hidden
    return GruStep(*_stacked(steps))


def rnn_over_time(inputs: Tensor, weights: CellWeights, hidden: Tensor | None = None) -> Tensor:
    """Run a vanilla layer over `inputs` [time, input] from a state [hidden] or zeros; returns [time, hidden]."""
    hidden = inputs.new_zeros(weights.recurrent_matrix.shape[1]) if hidden is None else hidden
    states: list[Tensor] = []
    for now in inputs:
        hidden = rnn_cell(now, hidden, weights)
        states.append(hidden)
    return torch.stack(states)


def _stacked(steps: Sequence[LstmStep] | Sequence[GruStep]) -> Iterator[Tensor]:
    """Give each field of all steps, [time, hidden]."""
    for field in fields(steps[0]):
        yield torch.stack([getattr(step, field.name) for step in steps])


def _affine(inputs: Tensor, hidden: Tensor, weights: CellWeights) -> Tensor:
    from_input = inputs @ weights.input_matrix.T + weights.input_bias
    return from_input + hidden @ weights.recurrent_matrix.T + weights.recurrent_bias
