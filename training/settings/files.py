"""A user's own files, as the table `[data.files]` of a recipe describes them.   Parses and checks; reads no file.

Paths are relative to the folder of the recipe; a file may be packed with gzip. Validation and test examples come
from files of their own, or as shares of the training files.
"""

from collections.abc import Mapping
from datetime import date
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from training.settings.strict import StrictModel

DataTask = Literal["classification", "generation", "labelling", "translation"]
PartName = Literal["training", "validation", "test"]

_TASK_BY_ROLES: Mapping[frozenset[str], DataTask] = MappingProxyType(
    {
        frozenset({"text", "label"}): "classification",
        frozenset({"text"}): "generation",
        frozenset({"source", "target"}): "translation",
    }
)


def _one_or_many(value: Any) -> Any:
    """TOML writes one file without brackets, several as a list."""
    return tuple(value) if isinstance(value, list | tuple) else (value,)


Name = Annotated[str, Field(min_length=1)]
Paths = Annotated[tuple[Name, ...], BeforeValidator(_one_or_many), Field(min_length=1)]
Share = Annotated[float, Field(gt=0, lt=0.5)]
ColumnNumber = Annotated[int, Field(ge=1)]
Column = Name | ColumnNumber
"""A column by the name in the header, or by its number, counted from 1."""


class SplitSettings(StrictModel):
    """Shares of the training files that are set apart.

    An example belongs to a part by a hash of its text, case and punctuation left out: the same on every machine, and
    the same when the file grows. Pairs that share a sentence on either side, directly or over others, stay together;
    series stay whole.
    """

    validation: Share | None = None
    test: Share | None = None

    @model_validator(mode="after")
    def _something_is_set_apart(self) -> Self:
        if self.validation is None and self.test is None:
            raise ValueError("expected a share for validation, for test, or for both")
        return self


class _Parts(StrictModel):
    """Where each part comes from: subclasses add `training`, `validation` and `test`."""

    split: SplitSettings | None = None

    @model_validator(mode="after")
    def _each_part_has_one_source(self) -> Self:
        for part in ("validation", "test"):
            sources = self._sources(part)
            if len(sources) != 1:
                found = " and ".join(sources) or "neither"
                raise ValueError(f"{part} comes from files of its own or from a share of training, found {found}")
        return self

    def _sources(self, part: str) -> list[str]:
        share = self.split is not None and getattr(self.split, part) is not None
        return [f"`{part}`"] * (getattr(self, part) is not None) + [f"`split.{part}`"] * share


class _PathParts(_Parts):
    training: Paths
    validation: Paths | None = None
    test: Paths | None = None


class RecordFiles(_PathParts):
    """One example per record: rows of a table, or JSON objects, one a line.

    `text` and `label` are for classification, `text` alone for generation, `source` and `target` for translation.
    Each names a column, or a key of the object.
    """

    format: Literal["tsv", "csv", "jsonl"]
    """`tsv`: tabs separate, quotes mean nothing. `csv`: RFC 4180, fields may be quoted. `jsonl`: JSON lines."""
    text: Column | None = None
    label: Column | None = None
    source: Column | None = None
    target: Column | None = None
    header: bool = True
    """The first line names the columns. Tables only."""
    delimiter: Annotated[str, Field(pattern=r"^[^\"\r\n]$")] = ","
    """What separates fields. `csv` only."""

    @property
    def roles(self) -> dict[str, Column]:
        """Which column holds what, for the roles that were given."""
        given = {role: getattr(self, role) for role in ("text", "label", "source", "target")}
        return {role: column for role, column in given.items() if column is not None}

    @property
    def task(self) -> DataTask:
        """What its examples are for."""
        return _TASK_BY_ROLES[frozenset(self.roles)]

    @model_validator(mode="after")
    def _columns_make_an_example(self) -> Self:
        if frozenset(self.roles) not in _TASK_BY_ROLES:
            found = ", ".join(f"`{role}`" for role in self.roles) or "none"
            raise ValueError(f"expected `text` and `label`, `text` alone, or `source` and `target`, found {found}")
        if len(set(self.roles.values())) < len(self.roles):
            raise ValueError("expected a column of its own for each role, found one given twice")
        return self

    @model_validator(mode="after")
    def _keys_fit_the_format(self) -> Self:
        numbered = [role for role, column in self.roles.items() if isinstance(column, int)]
        named = len(numbered) < len(self.roles)
        if self.format == "jsonl" and numbered:
            raise ValueError(f"`{numbered[0]}` is a number, JSON objects have keys with names")
        if self.format == "jsonl" and not self.header:
            raise ValueError("`header` is for tables, JSON lines have none")
        if not self.header and named:
            raise ValueError("without a header, columns are numbers, counted from 1")
        if self.format != "csv" and "delimiter" in self.model_fields_set:
            raise ValueError(f"`delimiter` is for csv, the format is {self.format}")
        return self


class ConllFiles(_PathParts):
    """One token a line, an empty line behind each sentence. Tabs separate columns where the line has one, else blanks.

    Sentences that are nothing but `-DOCSTART-` are left out.
    """

    format: Literal["conll"]
    token_column: ColumnNumber
    tag_column: ColumnNumber
    id_column: ColumnNumber | None = None
    """The column of CoNLL-U ids (there, 1). With it, lines that begin with `#` are comments, and lines whose id is a
    range (`1-2`, a multiword token) or has a dot (`1.1`, an empty node) are left out. Without it, every line counts."""
    task: ClassVar[DataTask] = "labelling"

    @model_validator(mode="after")
    def _columns_differ(self) -> Self:
        columns = [self.token_column, self.tag_column, self.id_column]
        if len(set(columns)) < len(columns):
            raise ValueError("token_column, tag_column and id_column must differ")
        return self


class PathPair(StrictModel):
    """Two files whose lines translate one another."""

    source: Name
    target: Name


PathPairs = Annotated[tuple[PathPair, ...], BeforeValidator(_one_or_many), Field(min_length=1)]


class ParallelFiles(_Parts):
    """Two line-aligned files: line n of one is the translation of line n of the other."""

    format: Literal["parallel"]
    training: PathPairs
    validation: PathPairs | None = None
    test: PathPairs | None = None
    task: ClassVar[DataTask] = "translation"


class PlainFiles(_PathParts):
    """Running text, for language models."""

    format: Literal["text"]
    unit: Literal["lines", "documents", "files"]
    """What one example is: a line, a block between empty lines, or a whole file."""
    task: ClassVar[DataTask] = "generation"


class AbcFiles(_PathParts):
    """Tunes in ABC notation, each from its `X:` to the next empty line; comments and text in between are left out."""

    format: Literal["abc"]
    keep_fields: Annotated[str, Field(pattern=r"^[A-Za-z]*K[A-Za-z]*$")] = "MLK"
    """Letters of the information fields that a model reads and writes. Others (title, source, lyrics) are left out."""
    task: ClassVar[DataTask] = "generation"


class FeatureSettings(StrictModel):
    """One number per time step."""

    column: Name
    unit: Name
    """As the bundle's manifest will tell it: `degC`, `mm`, `1` for what has none."""
    name: Name | None = None
    """What clients call it; left out: as the column."""
    values: dict[str, float] | None = None
    """The number that stands for each word of the column. Left out: the column holds numbers."""

    @property
    def feature_name(self) -> str:
        """What clients call it."""
        return self.name or self.column


def _as_written(value: Any) -> Any:
    """TOML has dates of its own; a time column has text."""
    return value.isoformat() if isinstance(value, date) else value


TimeBound = Annotated[str | float, BeforeValidator(_as_written)]


class TimeSplitSettings(StrictModel):
    """Time steps by when they are: training, then validation, then test. The only honest split of a time series."""

    validation_from: TimeBound
    """The first time of the validation part, written as in the time column."""
    test_from: TimeBound
    """The first time of the test part."""


class SeriesFiles(_PathParts):
    """A table of readings, one row per time step, with a header: numbers in, one label per step out.

    Rows are ordered by time within each group; one group is one sequence. A feature that is missing stays missing, a
    row whose target is missing is left out.
    """

    format: Literal["series"]
    time_column: Name
    """ISO 8601 dates and times, or numbers."""
    target_column: Name
    features: Annotated[tuple[FeatureSettings, ...], BeforeValidator(_one_or_many), Field(min_length=1)]
    group_column: Name | None = None
    """What tells sequences apart (a station, a patient). Left out: a file is one sequence."""
    missing: Annotated[tuple[str, ...], BeforeValidator(_one_or_many)] = ("", "NA", "NaN")
    """How a missing value is written."""
    delimiter: Annotated[str, Field(pattern=r"^[^\"\r\n]$")] = ","
    time_split: TimeSplitSettings | None = None
    """Validation and test by time, from the training files."""
    task: ClassVar[DataTask] = "labelling"

    @model_validator(mode="after")
    def _columns_differ(self) -> Self:
        names = [feature.feature_name for feature in self.features]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"feature {twice[0]!r} is given twice")
        if self.target_column in {feature.column for feature in self.features}:
            raise ValueError(f"target_column {self.target_column!r} is also a feature")
        return self

    def _sources(self, part: str) -> list[str]:
        return super()._sources(part) + ["`time_split`"] * (self.time_split is not None)


FileSettings = Annotated[
    RecordFiles | ConllFiles | ParallelFiles | PlainFiles | AbcFiles | SeriesFiles, Field(discriminator="format")
]
