"""Every series the service shows on /metrics, on an injected registry.   Knows no gRPC, no model and no queue.

Labels come from closed sets: models that were added, methods that were added, reasons and codes from tables.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

from service.errors import (
    AttentionNotAvailableError,
    DeadlineExceededError,
    EngineLostError,
    InvalidArgumentError,
    ModelNotFoundError,
    ModelNotReadyError,
    QueueFullError,
    SequenceTooLongError,
    StateKeysMissingError,
    StateNotCarriedError,
    StateTokenExpiredError,
    StateTokenInvalidError,
    StateTokenKeyError,
    StateTokenModelError,
    StateTokenNumericsError,
    StateTokenVersionError,
    TextTooLongError,
    UndecodableMessageError,
    WrongInputError,
    WrongTaskError,
)

UNKNOWN = "_unknown"
WORKER_LABEL = "worker"
"""Tells the series of one worker from another's, where there are several."""

REJECTION_REASONS = tuple(
    error.reason
    for error in (
        AttentionNotAvailableError,
        DeadlineExceededError,
        EngineLostError,
        InvalidArgumentError,
        ModelNotFoundError,
        ModelNotReadyError,
        QueueFullError,
        SequenceTooLongError,
        StateKeysMissingError,
        StateNotCarriedError,
        StateTokenExpiredError,
        StateTokenInvalidError,
        StateTokenKeyError,
        StateTokenModelError,
        StateTokenNumericsError,
        StateTokenVersionError,
        TextTooLongError,
        UndecodableMessageError,
        WrongInputError,
        WrongTaskError,
    )
)

STEPPING_GRAPHS = frozenset({"step", "decoder_step"})
LEARNING_GRAPHS = frozenset({"classifier", "labeller", "prefill"})
"""Those of which it matters how many rows are enough for a run."""
"""Graphs that only models which produce tokens have."""

# One step of a small model takes 0.1 ms, the longest request 60 s.
WAIT_BUCKETS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
RUN_BUCKETS = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
CALL_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
LOAD_BUCKETS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120)
ROW_BUCKETS = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 128, 256, 512)
RATIO_BUCKETS = (0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1)

METHOD_LABELS = ("grpc_type", "grpc_service", "grpc_method")


@dataclass(frozen=True)
class MethodSeries:
    """The series of one gRPC method. `handled` has one counter per status code, in Go's spelling (`NotFound`)."""

    started: Counter
    handled: Mapping[str, Counter]
    handling_seconds: Histogram
    received: Counter
    sent: Counter


class ModelSeries:
    """The series of one model that requests add to. Those of tokens exist once one was produced, or was to be."""

    def __init__(self, metrics: "Metrics", model: str) -> None:
        self._metrics = metrics
        self._model = model
        self.queue_seconds = metrics.queue_seconds.labels(model)
        self.texts_in_flight = metrics.texts_in_flight.labels(model)
        self.queue_capacity = metrics.queue_capacity.labels(model)

    @cached_property
    def generated_tokens(self) -> Counter:
        """Tokens produced."""
        return self._metrics.generated_tokens.labels(self._model)

    @cached_property
    def time_to_first_token_seconds(self) -> Histogram:
        """Time from a request's arrival to its first token."""
        return self._metrics.time_to_first_token_seconds.labels(self._model)


@dataclass(frozen=True)
class GraphSeries:
    """The series of one graph of a model."""

    batch_size: Histogram
    padding_ratio: Histogram
    inference_seconds: Histogram


class Metrics:
    """All series of the service.

    Args:
        registry: where they are registered; a test gives each instance a fresh one.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the page and no dashboard reads them
        self.registry = registry
        self._models: set[str] = set()
        self._of_model: dict[str, ModelSeries] = {}
        self._of_graph: dict[tuple[str, str], GraphSeries] = {}
        self._create_method_series(registry)
        self._create_inference_series(registry)
        self._create_model_series(registry)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self.add_model(UNKNOWN)

    def add_method(self, grpc_type: str, service: str, method: str, codes: Iterable[str]) -> MethodSeries:
        """Create the series of one method at 0, so that the first error is a rate.

        Args:
            grpc_type: `unary`, `client_stream`, `server_stream` or `bidi_stream`.
            service: full name of the service.
            method: name of the method.
            codes: every status code, in Go's spelling.
        """
        labels = (grpc_type, service, method)
        return MethodSeries(
            started=self.grpc_started.labels(*labels),
            handled={code: self.grpc_handled.labels(*labels, code) for code in codes},
            handling_seconds=self.grpc_handling_seconds.labels(*labels),
            received=self.grpc_received.labels(*labels),
            sent=self.grpc_sent.labels(*labels),
        )

    def add_model(self, model: str, graphs: Sequence[str] = ()) -> None:
        """Create the series of a model (and of its graphs) at 0. May be repeated."""
        self._models.add(model)
        if STEPPING_GRAPHS.intersection(graphs):
            self.generated_tokens.labels(model)
            self.time_to_first_token_seconds.labels(model)
        self.queue_seconds.labels(model)
        self.texts_in_flight.labels(model)
        self.model_load_seconds.labels(model)
        self.model_load_failures.labels(model)
        for reason in REJECTION_REASONS:
            self.requests_rejected.labels(model, reason)
        for graph in graphs:
            for of_graph in (self.batch_size, self.padding_ratio, self.inference_seconds):
                of_graph.labels(model, graph)

    def of_model(self, model: str) -> ModelSeries:
        """The series of a model, which are looked up once: a look by labels costs more than what it is for."""
        if model not in self._of_model:
            self._of_model[model] = ModelSeries(self, model)
        return self._of_model[model]

    def of_graph(self, model: str, graph: str) -> GraphSeries:
        """The series of a graph, which are looked up once."""
        key = model, graph
        if key not in self._of_graph:
            histograms = (self.batch_size, self.padding_ratio, self.inference_seconds)
            self._of_graph[key] = GraphSeries(*(of_graph.labels(*key) for of_graph in histograms))
        return self._of_graph[key]

    def model_label(self, reference: str) -> str:
        """The label for a model as a caller spelled it (`name` or `name@version`): its name, or `_unknown`.

        A client that makes names up must not make series.
        """
        name = reference.partition("@")[0]
        return name if name in self._models else UNKNOWN

    def _create_method_series(self, registry: CollectorRegistry) -> None:
        self.grpc_started = Counter(
            "grpc_server_started_total", "Calls that reached a handler.", METHOD_LABELS, registry=registry
        )
        self.grpc_handled = Counter(
            "grpc_server_handled_total",
            "Calls that ended, by status code.",
            (*METHOD_LABELS, "grpc_code"),
            registry=registry,
        )
        self.grpc_handling_seconds = Histogram(
            "grpc_server_handling_seconds",
            "Time from a handler's start to its end.",
            METHOD_LABELS,
            buckets=CALL_BUCKETS,
            registry=registry,
        )
        self.grpc_received = Counter(
            "grpc_server_msg_received_total", "Messages received from clients.", METHOD_LABELS, registry=registry
        )
        self.grpc_sent = Counter(
            "grpc_server_msg_sent_total", "Messages sent to clients.", METHOD_LABELS, registry=registry
        )

    def _create_inference_series(self, registry: CollectorRegistry) -> None:
        by_model, by_graph = ("model",), ("model", "graph")
        self.queue_seconds = Histogram(
            "seqserve_queue_seconds",
            "Time from a request's arrival until a batch took it in, or until it ended without that.",
            by_model,
            buckets=WAIT_BUCKETS,
            registry=registry,
        )
        self.batch_size = Histogram(
            "seqserve_batch_size", "Rows in one run of a graph.", by_graph, buckets=ROW_BUCKETS, registry=registry
        )
        self.padding_ratio = Histogram(
            "seqserve_padding_ratio",
            "Share of a batch's positions that was padding, 0 to 1.",
            by_graph,
            buckets=RATIO_BUCKETS,
            registry=registry,
        )
        self.inference_seconds = Histogram(
            "seqserve_inference_seconds",
            "Time that one run of a graph took.",
            by_graph,
            buckets=RUN_BUCKETS,
            registry=registry,
        )
        self.batch_size_limit = Gauge(
            "seqserve_batch_size_limit",
            "Rows enough for a run, learned or set: classifiers and labellers read no more, prompts are cut for it.",
            ("model", "graph", "provider"),
            registry=registry,
        )
        self.generated_tokens = Counter(
            "seqserve_generated_tokens_total",
            "Tokens produced by generation and translation.",
            by_model,
            registry=registry,
        )
        self.time_to_first_token_seconds = Histogram(
            "seqserve_time_to_first_token_seconds",
            "Time from a request's arrival to its first token.",
            by_model,
            buckets=WAIT_BUCKETS,
            registry=registry,
        )
        self.engine_restarts = Counter(
            "seqserve_engine_restarts_total", "Engines that were started again after they died.", registry=registry
        )

    def _create_model_series(self, registry: CollectorRegistry) -> None:
        by_model = ("model",)
        self.requests_rejected = Counter(
            "seqserve_requests_rejected_total",
            "Requests refused, or given up as the deadline passed or the engine died, by reason (docs/errors.md).",
            ("model", "reason"),
            registry=registry,
        )
        self.texts_in_flight = Gauge(
            "seqserve_texts_in_flight",
            "Texts that wait or run; a request brings one (generation) or many.",
            by_model,
            registry=registry,
        )
        self.queue_capacity = Gauge(
            "seqserve_queue_capacity",
            "Texts that may wait or run per version; more are refused.",
            by_model,
            registry=registry,
        )
        self.model_info = Gauge(
            "seqserve_model_info",
            "Always 1: a version that is loaded; the labels describe it.",
            ("model", "version", "digest", "precision", "provider"),
            registry=registry,
        )
        self.model_load_seconds = Histogram(
            "seqserve_model_load_seconds",
            "Time that a load took: check, open, prove.",
            by_model,
            buckets=LOAD_BUCKETS,
            registry=registry,
        )
        self.model_load_failures = Counter(
            "seqserve_model_load_failures_total", "Bundles that could not be loaded.", by_model, registry=registry
        )


class SupervisorMetrics:
    """What a supervisor knows of its workers.

    Args:
        registry: where the series are registered, beside those that the workers tell of.
        worker_count: how many workers there are.
    """

    def __init__(self, registry: CollectorRegistry, worker_count: int) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        by_worker = (WORKER_LABEL,)
        self.worker_ready = Gauge(
            "seqserve_worker_ready", "1 while a worker takes requests, else 0.", by_worker, registry=registry
        )
        self.worker_restarts = Counter(
            "seqserve_worker_restarts_total",
            "Times that a worker was lost and started again.",
            by_worker,
            registry=registry,
        )
        for number in range(worker_count):
            self.worker_ready.labels(str(number))
            self.worker_restarts.labels(str(number))
