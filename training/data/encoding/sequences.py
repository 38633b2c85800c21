"""Sequences with a label per step, as numbers: words into token ids, readings into scaled features.   Knows no model.

Both go through the code that the service runs: `service.text.words` and `service.bundle.features`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import ValidationError

from service.bundle.features import scale_rows
from service.bundle.manifest import Feature, FeatureInput
from service.errors import InvalidArgumentError
from service.text.tokenizer import Tokenizer
from service.text.words import EmptyWordError, LabelPosition, encode_words
from training.data.encoding.batches import FloatArray, Steps
from training.data.examples import UNLABELLED, FeatureColumn, LabelledSeries, TaggedTokens
from training.errors import DataError, RecipeError
from training.settings.recipe import Recipe


@dataclass(frozen=True)
class LabelledSteps:
    """A sequence as a model takes it, and what it should say.

    Attributes:
        steps: token ids, or readings [time, features].
        positions: the steps that have a label, ascending.
        labels: theirs.
    """

    steps: Steps
    positions: tuple[int, ...]
    labels: tuple[str, ...]

    def pieces(self, longest: int) -> Iterator["LabelledSteps"]:
        """Cut into pieces of at most `longest` steps."""
        for start in range(0, len(self.steps), longest):
            inside = [
                (position - start, label)
                for position, label in zip(self.positions, self.labels, strict=True)
                if start <= position < start + longest
            ]
            yield LabelledSteps(
                self.steps[start : start + longest],
                tuple(position for position, _ in inside),
                tuple(label for _, label in inside),
            )


def read_words(
    tokenizer: Tokenizer, label_position: LabelPosition, example: TaggedTokens, otherwise: str
) -> LabelledSteps:
    """Encode a sentence.

    Args:
        tokenizer: of words.
        label_position: the token of a word that carries its label.
        example: the sentence.
        otherwise: what to call an example that was not read from a file.

    Raises:
        DataError: the tokenizer gives no token for a word; says where.
    """
    try:
        encoded = encode_words(tokenizer, example.tokens, label_position)
    except EmptyWordError as error:
        word = example.tokens[error.index]
        place = example.origin or otherwise
        raise DataError(f"{place}: word {error.index + 1}, {word!r}, gives no token that could be labelled") from error
    known = [pair for pair in zip(encoded.positions, example.tags, strict=True) if pair[1] != UNLABELLED]
    return LabelledSteps(encoded.token_ids, tuple(place for place, _ in known), tuple(tag for _, tag in known))


def read_series(features: Sequence[Feature], example: LabelledSeries, otherwise: str) -> LabelledSteps:
    """Scale a series; what is missing is imputed. Arguments as `read_words`.

    Raises:
        DataError: a reading is missing of which none was in training, or is far off; says where.
    """
    names = [column.name for column in example.columns]
    rows = [
        {name: value for name, value in zip(names, step, strict=True) if value is not None} for step in example.features
    ]
    try:
        scaled = scale_rows(features, rows, where="steps")
    except InvalidArgumentError as error:
        place = " ".join(filter(None, [str(example.origin or otherwise) + ":", example.name]))
        raise DataError(f"{place} {error.message}; so the model would refuse it") from error
    return LabelledSteps(np.array(scaled, dtype=np.float32), tuple(range(len(rows))), example.labels)


def learn_features(examples: Sequence[LabelledSeries]) -> FeatureInput:
    """Learn mean, scale and imputation of each feature from training examples, over all steps.

    A reading that is missing somewhere in training is imputed by the mean; one that is always there is required.

    Raises:
        DataError: a feature has no reading at all, or a name that a bundle cannot have.
    """
    table = np.array([step for series in examples for step in series.features], dtype=np.float64)  # None becomes NaN
    features = [_described(column, table[:, index]) for index, column in enumerate(examples[0].columns)]
    try:
        return FeatureInput.model_validate({"kind": "features", "features": features})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(f"{where}: {first['msg']}") from error


def _described(column: FeatureColumn, readings: np.ndarray) -> dict[str, str | float]:
    """The manifest's description of a feature with these readings, NaN where missing."""
    present = readings[~np.isnan(readings)]
    if not present.size:
        raise DataError(f"feature {column.name!r}: expected readings in the training part, found none")
    mean, scale = float(present.mean()), float(present.std())
    imputation = "refuse" if present.size == readings.size else mean
    return {
        "name": column.name,
        "unit": column.unit,
        "mean": mean,
        "scale": scale if scale > 0 else 1.0,
        "imputation": imputation,
    }


def logits_at_labels(
    sequences: Sequence[LabelledSteps], longest: int | None, run: Callable[[list[Steps]], Sequence[FloatArray]]
) -> list[FloatArray]:
    """Run a model over sequences and keep what it says of the steps that have a label.

    Args:
        sequences: to read.
        longest: a model of both directions reads pieces of at most so many steps; None: each is read whole.
        run: gives the logits [steps, labels] of each piece.

    Returns:
        [labelled steps, labels] per sequence.
    """
    pieces = [
        (index, piece)
        for index, sequence in enumerate(sequences)
        for piece in sequence.pieces(longest or len(sequence.steps))
    ]
    found: list[list[FloatArray]] = [[] for _ in sequences]
    for (index, piece), logits in zip(pieces, run([piece.steps for _, piece in pieces]), strict=True):
        found[index].append(logits[np.array(piece.positions, dtype=np.int64)])
    return [np.concatenate(of_sequence) for of_sequence in found]


def check_reads(recipe: Recipe, reads: Literal["words", "readings"]) -> None:
    """Refuse settings of [tokenizer], [pretraining] and [labelling] that mean nothing for what the examples hold.

    Raises:
        RecipeError: names them.
    """
    origin, settings = f"recipe {recipe.name}: {recipe.data.origin}", recipe.labelling
    if reads == "words":
        wrong = [f"labelling.{name}" for name in settings.given("window_length")]
        if recipe.tokenizer is None and recipe.pretraining is None:
            raise RecipeError(f"{origin} holds words, which take a [tokenizer]")
    else:
        wrong = [f"labelling.{name}" for name in settings.given("label_position", "split")]
        wrong += ["tokenizer"] * (recipe.tokenizer is not None) + ["pretraining"] * (recipe.pretraining is not None)
    if wrong:
        raise RecipeError(f"{origin} holds {reads}, which have no use for {' and '.join(wrong)}")
