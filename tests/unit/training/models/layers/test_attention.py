"""Attention: weights over real positions, the same scores as the textbook's."""

import pytest
import torch

from training.models.layers.attention import Attention, AttentionKind

LENGTHS = torch.tensor([5, 2])


def source() -> torch.Tensor:
    return torch.randn(2, 5, 6)


@pytest.mark.parametrize("kind", ["dot", "general", "additive"])
def test_weights_sum_to_one_and_are_exactly_zero_on_padding(kind: AttentionKind) -> None:
    attention, values = Attention(kind, 6, 6), source()
    contexts, weights = attention(torch.randn(2, 3, 6), attention.project(values), values, LENGTHS)
    assert contexts.shape == (2, 3, 6)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 3))
    assert (weights[1, :, 2:] == 0).all()


@pytest.mark.parametrize("kind", ["dot", "general", "additive"])
def test_what_stands_in_padding_changes_nothing(kind: AttentionKind) -> None:
    attention, values, queries = Attention(kind, 6, 6), source(), torch.randn(2, 3, 6)
    spoilt = values.clone()
    spoilt[1, 2:] = 1e3
    contexts, weights = attention(queries, attention.project(values), values, LENGTHS)
    contexts_of_spoilt, weights_of_spoilt = attention(queries, attention.project(spoilt), spoilt, LENGTHS)
    assert torch.equal(contexts, contexts_of_spoilt)
    assert torch.equal(weights, weights_of_spoilt)


def test_general_projects_the_source_and_scores_as_if_it_had_projected_the_query() -> None:
    attention, values, queries = Attention("general", 4, 6), source(), torch.randn(2, 3, 4)
    assert attention.projection is not None
    expected = torch.einsum("bsk,kv,btv->bst", queries, attention.projection.weight, values)
    torch.testing.assert_close(attention.scores(queries, attention.project(values)), expected, atol=1e-5, rtol=0)


def test_additive_scores_are_bahdanaus() -> None:
    attention, values, queries = Attention("additive", 4, 6), source(), torch.randn(2, 3, 4)
    assert attention.projection is not None
    assert attention.query_projection is not None
    assert attention.energy is not None
    hidden, state = queries[1, 2], values[1, 4]
    expected = attention.energy(torch.tanh(attention.query_projection(hidden) + attention.projection(state)))
    scores = attention.scores(queries, attention.project(values))
    torch.testing.assert_close(scores[1, 2, 4], expected[0], atol=1e-6, rtol=0)


def test_dot_refuses_different_widths() -> None:
    with pytest.raises(ValueError, match="equal widths, not query 4 and source 6"):
        Attention("dot", 4, 6)


@pytest.mark.parametrize("kind", ["dot", "general"])
def test_scaled_scores_are_divided_by_the_root_of_their_width(kind: AttentionKind) -> None:
    plain, scaled = Attention(kind, 4, 4), Attention(kind, 4, 4, scaled=True)
    scaled.load_state_dict(plain.state_dict())
    queries, values = torch.randn(2, 3, 4), torch.randn(2, 5, 4)
    torch.testing.assert_close(
        scaled.scores(queries, scaled.project(values)) * 2, plain.scores(queries, plain.project(values))
    )
