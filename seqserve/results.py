"""What the client returns: plain frozen values.   Knows no protobuf and no gRPC.

Names are those of proto/seqserve/v1; times are seconds.
"""

from dataclasses import dataclass
from enum import Enum


class FinishReason(Enum):
    """Why a sequence ended. OTHER is a reason that this client is too old to know."""

    STOP = "stop"
    LENGTH = "length"
    DEADLINE = "deadline"
    OTHER = "other"


class ModelState(Enum):
    """What the server does with a version of a model. OTHER is a state that this client is too old to know."""

    LOADING = "loading"
    ACTIVE = "active"
    FAILED = "failed"
    OTHER = "other"


class Task(Enum):
    """What a model does. OTHER is a task that is unknown, to the server or to this client."""

    CLASSIFICATION = "classification"
    LABELLING = "labelling"
    GENERATION = "generation"
    TRANSLATION = "translation"
    OTHER = "other"


class LabelScheme(Enum):
    """How a labeller's labels are to be read: each by itself, or `B-`, `I-` and `O` as spans. OTHER is unknown."""

    PLAIN = "plain"
    BIO = "bio"
    OTHER = "other"


@dataclass(frozen=True)
class ModelVersion:
    """A model and the version of it that answered. As text it is `name@version`, which requests take as `model`."""

    name: str
    version: int

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass(frozen=True)
class Timings:
    """Where a request's time went in the server; for several inputs, the longest of them."""

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
    """Labels of one text, best first. `truncated`: they are of a part of it, as `truncation` allowed."""

    labels: tuple[LabelScore, ...]
    token_count: int
    truncated: bool = False

    @property
    def best(self) -> LabelScore:
        """The most probable label."""
        return self.labels[0]


@dataclass(frozen=True)
class ClassifyResult:
    """Answer to `classify`: one classification per text, in the order of the texts."""

    model_version: ModelVersion
    classifications: tuple[Classification, ...]
    timings: Timings


@dataclass(frozen=True)
class LabelledStep:
    """Labels of one word or row, best first. `word` is empty for a row of readings."""

    labels: tuple[LabelScore, ...]
    word: str

    @property
    def best(self) -> LabelScore:
        """The most probable label."""
        return self.labels[0]


@dataclass(frozen=True)
class LabelSpan:
    """Steps `first_step_index` to `last_step_index`, both included, that name one thing, such as a person.

    `score` is the mean probability of their labels.
    """

    label: str
    first_step_index: int
    last_step_index: int
    score: float


@dataclass(frozen=True)
class LabelledSequence:
    """Labels of one sequence, and the spans that the best ones mark; a model of plain labels has none.

    `token_count` counts tokens, of which a word may have several; or rows. `state_token` is where the model stands
    after the last step, where that was asked for. `truncated`: steps are those of a part of the sequence, as
    `truncation` allowed.
    """

    steps: tuple[LabelledStep, ...]
    spans: tuple[LabelSpan, ...]
    token_count: int
    state_token: bytes | None = None
    truncated: bool = False


@dataclass(frozen=True)
class LabelResult:
    """Answer to `label`: one labelled sequence per sequence, in their order."""

    model_version: ModelVersion
    sequences: tuple[LabelledSequence, ...]
    timings: Timings


@dataclass(frozen=True)
class TokenScore:
    """A token as text, and the natural logarithm of the model's probability of it after those before it.

    `alternatives` are the most probable tokens in its place, best first, where they were asked for.
    """

    token: str
    log_probability: float
    alternatives: tuple["TokenScore", ...] = ()


@dataclass(frozen=True)
class GeneratedChunk:
    """One message of a generation; its text is to be appended to what came before of the same sample.

    `model_version`, `seed` and `prompt_token_count` are set in the first chunk, `finish_reason` in the last one of each
    sample, `timings` in the last of all, and only there. `state_token`, where it was asked for and is due, is where the
    sample stands after this chunk; `held_back_text` is what was held back there, and comes again with what goes on.
    """

    text: str
    first_token_index: int
    token_count: int
    model_version: ModelVersion | None = None
    seed: int | None = None
    finish_reason: FinishReason | None = None
    timings: Timings | None = None
    sample_index: int = 0
    token_scores: tuple[TokenScore, ...] = ()
    prompt_token_count: int | None = None
    state_token: bytes | None = None
    held_back_text: str = ""


@dataclass(frozen=True)
class GeneratedText:
    """A whole text that was generated. `seed` produces it again. `token_scores` are set where they were asked for.

    `state_token` is set where it was asked for and the text can go on; `text` then ends before `held_back_text`, which
    comes again with what goes on.
    """

    text: str
    token_count: int
    finish_reason: FinishReason
    model_version: ModelVersion
    seed: int
    timings: Timings
    token_scores: tuple[TokenScore, ...] = ()
    prompt_token_count: int = 0
    state_token: bytes | None = None
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

    `score` is what hypotheses are compared by; it is set where there are several, or token scores were asked for.
    `token_scores` end with the end-of-sequence token if that was produced. `attention` is set when it was asked for.
    """

    text: str
    token_count: int
    finish_reason: FinishReason
    score: float | None = None
    token_scores: tuple[TokenScore, ...] = ()
    attention: Attention | None = None


@dataclass(frozen=True)
class Translation(Hypothesis):
    """Translation of one text: the best hypothesis, and others, best first; of samples, the first and the others.

    `truncated`: it is of a part of the text, as `truncation` allowed.
    """

    source_token_count: int = 0
    alternatives: tuple[Hypothesis, ...] = ()
    truncated: bool = False


@dataclass(frozen=True)
class TranslateResult:
    """Answer to `translate`: one translation per text, in the order of the texts. `seed` is set if it was sampled."""

    model_version: ModelVersion
    translations: tuple[Translation, ...]
    timings: Timings
    seed: int | None = None


@dataclass(frozen=True)
class TranslationScore:
    """What a model thinks of a translation. `log_probability` is the sum of the token scores, the end token's last."""

    log_probability: float
    token_scores: tuple[TokenScore, ...]
    source_token_count: int


@dataclass(frozen=True)
class ScoreResult:
    """Answer to `score_translation`: one score per pair, in the order of the pairs."""

    model_version: ModelVersion
    scores: tuple[TranslationScore, ...]
    timings: Timings


@dataclass(frozen=True)
class Feature:
    """A reading that a labeller takes in every row.

    `imputed_value` stands for it where it is missing or NaN; None means that such a row is refused.
    """

    name: str
    unit: str
    imputed_value: float | None


@dataclass(frozen=True)
class Model:
    """One version of a model, as the server knows it. `failure` tells why loading failed, else it is empty.

    `carries_state` tells whether state tokens can be asked for, `numerics_class` where they go on bit for bit, and
    `exact` whether a trial at load had the same answers, bit for bit, alone and in a crowd.
    """

    name: str
    version: int
    state: ModelState
    failure: str
    task: Task
    digest: str
    precision: str
    provider: str
    labels: tuple[str, ...]
    max_token_count: int
    max_output_token_count: int
    source_language: str
    target_language: str
    has_attention: bool
    load_seconds: float
    features: tuple[Feature, ...]
    label_scheme: LabelScheme
    carries_state: bool = False
    numerics_class: str = ""
    exact: bool = False
