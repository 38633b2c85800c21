"""The manifest of a bundle: what is in it, what it does, what proves it.   Strict; FORMAT.md is normative.

Parses and checks the manifest alone: it opens no other file and knows no ONNX.
"""

import json
from collections.abc import Sequence
from typing import Annotated, Literal, NoReturn, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from service.errors import BundleError

FORMAT = 1
"""The layout this code reads and writes. A bundle with another number is refused."""

MANIFEST_NAME = "manifest.json"
MAX_MANIFEST_BYTES = 1_000_000

FileName = Annotated[str, StringConstraints(pattern=r"^([a-z0-9][a-z0-9_.-]{0,99}|MODEL_CARD\.md)$")]
ModelName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
UtcTime = Annotated[
    str, StringConstraints(pattern=r"^[0-9]{4}(-[0-9]{2}){2}T[0-9]{2}(:[0-9]{2}){2}(\.[0-9]{1,9})?(Z|\+00:00)$")
]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Precision = Literal["fp32", "int8", "fp16"]
Dtype = Literal["float32", "int64"]
GraphRole = Literal["classifier", "labeller", "prefill", "step", "encoder", "decoder_step"]
FeatureName = Annotated[str, StringConstraints(pattern=r"^[^\s\p{C}]([^\p{C}]{0,98}[^\s\p{C}])?$")]

MAX_SCALED_VALUE = 1e6
"""Largest magnitude of a scaled feature. What lies further from the mean is a wrong unit, or overflows float32."""


class _Strict(BaseModel):
    """Frozen, typed as written; unknown keys and numbers that are not finite refused."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


class FileEntry(_Strict):
    """Size and hash of one file beside the manifest."""

    size_bytes: Annotated[int, Field(ge=1)]
    sha256: Sha256


class TensorSpec(_Strict):
    """One input or output. `shape` holds fixed sizes as integers and free ones by name (`rows`, `time`)."""

    name: str
    dtype: Dtype
    shape: list[int | str]


class Graph(_Strict):
    """One ONNX file and the signature that the opened session must have, in this order."""

    file: FileName
    opset: Annotated[int, Field(ge=17, le=20)]
    inputs: Annotated[list[TensorSpec], Field(min_length=1)]
    outputs: Annotated[list[TensorSpec], Field(min_length=1)]


class Golden(_Strict):
    """The recorded runs that every load replays."""

    file: FileName
    reference: Literal["pytorch", "self"]
    """Where the expected outputs come from: the model in PyTorch, or this graph's own run at export."""
    absolute_tolerance: Annotated[float, Field(ge=0, le=0.1)]
    relative_tolerance: Annotated[float, Field(ge=0, le=0.1)]
    deviation_from_fp32: Annotated[float, Field(ge=0)]
    """Largest absolute difference of an output from the fp32 graph's, over the golden inputs."""
    instruction_sets: list[str]
    """CPU instruction sets on which the recording was made and replayed, such as `avx512_vnni`."""


class Variant(_Strict):
    """The graphs of one precision, and their proof."""

    graphs: dict[GraphRole, Graph]
    golden: Golden


class Architecture(_Strict):
    """What was trained. For people and reports: nothing at run time depends on it."""

    cell: Literal["rnn", "lstm", "gru"]
    layers: Annotated[int, Field(ge=1)]
    bidirectional: bool
    embedding_size: Annotated[int, Field(ge=1)]
    hidden_size: Annotated[int, Field(ge=1)]
    attention: Literal["dot", "general", "additive"] | None
    parameter_count: Annotated[int, Field(ge=1)]
    residual: bool = False
    layer_norm: bool = False
    input_feeding: bool = False
    scale_attention: bool = False
    scale_embeddings: bool = False
    tie_weights: bool = False
    share_embeddings: bool = False


class Producer(_Strict):
    """Who wrote the bundle, with which versions, and from which recipe."""

    seqserve: str
    torch: str
    onnx: str
    recipe: str
    recipe_sha256: Sha256
    seed: int


class TextSpec(_Strict):
    """A tokenizer and the ids with a meaning of their own."""

    tokenizer: FileName
    vocabulary_size: Annotated[int, Field(ge=2)]
    pad_id: Annotated[int, Field(ge=0)]
    bos_id: Annotated[int, Field(ge=0)] | None
    """Begins a sequence. The decoder's first input; a language model's, before the prompt."""
    eos_id: Annotated[int, Field(ge=0)] | None
    """Ends a sequence. Also appended to a translator's source."""
    language: str | None
    """BCP 47 tag, where the text has a language."""

    @model_validator(mode="after")
    def _ids_are_in_the_vocabulary(self) -> Self:
        for name in ("pad_id", "bos_id", "eos_id"):
            value = getattr(self, name)
            if value is not None and value >= self.vocabulary_size:
                raise ValueError(f"{name} {value} is outside the vocabulary of {self.vocabulary_size}")
        return self


class Classification(_Strict):
    """Many to one. Graph: classifier."""

    task: Literal["classification"]
    text: TextSpec
    labels: Annotated[list[str], Field(min_length=2)]
    max_token_count: Annotated[int, Field(ge=1)]
    state_size: Annotated[int, Field(ge=1)] | None
    """Width of the carried state; null for a model that carries none: of both directions, or pooled over time."""

    @model_validator(mode="after")
    def _labels_are_distinct(self) -> Self:
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels must be distinct")
        return self


class WordInput(_Strict):
    """Steps are words. Each is encoded by itself, into one token or several; one of them carries its label."""

    kind: Literal["words"]
    text: TextSpec
    split: Literal["tokenizer", "whitespace"]
    """How a text becomes words: where the tokenizer's pre-tokenizer cuts it, or at white space alone."""
    label_position: Literal["first", "last"]
    """Which token of a word carries its label. The last has read the whole word, whatever the direction."""


class Feature(_Strict):
    """One reading of a row. The graph takes (value - mean) / scale, computed in float64, rounded to float32."""

    name: FeatureName
    unit: Annotated[str, StringConstraints(max_length=100)]
    """For people, such as `hPa`; empty where there is none."""
    mean: float
    scale: Annotated[float, Field(gt=0)]
    imputation: Literal["refuse"] | float
    """What stands for a reading that is missing or NaN: nothing (the request is refused), or this value, in `unit`."""

    @model_validator(mode="after")
    def _imputed_value_is_in_range(self) -> Self:
        if self.imputation != "refuse" and not abs(self.scaled(self.imputation)) <= MAX_SCALED_VALUE:
            raise ValueError(f"imputation {self.imputation} is more than {MAX_SCALED_VALUE:g} scales from the mean")
        return self

    def scaled(self, value: float) -> float:
        """The value as the graph takes it."""
        return (value - self.mean) / self.scale


class FeatureInput(_Strict):
    """Steps are rows of named numbers."""

    kind: Literal["features"]
    features: Annotated[list[Feature], Field(min_length=1, max_length=1000)]
    """In the order in which the graph takes them."""

    @model_validator(mode="after")
    def _names_are_distinct(self) -> Self:
        if len({feature.name for feature in self.features}) != len(self.features):
            raise ValueError("names of features must be distinct")
        return self


class Labelling(_Strict):
    """Many to many, aligned: one label per step. Graph: labeller."""

    task: Literal["labelling"]
    input: Annotated[WordInput | FeatureInput, Field(discriminator="kind")]
    labels: Annotated[list[str], Field(min_length=2)]
    scheme: Literal["plain", "bio"]
    """`bio`: labels are O, B-TYPE and I-TYPE, and runs of them are spans of a type. `plain`: each stands for itself."""
    max_token_count: Annotated[int, Field(ge=1)]
    """Longest sequence: in tokens, or in rows of features."""
    state_size: Annotated[int, Field(ge=1)] | None
    """Width of the carried state; null for a model of both directions, which carries none."""

    @model_validator(mode="after")
    def _labels_fit_the_scheme(self) -> Self:
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels must be distinct")
        if self.scheme == "bio":
            check_bio(self.labels)
        return self


def check_bio(labels: Sequence[str]) -> None:
    """Raise ValueError unless the labels are O, B-TYPE, and I-TYPE where there is B-TYPE."""
    for label in bio_misfits(labels):
        raise ValueError(f"label {label!r} does not fit scheme bio: O, B-TYPE, and I-TYPE where there is B-TYPE")
    if "O" not in labels:
        raise ValueError("scheme bio needs the label O")


def bio_misfits(labels: Sequence[str]) -> list[str]:
    """Return the labels that are none of O, B-TYPE, and I-TYPE where there is B-TYPE."""
    types = {label[2:] for label in labels if label.startswith("B-") and len(label) > 2}
    return [label for label in labels if label != "O" and not (label[:2] in {"B-", "I-"} and label[2:] in types)]


class Generation(_Strict):
    """One to many. Graphs: step, and prefill unless prompts are read by the step.

    Both carry `state`, so generation can be cut anywhere and go on.
    """

    task: Literal["generation"]
    text: TextSpec
    max_token_count: Annotated[int, Field(ge=1)]
    """Longest prompt, in tokens."""
    max_output_token_count: Annotated[int, Field(ge=1)]
    state_size: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _ends_are_known(self) -> Self:
        if self.text.bos_id is None or self.text.eos_id is None:
            raise ValueError("generation needs text.bos_id and text.eos_id")
        return self


class Translation(_Strict):
    """Encoder-decoder. Graphs: encoder, decoder_step.

    Sums over time are exact only on padded time: both graphs are fed with time padded to a multiple of
    `time_multiple`.
    """

    task: Literal["translation"]
    source: TextSpec
    target: TextSpec
    max_token_count: Annotated[int, Field(ge=1)]
    """Longest source, in tokens, its end-of-sequence token included."""
    max_output_token_count: Annotated[int, Field(ge=1)]
    state_size: Annotated[int, Field(ge=1)]
    key_size: Annotated[int, Field(ge=1)] | None
    """Width of the projected keys; null without attention, and then keys and values are absent."""
    value_size: Annotated[int, Field(ge=1)] | None
    time_multiple: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _attention_is_whole(self) -> Self:
        if (self.key_size is None) != (self.value_size is None):
            raise ValueError("key_size and value_size are given together or not at all")
        if self.target.bos_id is None or self.target.eos_id is None or self.source.eos_id is None:
            raise ValueError("translation needs source.eos_id, target.bos_id and target.eos_id")
        return self


TaskSpec = Annotated[Classification | Labelling | Generation | Translation, Field(discriminator="task")]

GRAPH_ROLES: dict[str, tuple[GraphRole, ...]] = {
    "classification": ("classifier",),
    "labelling": ("labeller",),
    "generation": ("prefill", "step"),
    "translation": ("encoder", "decoder_step"),
}
"""The graphs of each task. A variant must bring all of them and no other, but for OPTIONAL_ROLES."""

OPTIONAL_ROLES: frozenset[GraphRole] = frozenset({"prefill"})
"""A language model without one reads prompts token by token, with its step."""


def text_specs(spec: TaskSpec) -> tuple[TextSpec, ...]:
    """The texts that a task reads and writes: (source, target) of a translator, none of a labeller of features."""
    match spec:
        case Translation():
            return spec.source, spec.target
        case Labelling():
            return (spec.input.text,) if isinstance(spec.input, WordInput) else ()
        case _:
            return (spec.text,)


class Manifest(_Strict):
    """Everything `manifest.json` says."""

    format: int
    name: ModelName
    version: Annotated[int, Field(ge=1)]
    created_time: UtcTime
    """RFC 3339, UTC."""
    producer: Producer
    architecture: Architecture
    spec: TaskSpec
    default_precision: Precision
    variants: Annotated[dict[Precision, Variant], Field(min_length=1)]
    files: dict[FileName, FileEntry]

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.default_precision not in self.variants:
            raise ValueError(f"default_precision {self.default_precision} has no variant")
        for precision, variant in self.variants.items():
            expected = set(GRAPH_ROLES[self.spec.task])
            if set(variant.graphs) | (expected & OPTIONAL_ROLES) != expected:
                found = sorted(variant.graphs)
                raise ValueError(f"variants.{precision}.graphs must be {sorted(expected)}, not {found}")
        missing = self.referenced_files() - self.files.keys()
        if missing:
            raise ValueError(f"files lacks {sorted(missing)}")
        return self

    def referenced_files(self) -> set[str]:
        """Names of the files that other parts of the manifest point to."""
        names = {text.tokenizer for text in text_specs(self.spec)}
        for variant in self.variants.values():
            names |= {graph.file for graph in variant.graphs.values()} | {variant.golden.file}
        return names


def parse_manifest(raw: bytes) -> Manifest:
    """Parse and check the bytes of a `manifest.json`.

    Raises:
        BundleError: not JSON, a duplicate or unknown key, a wrong type or value, or a format this code does not know.
    """
    if len(raw) > MAX_MANIFEST_BYTES:
        raise BundleError(f"{MANIFEST_NAME} has {len(raw)} bytes, at most {MAX_MANIFEST_BYTES} are allowed")
    try:
        document = json.loads(raw, object_pairs_hook=_no_duplicates, parse_constant=_no_constants)
        json.dumps(document, ensure_ascii=False).encode()  # fails on half a surrogate pair, which no wire can carry
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{MANIFEST_NAME} is not valid JSON: {error}") from error
    _check_format(document)
    try:
        return Manifest.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "top level"
        raise BundleError(f"{MANIFEST_NAME}: {where}: {first['msg']}") from error


def _check_format(document: object) -> None:
    if not isinstance(document, dict):
        raise BundleError(f"{MANIFEST_NAME} must hold a JSON object")
    found = document.get("format")
    if found != FORMAT or isinstance(found, bool):
        raise BundleError(f"{MANIFEST_NAME}: format is {found!r}, this server reads format {FORMAT}", format=found)


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    document = dict(pairs)
    if len(document) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"duplicate key {next(name for name in names if names.count(name) > 1)!r}")
    return document


def _no_constants(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
