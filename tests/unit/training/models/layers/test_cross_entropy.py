"""The loss that never holds all logits is the one that torch computes from them."""

import pytest
import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from training.models.layers import cross_entropy
from training.models.layers.cross_entropy import Objective, linear_cross_entropy
from training.models.layers.cross_entropy import cross_entropy as cross_entropy_of_logits

POSITIONS, SIZE, VOCABULARY = 23, 7, 11


@pytest.fixture(autouse=True)
def chunks_of_a_few_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_entropy, "_CHUNK_LOGITS", 4 * VOCABULARY)


def drawn(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    vectors, weight, bias = (torch.randn(shape, dtype=dtype) for shape in ((POSITIONS, SIZE), (VOCABULARY, SIZE), 11))
    for one in (vectors, weight, bias):
        one.requires_grad_()
    return vectors, weight, bias, torch.randint(0, VOCABULARY, (POSITIONS,))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_it_equals_a_linear_layer_followed_by_cross_entropy(smoothing: float) -> None:
    vectors, weight, bias, expected = drawn()
    logits = functional.linear(vectors, weight, bias)
    reference = functional.cross_entropy(logits, expected, reduction="sum", label_smoothing=smoothing)
    total = linear_cross_entropy(vectors, weight, bias, expected, Objective(smoothing))
    torch.testing.assert_close(total, reference)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_its_gradients_are_those_of_finite_differences(smoothing: float) -> None:
    vectors, weight, bias, expected = drawn()

    def loss(vectors: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return linear_cross_entropy(vectors, weight, bias, expected, Objective(smoothing))

    assert torch.autograd.gradcheck(loss, (vectors, weight, bias))


def test_nothing_to_predict_costs_nothing() -> None:
    vectors, weight, bias, expected = drawn()
    loss = linear_cross_entropy(vectors[:0], weight, bias, expected[:0], Objective(0.1))
    (gradient,) = torch.autograd.grad(loss, weight)
    assert loss == 0
    assert not gradient.any()


def test_where_nothing_is_learnt_no_gradient_is_made() -> None:
    vectors, weight, bias, expected = drawn()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        linear_cross_entropy(vectors, weight, bias, expected, Objective(0.1))
    assert counter.get_total_flops() == 2 * POSITIONS * SIZE * VOCABULARY


def test_gradients_grow_with_what_the_loss_is_multiplied_by() -> None:
    vectors, weight, bias, expected = drawn()
    loss = linear_cross_entropy(vectors, weight, bias, expected, Objective())
    (once,) = torch.autograd.grad(loss, weight, retain_graph=True)
    (thrice,) = torch.autograd.grad(3 * loss, weight)
    torch.testing.assert_close(thrice, 3 * once)


def test_under_autocast_products_are_in_bfloat16_and_sums_are_not() -> None:
    vectors, weight, bias, expected = drawn(torch.float32)
    exact = linear_cross_entropy(vectors, weight, bias, expected, Objective(0.1))
    with torch.autocast("cpu", torch.bfloat16):
        rough = linear_cross_entropy(vectors, weight, bias, expected, Objective(0.1))
    torch.autograd.backward(rough)
    assert rough.dtype == torch.float32
    assert weight.grad is not None
    assert weight.grad.dtype == torch.float32
    assert rough != exact
    torch.testing.assert_close(rough, exact, rtol=0.02, atol=0)


def halves(rows: torch.Tensor) -> torch.Tensor:
    """Expected tokens as consistency wants them: those of the first half once more."""
    half = rows[: len(rows) // 2]
    return torch.cat([half, half])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_asked_for_consistency_it_equals_the_loss_of_whole_logits(smoothing: float) -> None:
    vectors, weight, bias, expected = drawn()
    vectors, expected, objective = vectors[:-1], halves(expected), Objective(smoothing, consistency=3.0)
    reference = cross_entropy_of_logits(functional.linear(vectors, weight, bias), expected, objective)
    total = linear_cross_entropy(vectors, weight, bias, expected, objective)
    torch.testing.assert_close(total, reference)
    for own, theirs in zip(
        torch.autograd.grad(total, (vectors, weight, bias)),
        torch.autograd.grad(reference, (vectors, weight, bias)),
        strict=True,
    ):
        torch.testing.assert_close(own, theirs)


def test_inconsistency_is_half_of_both_divergences_times_its_weight() -> None:
    shares = torch.tensor([[0.5, 0.5], [0.9, 0.1]], dtype=torch.float64)  # of one position, read twice
    there, back = ((shares[i] * (shares[i] / shares[1 - i]).log()).sum() for i in (0, 1))
    expected = torch.tensor([1, 1])
    plain = cross_entropy_of_logits(shares.log(), expected, Objective())
    asked = cross_entropy_of_logits(shares.log(), expected, Objective(consistency=4.0))
    torch.testing.assert_close(asked - plain, 4.0 / 2 * (there + back))


def test_two_readings_that_agree_cost_nothing_more() -> None:
    vectors, weight, bias, expected = drawn()
    vectors, expected = torch.cat([vectors[:11], vectors[:11]]), halves(expected)
    plain = linear_cross_entropy(vectors, weight, bias, expected, Objective(0.1))
    torch.testing.assert_close(linear_cross_entropy(vectors, weight, bias, expected, Objective(0.1, 5.0)), plain)
