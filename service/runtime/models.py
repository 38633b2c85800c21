"""A bundle brought to life: graphs opened, golden runs replayed, then named by what they do.   Knows no queue.

Arrays are numpy, float32 and int64. Every method runs one graph once, over the rows it is given; nothing is batched,
padded or sampled here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from service.bundle.graphs import check_graph
from service.bundle.manifest import (
    Classification,
    Generation,
    GraphRole,
    Labelling,
    Manifest,
    Precision,
    Translation,
    Variant,
    text_specs,
)
from service.bundle.signatures import embedded_vocabulary_size
from service.bundle.store import OpenedBundle
from service.errors import BundleError, SettingsError
from service.runtime.golden import Array, Deviation, read_golden, replay_golden
from service.runtime.session import GraphSession, check_provider, open_session
from service.text.tokenizer import Tokenizer


class EncodedSource(NamedTuple):
    """What the encoder hands to the decoder.

    Args:
        keys: [rows, time, key_size], or None without attention.
        values: [rows, time, value_size], or None without attention.
        state: [rows, state_size], the decoder's first state.
    """

    keys: Array | None
    values: Array | None
    state: Array


@dataclass(frozen=True)
class _Model:
    manifest: Manifest
    digest: str
    precision: str
    provider: str
    sessions: Mapping[GraphRole, GraphSession]
    proof: Deviation
    """Where the replay of the golden runs was furthest from the recording."""


@dataclass(frozen=True)
class ClassifierModel(_Model):
    """Many to one."""

    spec: Classification

    def classify(self, token_ids: Array, lengths: Array) -> Array:
        """Logits [rows, labels] of `token_ids` [rows, time], of which the first `lengths` [rows] are real."""
        return self.sessions["classifier"](token_ids, lengths, *_start(self.spec, len(token_ids)))[0]

    def classify_from(self, token_ids: Array, lengths: Array, state: Array) -> tuple[Array, Array]:
        """As `classify`, from a state [rows, state_size] on: (logits, the state after each row's last real token).

        For a model that carries a state: of one direction, and not pooled over time.
        """
        logits, after = self.sessions["classifier"](token_ids, lengths, state)
        return logits, after


@dataclass(frozen=True)
class LabellerModel(_Model):
    """Many to many, aligned."""

    spec: Labelling

    def label(self, steps: Array, lengths: Array) -> Array:
        """Logits [rows, time, labels] of `steps`, of which the first `lengths` [rows] are real.

        Args:
            steps: as `spec.input` says: token ids [rows, time], int64, or features [rows, time, features], float32.
            lengths: [rows], int64.
        """
        return self.sessions["labeller"](steps, lengths, *_start(self.spec, len(steps)))[0]

    def label_from(self, steps: Array, lengths: Array, state: Array) -> tuple[Array, Array]:
        """As `label`, from a state [rows, state_size] on: (logits, the state after each row's last real step).

        For a model of one direction; one of both has no state.
        """
        logits, after = self.sessions["labeller"](steps, lengths, state)
        return logits, after


def _start(spec: Classification | Labelling, rows: int) -> tuple[Array, ...]:
    """The state that a model of one direction begins with, [rows, state_size]; nothing for both directions."""
    return () if spec.state_size is None else (np.zeros((rows, spec.state_size), dtype=np.float32),)


@dataclass(frozen=True)
class LanguageModel(_Model):
    """One to many. A state of zeros is the start."""

    spec: Generation

    @property
    def pad_id(self) -> int:
        """Fills the positions past a prompt's end."""
        return self.spec.text.pad_id

    @property
    def bos_id(self) -> int:
        """Begins every prompt."""
        return _known(self.spec.text.bos_id)

    @property
    def eos_id(self) -> int:
        """Ends a text."""
        return _known(self.spec.text.eos_id)

    @property
    def state_size(self) -> int:
        """Width of the carried state."""
        return self.spec.state_size

    @property
    def reads_by_step(self) -> bool:
        """Whether prompts are read by `step`: there is no `prefill`."""
        return "prefill" not in self.sessions

    def prefill(self, token_ids: Array, lengths: Array, state: Array) -> tuple[Array, Array]:
        """Read `token_ids` [rows, time]: (logits [rows, vocabulary] after the last real one, state)."""
        logits, after = self.sessions["prefill"](token_ids, lengths, state)
        return logits, after

    def step(self, token_ids: Array, state: Array) -> tuple[Array, Array]:
        """Read one token per row, `token_ids` [rows]: (logits [rows, vocabulary], state)."""
        logits, after = self.sessions["step"](token_ids, state)
        return logits, after


@dataclass(frozen=True)
class TranslationModel(_Model):
    """Encoder and decoder. The caller pads time to a multiple of `spec.time_multiple`."""

    spec: Translation

    @property
    def source_pad_id(self) -> int:
        """Fills the positions past a source's end."""
        return self.spec.source.pad_id

    @property
    def source_eos_id(self) -> int:
        """Ends every source."""
        return _known(self.spec.source.eos_id)

    @property
    def target_pad_id(self) -> int:
        """Pads targets in training."""
        return self.spec.target.pad_id

    @property
    def bos_id(self) -> int:
        """The decoder's first input."""
        return _known(self.spec.target.bos_id)

    @property
    def eos_id(self) -> int:
        """Ends a translation."""
        return _known(self.spec.target.eos_id)

    @property
    def time_multiple(self) -> int:
        """Sources are padded to a multiple of this."""
        return self.spec.time_multiple

    @property
    def state_size(self) -> int:
        """Width of the carried state."""
        return self.spec.state_size

    @property
    def has_attention(self) -> bool:
        """Whether keys, values and attention exist; they are None otherwise."""
        return self.spec.key_size is not None

    def encode(self, token_ids: Array, lengths: Array) -> EncodedSource:
        """Read the sources, `token_ids` [rows, time]."""
        *memory, state = self.sessions["encoder"](token_ids, lengths)
        keys, values = memory if self.has_attention else (None, None)
        return EncodedSource(keys, values, state)

    def step(
        self, token_ids: Array, state: Array, keys: Array | None, values: Array | None, lengths: Array
    ) -> tuple[Array, Array, Array | None]:
        """Write one token per row, `token_ids` [rows]: (logits [rows, vocabulary], state, attention [rows, time])."""
        run = self.sessions["decoder_step"]
        if keys is None or values is None:
            logits, after = run(token_ids, state)
            return logits, after, None
        logits, after, attention = run(token_ids, state, keys, values, lengths)
        return logits, after, attention


LoadedModel = ClassifierModel | LabellerModel | LanguageModel | TranslationModel


def is_for(precision: str, provider: str) -> bool:
    """Whether a variant of this precision is meant to be served on `provider`: fp16 on cuda alone."""
    return precision != "fp16" or provider == "cuda"


def load_model(
    bundle: OpenedBundle, *, precision: str | None = None, provider: str = "cpu", emulate_fp16: bool = False
) -> LoadedModel:
    """Check the graphs of one precision, open them on `provider` and replay their golden runs.

    Args:
        bundle: what `open_bundle` returned.
        precision: a variant of the bundle; None takes its default.
        provider: one of `service.runtime.session.PROVIDERS`.
        emulate_fp16: run fp16 on a CPU too, which computes it in float32 with conversions in between: to measure it,
            not to serve it.

    Raises:
        BundleError: a graph, a tokenizer or the proof breaks a rule of FORMAT.md; names file and rule.
        SettingsError: the precision or the provider cannot be had.
    """
    manifest = bundle.manifest
    check_provider(provider)
    chosen, variant = _variant(manifest, precision)
    if not (is_for(chosen, provider) or emulate_fp16):
        raise SettingsError(f"{manifest.name}: {chosen} is proven on provider cuda alone, not on {provider}")
    _check_tokenizers(bundle)
    sessions = _open_sessions(bundle, chosen, provider)
    golden = variant.golden
    cases = read_golden(bundle.files[golden.file], variant.graphs, where=golden.file)
    proof = replay_golden(cases, sessions, golden)
    parts = (manifest, bundle.digest, chosen, provider, sessions, proof)
    match manifest.spec:
        case Classification() as spec:
            return ClassifierModel(*parts, spec)
        case Labelling() as spec:
            return LabellerModel(*parts, spec)
        case Generation() as spec:
            return LanguageModel(*parts, spec)
        case Translation() as spec:
            return TranslationModel(*parts, spec)


def _variant(manifest: Manifest, precision: str | None) -> tuple[Precision, Variant]:
    wanted = precision or manifest.default_precision
    for name, variant in manifest.variants.items():
        if name == wanted:
            return name, variant
    raise SettingsError(f"{manifest.name} has no precision {wanted!r}, only {', '.join(manifest.variants)}")


def _open_sessions(bundle: OpenedBundle, precision: Precision, provider: str) -> Mapping[GraphRole, GraphSession]:
    sessions: dict[GraphRole, GraphSession] = {}
    for role, graph in bundle.manifest.variants[precision].graphs.items():
        raw = bundle.files[graph.file]
        size = embedded_vocabulary_size(bundle.manifest.spec, role)
        check_graph(raw, graph, where=graph.file, vocabulary_size=size)
        sessions[role] = open_session(raw, graph, where=graph.file, provider=provider, float16=precision == "fp16")
    return sessions


def _check_tokenizers(bundle: OpenedBundle) -> None:
    for text in text_specs(bundle.manifest.spec):
        try:
            tokenizer = Tokenizer.from_bytes(bundle.files[text.tokenizer])
            tokenizer.prove()
        except BundleError as error:
            raise BundleError(f"{text.tokenizer}: {error.message}", file=text.tokenizer) from error
        found = tokenizer.vocabulary_size
        if found != text.vocabulary_size:
            raise BundleError(
                f"{text.tokenizer}: the vocabulary has {found} tokens, the manifest says {text.vocabulary_size}",
                file=text.tokenizer,
            )


def _known(token_id: int | None) -> int:
    """Narrow an id that the manifest's own check has already required of this task."""
    if token_id is None:
        raise BundleError("the manifest lacks a special id that its task needs")
    return token_id
