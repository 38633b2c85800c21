"""Looks at a recipe's examples as training will see them: with its tokenizers, limits and parts.   Prints nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from service.text.tokenizer import Tokenizer
from training.data.encoding.sequences import check_reads
from training.data.encoding.tokenization import train_tokenizer
from training.data.examples import AnySplits, LabelledSeries, PlainText, Splits, TaggedTokens, TextPair
from training.data.load import select_examples
from training.data.statistics import (
    PARTS,
    FeatureSummary,
    Overlap,
    PartSummary,
    find_overlaps,
    summarise_features,
    summarise_part,
)
from training.errors import DataError
from training.settings.recipe import Recipe


@dataclass(frozen=True)
class Inspection:
    """What there is to say about a recipe's examples.

    Attributes:
        splits: the examples; of the training part those that the recipe keeps.
        vocabulary_sizes: by side, special tokens included.
        features: of series; else empty.
    """

    recipe: Recipe
    splits: AnySplits
    parts: tuple[PartSummary, ...]
    vocabulary_sizes: Mapping[str, int]
    overlaps: tuple[Overlap, ...]
    features: tuple[FeatureSummary, ...]


def inspect_examples(recipe: Recipe, splits: AnySplits, pretrained: Sequence[Tokenizer] = ()) -> Inspection:
    """Learn the tokenizers and count.

    Args:
        recipe: whose examples they are.
        splits: the examples.
        pretrained: the tokenizers that a pretrained model brings with it, of a translator two.

    Raises:
        DataError: there is no training example, or no text in them.
        RecipeError: a setting has no use for what the examples hold.
    """
    selected = _selected(recipe, splits)
    if not selected.training:
        raise DataError(f"{recipe.data.origin}: expected training examples, found none")
    first = selected.training[0]
    if isinstance(first, TaggedTokens | LabelledSeries):
        check_reads(recipe, "words" if isinstance(first, TaggedTokens) else "readings")
    sides = ["words" if isinstance(first, TaggedTokens) else "text"]
    if isinstance(first, TextPair):
        sides = ["source", "target"]
    tokenizers = dict(zip(sides, pretrained, strict=True)) if pretrained else _tokenizers(recipe, selected)
    parts = tuple(summarise_part(part, getattr(selected, part), tokenizers, recipe.data) for part in PARTS)
    sizes = {side: tokenizer.vocabulary_size for side, tokenizer in tokenizers.items()}
    series = [example for example in selected.training if isinstance(example, LabelledSeries)]
    features = tuple(summarise_features(series)) if series and series[0].columns else ()
    return Inspection(recipe, selected, parts, sizes, tuple(find_overlaps(selected)), features)


def _selected(recipe: Recipe, splits: AnySplits) -> AnySplits:
    of_one_kind = cast("Splits[PlainText]", splits)  # of any kind, but of one: all that select_examples asks for
    return select_examples(of_one_kind, recipe.data, seed=recipe.seed)


def _tokenizers(recipe: Recipe, splits: AnySplits) -> dict[str, Tokenizer]:
    """Learn the tokenizer of each side of text from the training examples; series have none."""
    both = [text for pair in splits.training if isinstance(pair, TextPair) for text in (pair.source, pair.target)]
    if both and recipe.tokenizer is not None:
        shared = Tokenizer.from_bytes(train_tokenizer(both, recipe.tokenizer))
        return {"source": shared, "target": shared}
    first = splits.training[0]
    if isinstance(first, TaggedTokens) and recipe.tokenizer is not None:
        words = [word for example in splits.training for word in cast("TaggedTokens", example).tokens]
        return {"words": Tokenizer.from_bytes(train_tokenizer(words, recipe.tokenizer))}
    settings = {"text": recipe.tokenizer, "source": recipe.source_tokenizer, "target": recipe.target_tokenizer}
    return {
        side: Tokenizer.from_bytes(train_tokenizer([getattr(e, side) for e in splits.training], of_side))
        for side, of_side in settings.items()
        if of_side is not None and hasattr(first, side)
    }
