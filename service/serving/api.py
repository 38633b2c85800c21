"""What the transport may ask of the serving layer, as plain values.   Knows no gRPC, no tensors, no queues."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal, Protocol

from service.serving.options import GenerateOptions, TranslateOptions
from service.serving.sequences import InputSequence, SequenceLogits, TextPair
from service.serving.statistics import ModelStatistics
from service.serving.truncation import Truncation
from service.state.requests import STATELESS, SequenceStates

ModelState = Literal["loading", "active", "failed"]
ModelTask = Literal["classification", "labelling", "generation", "translation"]
LabelScheme = Literal["plain", "bio"]


class FinishReason(Enum):
    """Why a sequence ended."""

    STOP = "stop"
    LENGTH = "length"
    DEADLINE = "deadline"


@dataclass(frozen=True)
class FeatureInfo:
    """A reading that a labeller takes. `imputed_value` stands where it is missing or NaN; None: that is refused."""

    name: str
    unit: str
    imputed_value: float | None


@dataclass(frozen=True)
class ModelInfo:
    """One version of a model, as ListModels and GetModel show it. Unknown facts are None or empty."""

    name: str
    version: int
    state: ModelState
    failure: str = ""
    task: ModelTask | None = None
    digest: str = ""
    precision: str = ""
    provider: str = ""
    labels: tuple[str, ...] = ()
    max_token_count: int = 0
    max_output_token_count: int = 0
    source_language: str = ""
    target_language: str = ""
    has_attention: bool = False
    load_seconds: float = 0.0
    features: tuple[FeatureInfo, ...] = ()
    label_scheme: LabelScheme | None = None
    carries_state: bool = False
    numerics_class: str = ""
    exact: bool = False


@dataclass(frozen=True)
class Timings:
    """Where a request's time went, in seconds."""

    queue_seconds: float
    compute_seconds: float
    total_seconds: float


@dataclass(frozen=True)
class LabelScore:
    """A label and its probability, 0 to 1."""

    label: str
    probability: float


@dataclass(frozen=True)
class Classification:
    """Labels of one text, best first."""

    labels: tuple[LabelScore, ...]
    token_count: int
    truncated: bool = False


@dataclass(frozen=True)
class ClassifyResult:
    """Answer to `InferenceFront.classify`, in the order of the texts."""

    model: str
    version: int
    classifications: tuple[Classification, ...]
    timings: Timings


@dataclass(frozen=True)
class LabelledStep:
    """Labels of one word or row, best first. `word` is empty for a row."""

    labels: tuple[LabelScore, ...]
    word: str


@dataclass(frozen=True)
class LabelSpan:
    """Steps `first_step_index` to `last_step_index`, both included. `score` is their labels' mean probability."""

    label: str
    first_step_index: int
    last_step_index: int
    score: float


@dataclass(frozen=True)
class LabelledSequence:
    """Labels of one sequence. `token_count` counts rows where rows were given.

    `state_token` is where the model stands after its last step, where that was asked for.
    """

    steps: tuple[LabelledStep, ...]
    spans: tuple[LabelSpan, ...]
    token_count: int
    state_token: bytes = b""
    truncated: bool = False


@dataclass(frozen=True)
class LabelResult:
    """Answer to `InferenceFront.label`, in the order of the sequences."""

    model: str
    version: int
    sequences: tuple[LabelledSequence, ...]
    timings: Timings


@dataclass(frozen=True)
class LogitsResult:
    """Answer to `InferenceFront.logits`, in the order of the sequences."""

    model: str
    version: int
    sequences: tuple[SequenceLogits, ...]
    timings: Timings


@dataclass(frozen=True)
class TokenScore:
    """A token as text, and its log-probability (natural) after the tokens before it.

    `alternatives` are the most probable tokens in its place, best first, where they were asked for.
    """

    token: str
    log_probability: float
    alternatives: tuple["TokenScore", ...] = ()


@dataclass(frozen=True)
class GeneratedChunk:
    """One message of a generation.

    `finish_reason` is set in the last one of each sample, `timings` in the last of all, `prompt_token_count` and `seed`
    in the first of all. `token_scores` end with the end-of-sequence token if that was written. Where there is a
    `state_token`, it says where the sample stands after these tokens; `held_back_text` is what is certain by then, and
    yet not told because it may change.
    """

    model: str
    version: int
    text: str
    first_token_index: int
    token_count: int
    finish_reason: FinishReason | None = None
    timings: Timings | None = None
    sample_index: int = 0
    token_scores: tuple[TokenScore, ...] = ()
    prompt_token_count: int | None = None
    seed: int | None = None
    state_token: bytes = b""
    held_back_text: str = ""


@dataclass(frozen=True)
class Attention:
    """Where the decoder looked: `weights` has a row per target token and a column per source token."""

    source_tokens: tuple[str, ...]
    target_tokens: tuple[str, ...]
    weights: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Hypothesis:
    """A translation that was found.

    `score` is set where hypotheses are compared or token scores are asked for; `token_scores` ends with the
    end-of-sequence token if that was written.
    """

    text: str
    token_count: int
    finish_reason: FinishReason
    score: float | None = None
    token_scores: tuple[TokenScore, ...] = ()
    attention: Attention | None = None


@dataclass(frozen=True)
class Translation:
    """Translations of one text, best first; one at least."""

    source_token_count: int
    hypotheses: tuple[Hypothesis, ...]
    truncated: bool = False


@dataclass(frozen=True)
class TranslateResult:
    """Answer to `InferenceFront.translate`, in the order of the texts. `seed` is set where tokens were sampled."""

    model: str
    version: int
    translations: tuple[Translation, ...]
    timings: Timings
    seed: int | None = None


@dataclass(frozen=True)
class TranslationScore:
    """What a model thinks of a translation: the log-probability of each token, the end-of-sequence token last."""

    source_token_count: int
    token_scores: tuple[TokenScore, ...]


@dataclass(frozen=True)
class ScoreResult:
    """Answer to `InferenceFront.score`, in the order of the pairs."""

    model: str
    version: int
    scores: tuple[TranslationScore, ...]
    timings: Timings


class InferenceFront(Protocol):
    """The serving layer as the transport sees it.

    `model` is `name` (newest ready version) or `name@version`. `deadline` is a `time.monotonic()` value: work that is
    not done by then is dropped and DeadlineExceededError raised. Cancelling the awaiting task (or closing the
    iterator) frees the request's place within one step. Every method raises ServiceError classes and nothing else on
    purpose; errors about an input name its field (`texts[3]`, `prompt`, `sequences[2].rows[5].humidity`).
    """

    def list_models(self) -> Sequence[ModelInfo]:
        """Every known version, by name, then by version."""
        ...

    def get_model(self, model: str) -> ModelInfo:
        """One version: the newest ready one, else the newest, or the one named by `name@version`."""
        ...

    def statistics(self) -> Sequence[ModelStatistics]:
        """What every version that answers has done, by name, then by version."""
        ...

    async def classify(
        self, model: str, texts: Sequence[str], *, deadline: float, truncation: Truncation = Truncation.REFUSE
    ) -> ClassifyResult:
        """All labels of every text."""
        ...

    async def label(
        self, model: str, sequences: Sequence[InputSequence], *, top_label_count: int | None, deadline: float,
        states: SequenceStates = STATELESS, truncation: Truncation = Truncation.REFUSE,
    ) -> LabelResult:  # fmt: skip
        """The best `top_label_count` labels of every step of every sequence; None means all."""
        ...

    async def logits(self, model: str, sequences: Sequence[InputSequence], *, deadline: float) -> LogitsResult:
        """Logits and probabilities of whole sequences from a classifier, of their steps from a labeller."""
        ...

    def generate(
        self, model: str, prompt: str, options: GenerateOptions, *, deadline: float
    ) -> AsyncIterator[GeneratedChunk]:
        """Chunks as they come; several tokens share one when the reader is slow."""
        ...

    async def translate(
        self, model: str, texts: Sequence[str], options: TranslateOptions, *, deadline: float
    ) -> TranslateResult:
        """The best translations of every text."""
        ...

    async def score(self, model: str, pairs: Sequence[TextPair], *, deadline: float) -> ScoreResult:
        """What the model thinks of given translations."""
        ...
