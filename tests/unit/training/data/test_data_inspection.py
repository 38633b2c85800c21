"""What an inspection counts: lengths, labels, unknown tokens, readings, and leaks between parts."""

from typing import Any

import pytest

from training.data.examples import (
    AnySplits,
    FeatureColumn,
    LabelledSeries,
    LabelledText,
    Splits,
    TaggedTokens,
    TextPair,
)
from training.data.inspection import Inspection, inspect_examples
from training.errors import DataError, RecipeError
from training.settings.recipe import Recipe

WORDS = {"kind": "words"}


def inspect(splits: AnySplits, task: str, max_token_count: int = 10, **tokenizers: object) -> Inspection:
    document: dict[str, Any] = {
        "name": "mine",
        "version": 1,
        "task": task,
        "seed": 1,
        "data": {"corpus": "any", "max_token_count": max_token_count},
        "model": {"cell": "lstm", "embedding_size": 8, "hidden_size": 8},
        "training": {"epochs": 1},
    }
    return inspect_examples(Recipe.model_validate(document | tokenizers), splits)


def leaks(inspection: Inspection) -> dict[tuple[str, str, str], int]:
    return {(found.shared, found.part, found.other): found.count for found in inspection.overlaps if found.count}


def test_lengths_labels_and_unknown_tokens_are_counted_by_part() -> None:
    splits = Splits(
        (LabelledText("a b c", "x"), LabelledText("a a", "x"), LabelledText("b", "y")),
        (LabelledText("a z", "y"),),
        (LabelledText("a " * 11, "x"),),
    )
    found = inspect(splits, "classification", tokenizer=WORDS)
    training, validation, test = found.parts
    assert training.lengths["text"].token_counts.tolist() == [3, 2, 1]
    assert training.labels == {"x": 2, "y": 1}
    assert (training.unknown["text"], validation.unknown["text"]) == ((0, 6), (1, 2))
    assert [part.lengths["text"].over_limit for part in found.parts] == [0, 0, 1]
    assert found.vocabulary_sizes == {"text": 4 + 3}
    assert test.example_count == 1


def test_leaks_are_found_exactly_and_in_other_spellings() -> None:
    splits = Splits(
        (LabelledText("A fine film.", "good"), LabelledText("A bore.", "bad"), LabelledText("a bore", "bad")),
        (LabelledText("A bore.", "bad"), LabelledText("New.", "bad")),
        (LabelledText("a fine film", "bad"), LabelledText("A fine film.", "bad")),
    )
    assert leaks(inspect(splits, "classification", tokenizer=WORDS)) == {
        ("whole example", "validation", "training"): 1,
        ("text, letter by letter", "validation", "training"): 1,
        ("text, case and punctuation aside", "validation", "training"): 1,
        ("text, letter by letter", "test", "training"): 1,
        ("text, case and punctuation aside", "test", "training"): 2,
        ("text, case and punctuation aside", "training", "training"): 1,
    }


def test_a_leak_is_shown_by_an_example_of_each_part() -> None:
    ours, theirs = TextPair("Hi!", "Salve"), TextPair("hi", "Ciao")
    found = inspect(
        Splits((theirs,), (TextPair("Go", "Vai"),), (ours,)),
        "translation",
        source_tokenizer=WORDS,
        target_tokenizer=WORDS,
    )
    assert leaks(found) == {("source, case and punctuation aside", "test", "training"): 1}
    assert [overlap.first for overlap in found.overlaps if overlap.count] == [(ours, theirs)]


def test_tagged_words_are_counted_in_tokens_of_the_recipe() -> None:
    splits = Splits(
        (TaggedTokens(("The", "the", "cat"), ("D", "D", "N")),),
        (TaggedTokens(("THE", "dog"), ("D", "N")),),
        (TaggedTokens(("cat",), ("N",)),),
    )
    found = inspect(splits, "labelling", tokenizer=WORDS | {"lowercase": True})
    assert found.vocabulary_sizes == {"words": 4 + 2}
    assert [part.unknown["words"] for part in found.parts] == [(0, 3), (1, 2), (0, 1)]
    assert found.parts[0].labels == {"D": 2, "N": 1}
    rare = inspect(splits, "labelling", tokenizer=WORDS | {"lowercase": True, "min_frequency": 2})
    pieces = inspect(splits, "labelling", tokenizer={"kind": "characters"})
    assert pieces.parts[0].lengths["words"].token_counts.tolist() == [9]
    assert rare.parts[0].unknown["words"] == (1, 3)


def test_readings_are_described_and_shared_steps_are_found() -> None:
    columns = (FeatureColumn("temp", "degC"), FeatureColumn("wind", "km/h"))
    steps = ((1.0, None), (3.0, None))
    splits = Splits(
        (LabelledSeries(steps, ("x", "y"), "Rome", columns),),
        (LabelledSeries(((3.0, None), (4.0, 1.0)), ("x", "y"), "Rome", columns),),
        (LabelledSeries(((3.0, None),), ("x",), "Bath", columns),),
    )
    found = inspect(splits, "labelling")
    temperature, wind = found.features
    assert (temperature.smallest, temperature.mean, temperature.largest, temperature.missing_share) == (1, 2, 3, 0)
    assert (wind.unit, wind.mean, wind.missing_share) == ("km/h", None, 1)
    assert leaks(found) == {
        ("name of the series", "validation", "training"): 1,
        ("step of one series", "validation", "training"): 1,
    }


def test_words_without_a_tokenizer_and_readings_with_one_are_refused() -> None:
    sentence, series = TaggedTokens(("a",), ("X",)), LabelledSeries(((1.0,),), ("x",), "a", (FeatureColumn("t", ""),))
    with pytest.raises(RecipeError, match=r"corpus any holds words, which take a \[tokenizer\]"):
        inspect(Splits((sentence,), (), ()), "labelling")
    with pytest.raises(RecipeError, match="holds readings, which have no use for tokenizer"):
        inspect(Splits((series,), (), ()), "labelling", tokenizer=WORDS)


def test_no_training_examples_are_an_error() -> None:
    with pytest.raises(DataError, match="corpus any: expected training examples, found none"):
        inspect(Splits[LabelledText]((), (), ()), "classification", tokenizer=WORDS)
