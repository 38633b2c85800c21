"""Recipes and corpora small enough to train in a second."""

from collections.abc import Callable
from typing import Any

import pytest

from training.data.examples import (
    AnySplits,
    FeatureColumn,
    LabelledSeries,
    LabelledText,
    PlainText,
    Splits,
    TaggedTokens,
    TextPair,
)
from training.settings.recipe import Recipe

MakeRecipe = Callable[..., Recipe]

_TOKENIZERS: dict[str, dict[str, Any]] = {
    "classification": {"tokenizer": {"kind": "words"}},
    "generation": {"tokenizer": {"kind": "characters"}},
    "labelling": {"tokenizer": {"kind": "words"}},
    "readings": {},
    "translation": {"source_tokenizer": {"kind": "words"}, "target_tokenizer": {"kind": "words"}},
}


@pytest.fixture(scope="session")
def make_recipe() -> MakeRecipe:
    """A tiny recipe; sections can be changed, each by a dict. `labelling` is of words, `readings` its other kind.

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
        kind = "labelling" if task == "readings" else task
        head = {"name": f"tiny-{task}", "version": 1, "task": kind, "seed": 3}
        return Recipe.model_validate({**head, **(tokenizers or _TOKENIZERS[task]), **merged})

    return make


def _series(name: str) -> LabelledSeries:
    """Twenty days; it rains on the day after a wet one that follows a wet one."""
    wet = [(index * 3 + ord(name)) % 7 < 4 for index in range(20)]
    rows = tuple((10.0 + index % 4, None if index == 7 else 90.0 if one else 50.0) for index, one in enumerate(wet))
    labels = tuple("rain" if one and before else "dry" for one, before in zip(wet, [False, *wet], strict=False))
    return LabelledSeries(rows, labels, name, (FeatureColumn("temperature", "degC"), FeatureColumn("humidity", "%")))


@pytest.fixture(scope="session")
def tiny_splits() -> dict[str, AnySplits]:
    """One learnable corpus per task; of labelling one of words and one of readings."""
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
    tagged = [
        TaggedTokens((*name.split(), verb, "in", place), (*("B-PER", "I-PER")[: len(name.split())], "O", "O", "B-LOC"))
        for place in ("Rome", "Lima", "Oslo")
        for verb in ("lives", "works")
        for name in ("Mary", "John Smith", "Anna", "Paul Brown")
    ]
    return {
        "labelling": Splits(tuple(tagged[:16]), tuple(tagged[16:20]), tuple(tagged[20:])),
        "readings": Splits(tuple(map(_series, "abcdefgh")), (_series("i"),), (_series("j"),)),
        "classification": Splits(tuple(reviews[:16]), tuple(reviews[16:20]), tuple(reviews[20:])),
        "generation": Splits(tuple(tunes[:19]), tuple(tunes[19:23]), tuple(tunes[23:])),
        "translation": Splits(tuple(pairs[:8]), tuple(pairs[8:10]), tuple(pairs[10:])),
    }
