"""Recipes: everything that decides what a training run produces.   Parses and checks TOML; reads no data.

A recipe is frozen, typed as written and refuses unknown keys: a misspelt setting is an error, not a default.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from service.bundle.manifest import ModelName, Precision
from training.errors import RecipeError
from training.settings.evaluation import EvaluationSettings
from training.settings.files import FileSettings, SeriesFiles
from training.settings.labelling import LabellingSettings
from training.settings.model import ModelSettings
from training.settings.pretraining import PretrainingSettings
from training.settings.strict import PositiveInteger
from training.settings.strict import StrictModel as _Strict
from training.settings.training import TrainingSettings
from training.settings.windows import WindowSettings

Task = Literal["classification", "generation", "labelling", "translation"]
TokenizerKind = Literal["characters", "words", "whitespace", "bpe", "unigram"]
_OVER_BYTES = frozenset({"bpe", "unigram"})
"""Kinds that have a token for everything, and none for what is unknown."""
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]


class DataSettings(_Strict):
    """Which examples, and how long they may be."""

    corpus: str | None = None
    """A name that `training.data.load.load_corpus` knows: a sample, or a corpus of the data folder."""
    files: FileSettings | None = None
    """A user's own files instead of a corpus."""
    max_examples: PositiveInteger | None = None
    """Keep at most this many training examples, the same ones for every seed. Validation and test stay whole."""
    shuffle_labels: bool = False
    """The negative control: break the link between input and answer, in the training examples alone."""
    max_token_count: PositiveInteger = 128
    """Longest text, or source, in tokens, special tokens included; longest series in steps."""
    max_output_token_count: PositiveInteger = 128
    """Longest target, or generated text, in tokens. The bundle's bound; for training targets, `eos` included."""
    too_long: Literal["drop", "refuse"] = "drop"
    """What becomes of longer examples. `drop`: training examples are left out, and counted; others are cut where the
    service would refuse them. `refuse`: the first one in any part is an error. Series are cut, never left out."""
    source_language: Language | None = None
    """BCP 47 tag of the text, or of what is translated from."""
    target_language: Language | None = None
    """BCP 47 tag of what is translated into. Translation only."""

    @property
    def origin(self) -> str:
        """Where the examples come from, in a few words."""
        return f"corpus {self.corpus}" if self.files is None else f"files {self.files.format}"

    @model_validator(mode="after")
    def _examples_have_one_origin(self) -> Self:
        if (self.corpus is None) == (self.files is None):
            found = "neither" if self.corpus is None else "both"
            raise ValueError(f"expected `corpus` or `[data.files]`, found {found}")
        return self


class TokenizerSettings(_Strict):
    """How text becomes token ids. The vocabulary is learnt from the training examples alone."""

    kind: TokenizerKind
    """`characters`: one token per character. `words`: words and punctuation marks. `whitespace`: what white space
    separates, for corpora that are tokenised already; `<unk>` in the text is the unknown word. `bpe`: bytes and merges
    of them. `unigram`: bytes and pieces of words, by their probability."""
    vocabulary_size: PositiveInteger = 8000
    """At most this many tokens, special tokens included; for `bpe` and `unigram` also what their training aims at."""
    min_frequency: PositiveInteger = 1
    """Words (or pairs, for `bpe`) seen less often than this in the training examples get no token of their own."""
    lowercase: bool = False
    """Fold case before anything else. The folded text is what `decode` gives back."""

    @model_validator(mode="after")
    def _bytes_fit(self) -> Self:
        if self.kind in _OVER_BYTES and self.vocabulary_size < 260:
            raise ValueError(
                f"vocabulary_size of a {self.kind} tokenizer is at least 260: 256 bytes, special tokens, one piece"
            )
        return self

    @model_validator(mode="after")
    def _frequency_counts(self) -> Self:
        if self.kind == "unigram" and self.min_frequency > 1:
            raise ValueError("min_frequency is not for a unigram tokenizer, which keeps pieces by their probability")
        return self


class ExportSettings(_Strict):
    """What a bundle gets. Has no part in what is trained."""

    precisions: Annotated[list[Precision], Field(min_length=1)] = Field(default=["fp32"])
    """`fp16` is for servers with `--device cuda`; others do not load it."""
    default: Precision = "fp32"
    """The variant that is served where none is asked for."""
    weights: Literal["none", "fp16", "fp32"] = "none"
    """The weights themselves, to export other variants later, without the run and its data. `fp16`: the weights are
    rounded first, and all variants are of the rounded ones, so that an export from the bundle gives the same graphs."""
    opset: Annotated[int, Field(ge=17, le=20)] = 17
    """Version of ONNX's operators in the graphs."""

    @model_validator(mode="after")
    def _default_is_exported(self) -> Self:
        if len(set(self.precisions)) != len(self.precisions):
            raise ValueError(f"precisions are named once each, not {self.precisions}")
        if self.default not in self.precisions:
            raise ValueError(f"default {self.default} is not among precisions {self.precisions}")
        return self


class Recipe(_Strict):
    """The whole of one TOML file: the way to reproduce one published model."""

    name: ModelName
    version: PositiveInteger
    task: Task
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    data: DataSettings
    tokenizer: TokenizerSettings | None = None
    """Classification and generation; labelling of words; translation with one vocabulary, learnt from both sides."""
    source_tokenizer: TokenizerSettings | None = None
    """Translation."""
    target_tokenizer: TokenizerSettings | None = None
    """Translation."""
    model: ModelSettings
    training: TrainingSettings
    windows: WindowSettings | None = None
    """Generation: texts are read as one stream. Left out: each text is an example, from its begin to its end."""
    pretraining: PretrainingSettings | None = None
    """The model that weights and tokenizer come from. Left out: all is learnt from this recipe's examples."""
    labelling: LabellingSettings = LabellingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    export: ExportSettings = ExportSettings()

    @property
    def continuous(self) -> bool:
        """Whether texts follow one another, so that a model of them is measured with the state carried on."""
        return self.windows is not None and self.windows.continuous

    @model_validator(mode="after")
    def _tokenizers_fit_the_task(self) -> Self:
        given = {
            name for name in ("tokenizer", "source_tokenizer", "target_tokenizer") if getattr(self, name) is not None
        }
        wanted = {"tokenizer"}
        if self.task == "translation" and given != wanted:
            wanted = {"source_tokenizer", "target_tokenizer"}
        if isinstance(self.data.files, SeriesFiles):
            wanted = set()
        if self.pretraining is not None:
            if given:
                raise ValueError(f"[pretraining] brings the tokenizer with it, found {_sections(given)} too")
            return self
        numbers_or_words = self.task == "labelling" and self.data.files is None  # the corpus decides
        if given != wanted and not (numbers_or_words and not given):
            raise ValueError(f"{self.task} takes {_sections(wanted)} and no other tokenizer, found {_sections(given)}")
        return self

    @model_validator(mode="after")
    def _dropped_tokens_are_there(self) -> Self:
        learnt = (self.tokenizer, self.source_tokenizer, self.target_tokenizer)
        without_tokens = not any(learnt) and self.pretraining is None
        if without_tokens and (self.model.word_dropout > 0 or self.model.embedding_dropout > 0):
            raise ValueError("model.word_dropout and model.embedding_dropout drop tokens, and readings have none")
        lacking = [one.kind for one in learnt if one is not None and one.kind in _OVER_BYTES]
        if self.model.word_dropout > 0 and lacking:
            raise ValueError(
                f"model.word_dropout needs <unk>, which a {lacking[0]} tokenizer lacks; take model.embedding_dropout"
            )
        return self

    @model_validator(mode="after")
    def _files_fit_the_task(self) -> Self:
        if self.data.files is not None and self.data.files.task != self.task:
            raise ValueError(f"data.files describes examples for {self.data.files.task}; the task is {self.task}")
        return self

    @model_validator(mode="after")
    def _settings_fit_the_task(self) -> Self:
        translation = self.task == "translation"
        refused = {
            "model.attention is for translation": self.model.attention is not None and not translation,
            "model.bidirectional is not for generation, which cannot see what comes next": (
                self.model.bidirectional and self.task == "generation"
            ),
            "model.share_embeddings is for translation with one [tokenizer] for both sides": (
                self.model.share_embeddings and not (translation and (self.tokenizer or self.pretraining) is not None)
            ),
            "model.scale_embeddings is not for readings": (
                self.model.scale_embeddings and isinstance(self.data.files, SeriesFiles)
            ),
            "model.tie_weights is not for models whose outputs are labels": (
                self.model.tie_weights and self.task in {"classification", "labelling"}
            ),
            'model.pooling other than "last" is for classification': (
                self.model.pooling != "last" and self.task != "classification"
            ),
            "[labelling] is for labelling": "labelling" in self.model_fields_set and self.task != "labelling",
            "training.teacher_forcing_ratio below 1 is for translation": (
                self.training.teacher_forcing_ratio < 1 and not translation
            ),
            "evaluation.tunes is for generation": self.evaluation.tunes is not None and self.task != "generation",
            "data.target_language is for translation": self.data.target_language is not None and not translation,
            "evaluation.beam_size, length_penalty and bleu_tokenization are for translation": (
                not translation
                and not {"beam_size", "length_penalty", "bleu_tokenization"}.isdisjoint(
                    self.evaluation.model_fields_set
                )
            ),
        }
        for rule, broken in refused.items():
            if broken:
                raise ValueError(f"{rule}; the task is {self.task}")
        return self

    @model_validator(mode="after")
    def _pretraining_fits(self) -> Self:
        if self.pretraining is None:
            return self
        is_series = isinstance(self.data.files, SeriesFiles)
        if is_series:
            raise ValueError("[pretraining] is for models of text, and readings are none")
        slower = self.pretraining.learning_rate_decay > 1 or self.pretraining.gradual_unfreezing
        if self.task == "translation" and slower:
            raise ValueError("pretraining.learning_rate_decay and gradual_unfreezing are not for translation")
        if self.pretraining.gradual_unfreezing and self.training.epochs < self.model.layers + 2:
            raise ValueError(
                f"pretraining.gradual_unfreezing frees the embedding in epoch {self.model.layers + 2}, "
                f"training.epochs is {self.training.epochs}"
            )
        return self

    @model_validator(mode="after")
    def _windows_fit(self) -> Self:
        windows = self.windows
        if windows is None:
            return self
        if self.task != "generation":
            raise ValueError(f"[windows] is for generation; the task is {self.task}")
        if windows.token_count > self.training.batch_tokens:
            raise ValueError(
                f"windows.token_count {windows.token_count} is more than training.batch_tokens "
                f"{self.training.batch_tokens}: not even one row fits"
            )
        if self.data.too_long == "refuse":
            raise ValueError('data.too_long = "refuse" contradicts [windows], for which no text is too long')
        if windows.continuous and self.data.max_examples is not None:
            raise ValueError("data.max_examples draws texts at random, windows.continuous keeps them in order")
        return self


def _sections(names: set[str]) -> str:
    return " and ".join(f"[{name}]" for name in sorted(names)) or "none"


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe file.

    Raises:
        RecipeError: no such file, not UTF-8 TOML, or a setting that is unknown, missing, mistyped or out of range.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from error
    return parse_recipe(raw, where=str(path))


def parse_recipe(raw: bytes, *, where: str) -> Recipe:
    """Check the bytes of a recipe. `where` names them in errors (`load_recipe` gives the path).

    Raises:
        RecipeError: as `load_recipe`.
    """
    try:
        document = tomllib.loads(raw.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise RecipeError(f"{where}: not valid TOML: {error}") from error
    return parse_document(document, where=where)


def parse_document(document: Mapping[str, Any], *, where: str) -> Recipe:
    """Check what a recipe's file holds.   Arguments and errors as `parse_recipe`."""
    try:
        return Recipe.model_validate(document)
    except ValidationError as error:
        raise RecipeError(f"{where}: {first_problem(error, document)}") from error


def first_problem(error: ValidationError, document: object) -> str:
    """Say the first problem in one line: which setting, and what is wrong with it."""
    first = error.errors(include_url=False, include_input=False)[0]
    location, message, missing = first["loc"], first["msg"].removeprefix("Value error, "), first["type"] == "missing"
    if first["type"] == "union_tag_not_found":
        location, message, missing = (*location, first["ctx"]["discriminator"].strip("'")), "Field required", True
    setting = ".".join(_names_in_the_file(location, document, missing=missing))
    return f"{setting}: {message}" if setting else message


def _names_in_the_file(location: tuple[int | str, ...], document: object, *, missing: bool) -> list[str]:
    """Drop from a location what pydantic adds for its own use: the names of a union's members.

    Args:
        location: of an error, keys and positions from the outside in.
        document: what was parsed.
        missing: the last key is one that the file lacks.
    """
    path, names = (location[:-1] if missing else location), []
    for part in path:
        if (isinstance(document, dict) and part in document) or (isinstance(document, list) and isinstance(part, int)):
            document = document[part]  # type: ignore[index]
            names.append(str(part))
    return names + [str(part) for part in location[len(path) :]]
