"""Tokens become vectors; while training, some read as unknown and some of the vocabulary as nothing."""

import torch

from training.models.layers.embedding import TokenEmbedding
from training.settings.model import ModelSettings

EVERY_ID = torch.arange(200)


def embedding(**rates: float) -> TokenEmbedding:
    sizes = {"cell": "lstm", "embedding_size": 6, "hidden_size": 8}
    return TokenEmbedding(200, ModelSettings.model_validate({**sizes, **rates})).train()


def test_outside_training_it_is_a_table() -> None:
    table = embedding(word_dropout=0.9, embedding_dropout=0.9).eval()
    assert torch.equal(table(EVERY_ID), table.weight)


def test_word_dropout_replaces_tokens_by_the_unknown_one_each_for_itself() -> None:
    table = embedding(word_dropout=0.5)
    vectors = table(EVERY_ID.expand(2, 200))
    unknown = (vectors == table.weight[3]).all(dim=-1)
    assert 0.4 < unknown[:, 4:].float().mean() < 0.6
    assert not torch.equal(unknown[0], unknown[1])
    assert (unknown | (vectors == table.weight).all(dim=-1)).all()


def test_word_dropout_leaves_special_tokens_alone() -> None:
    table = embedding(word_dropout=0.9)
    special = torch.arange(4).expand(50, 4)
    assert torch.equal(table(special), table.weight[special])


def test_embedding_dropout_drops_a_token_wherever_it_stands() -> None:
    table = embedding(embedding_dropout=0.5)
    vectors = table(EVERY_ID.expand(3, 200))
    dropped = (vectors == 0).all(dim=-1)  # [3, 200]
    assert torch.equal(dropped, dropped[:1].expand(3, 200))
    assert 0.3 < dropped.float().mean() < 0.7
    assert torch.equal(vectors[0][~dropped[0]], 2 * table.weight[~dropped[0]])


def test_a_dropped_token_gets_no_gradient() -> None:
    table = embedding(embedding_dropout=0.5)
    vectors = table(EVERY_ID)
    torch.autograd.backward(vectors.sum())
    assert table.weight.grad is not None
    dropped = (vectors == 0).all(dim=-1)
    assert torch.equal(table.weight.grad[dropped], torch.zeros(int(dropped.sum()), 6))
    assert torch.equal(table.weight.grad[~dropped], torch.full((int((~dropped).sum()), 6), 2.0))
