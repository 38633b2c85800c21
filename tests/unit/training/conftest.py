"""Recipes and corpora small enough to train in a second."""

from collections.abc import Callable
from typing import Any

import pytest

from training.data.examples import AnySplits, LabelledText, PlainText, Splits, TextPair
from training.settings import Recipe

MakeRecipe = Callable[..., Recipe]

_TOKENIZERS: dict[str, dict[str, Any]] = {
    "classification": {"tokenizer": {"kind": "words"}},
    "generation": {"tokenizer": {"kind": "characters"}},
    "translation": {"source_tokenizer": {"kind": "words"}, "target_tokenizer": {"kind": "words"}},
}


@pytest.fixture
def make_recipe() -> MakeRecipe:
    """A tiny recipe; settings of [data], [model], [training] and [export] can be changed, each by a dict.

    Other sections can be added. `tokenizers` replaces the sections of tokenizers, all of them.
    """

    def make(task: str, *, tokenizers: dict[str, Any] | None = None, **changes: dict[str, Any]) -> Recipe:
        sections: dict[str, dict[str, Any]] = {
            "data": {"corpus": "tiny"},
            "model": {"cell": "lstm", "embedding_size": 8, "hidden_size": 12},
            "training": {"epochs": 2, "batch_tokens": 64, "learning_rate": 0.02, "threads": 1},
            "export": {},
        }
        merged = {name: section | changes.get(name, {}) for name, section in sections.items()}
        merged |= {name: section for name, section in changes.items() if name not in sections}
        head = {"name": f"tiny-{task}", "version": 1, "task": task, "seed": 3}
        return Recipe.model_validate({**head, **(tokenizers or _TOKENIZERS[task]), **merged})

    return make


@pytest.fixture
def tiny_splits() -> dict[str, AnySplits]:
    """One learnable corpus per task."""
    things = ["film", "plot", "cast", "score", "scene", "end"]
    reviews = [
        LabelledText(f"the {thing} was {word}", label)
        for thing in things
        for word, label in (("good", "positive"), ("bad", "negative"), ("great", "positive"), ("dull", "negative"))
    ]
    tunes = [PlainText(f"K:{key}\n{note * count}|") for key in "CDG" for note in "ABG" for count in (1, 2, 3)]
    pairs = [
        TextPair(f"the {colour} {animal}", f"il {thing} {shade}")
        for animal, thing in (("cat", "gatto"), ("dog", "cane"), ("horse", "cavallo"), ("bird", "uccello"))
        for colour, shade in (("black", "nero"), ("red", "rosso"), ("white", "bianco"))
    ]
    return {
        "classification": Splits(tuple(reviews[:16]), tuple(reviews[16:20]), tuple(reviews[20:])),
        "generation": Splits(tuple(tunes[:19]), tuple(tunes[19:23]), tuple(tunes[23:])),
        "translation": Splits(tuple(pairs[:8]), tuple(pairs[8:10]), tuple(pairs[10:])),
    }
