"""What the dashboard shows: rows, panels, expressions.   Knows PromQL and our series; knows no JSON and no layout.

Expressions that divide, or take a quantile, drop the NaN of a series without traffic: Grafana would draw a gap for it
anyway, and every value that an expression returns is then a finite number.
"""

from dataclasses import dataclass

HERE = 'job=~"$job", instance=~"$instance"'
OF_MODEL = f'{HERE}, model=~"$model"'
OWN_CALLS = f'{HERE}, grpc_service!~"grpc[.].+"'  # without health checks and reflection
GRAPH = "{{model}} {{graph}}"
FRONT = "{{instance}} {{worker}}"
"""A front process; `worker` is empty where there is only one."""


@dataclass(frozen=True)
class Target:
    """One expression of a panel, and the name of each series that it returns."""

    expression: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """One panel. `unit` is Grafana's name of it; `kind` its type; `width` in columns of 24."""

    title: str
    description: str
    unit: str
    targets: tuple[Target, ...]
    kind: str = "timeseries"
    width: int = 8


@dataclass(frozen=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


def rate(counter: str, by: str, selector: str = OF_MODEL) -> str:
    """Increase per second of a counter, summed over instances, by the labels `by`."""
    return f"sum by ({by}) (rate({counter}{{{selector}}}[$__rate_interval]))"


def mean(histogram: str, by: str, selector: str = OF_MODEL) -> str:
    """Mean of what a histogram observed lately. Nothing where it observed nothing."""
    return f"{rate(histogram + '_sum', by, selector)} / ({rate(histogram + '_count', by, selector)} > 0)"


def quantile(share: float, histogram: str, by: str, selector: str = OF_MODEL) -> str:
    """Quantile of what a histogram observed lately. Nothing where it observed nothing."""
    return f"histogram_quantile({share}, {rate(histogram + '_bucket', f'le, {by}', selector)}) >= 0"


def quantiles(histogram: str, by: str, legend: str, selector: str = OF_MODEL) -> tuple[Target, ...]:
    """Median, 95th and 99th percentile."""
    return tuple(
        Target(quantile(share, histogram, by, selector), f"{legend} p{round(share * 100)}")
        for share in (0.5, 0.95, 0.99)
    )


def mean_and_p95(histogram: str) -> tuple[Target, ...]:
    """Mean and 95th percentile by model and graph."""
    return (
        Target(mean(histogram, "model, graph"), f"{GRAPH} mean"),
        Target(quantile(0.95, histogram, "model, graph"), f"{GRAPH} p95"),
    )


CALLS = Row(
    "Calls",
    (
        Panel(
            "Request rate",
            "Calls that arrived per second, by method; health checks and reflection are left out.",
            "reqps",
            (Target(rate("grpc_server_started_total", "grpc_method", OWN_CALLS), "{{grpc_method}}"),),
        ),
        Panel(
            "Answers by status code",
            "Calls that ended per second, by gRPC status code; codes that did not occur are left out.",
            "reqps",
            (Target(f"{rate('grpc_server_handled_total', 'grpc_code', OWN_CALLS)} > 0", "{{grpc_code}}"),),
        ),
        Panel(
            "Share of calls that failed by our fault",
            "Unknown, DeadlineExceeded, Internal, Unavailable and DataLoss among all calls that ended.",
            "percentunit",
            (
                Target(
                    rate(
                        "grpc_server_handled_total",
                        "grpc_method",
                        f'{OWN_CALLS}, grpc_code=~"Unknown|DeadlineExceeded|Internal|Unavailable|DataLoss"',
                    )
                    + f" / ({rate('grpc_server_handled_total', 'grpc_method', OWN_CALLS)} > 0)",
                    "{{grpc_method}}",
                ),
            ),
        ),
        Panel(
            "Time per call",
            "From a handler's start to its end; for a stream, to its last message.",
            "s",
            quantiles("grpc_server_handling_seconds", "grpc_method", "{{grpc_method}}", OWN_CALLS),
            width=12,
        ),
        Panel(
            "Messages",
            "Messages received and sent per second; a stream sends many per call.",
            "mps",
            (
                Target(rate("grpc_server_msg_received_total", "grpc_method", OWN_CALLS), "{{grpc_method}} received"),
                Target(rate("grpc_server_msg_sent_total", "grpc_method", OWN_CALLS), "{{grpc_method}} sent"),
            ),
            width=12,
        ),
    ),
)

QUEUE = Row(
    "Queue",
    (
        Panel(
            "Texts in flight",
            "Texts that wait or run now, and how many the queue of a version takes before it refuses.",
            "short",
            (
                Target(f"sum by (model) (seqserve_texts_in_flight{{{OF_MODEL}}})", "{{model}}"),
                Target(f"sum by (model) (seqserve_queue_capacity{{{OF_MODEL}}})", "{{model}} capacity"),
            ),
        ),
        Panel(
            "Time in queue",
            "From a request's arrival until a batch took it in, or it ended without that. Rises first under overload.",
            "s",
            quantiles("seqserve_queue_seconds", "model", "{{model}}"),
        ),
        Panel(
            "Refused requests",
            "Refused, expired or lost per second, by model and reason (docs/errors.md); others are left out.",
            "reqps",
            (Target(f"{rate('seqserve_requests_rejected_total', 'model, reason')} > 0", "{{model}} {{reason}}"),),
        ),
    ),
)

ENGINE = Row(
    "Engine",
    (
        Panel(
            "Rows per run",
            "How many rows one run of a graph answers: 1 means that nothing was batched.",
            "short",
            mean_and_p95("seqserve_batch_size"),
        ),
        Panel(
            "Rows enough for a run",
            "What each model learned when it was loaded, or what is set: a classifier or labeller reads no more, and "
            "prompts are cut for as many slices.",
            "short",
            (
                Target(
                    f"max by (model, graph, provider) (seqserve_batch_size_limit{{{OF_MODEL}}})",
                    "{{model}} {{graph}} {{provider}}",
                ),
            ),
        ),
        Panel(
            "Padding",
            "Share of a batch's positions that was padding, hence work for nothing.",
            "percentunit",
            mean_and_p95("seqserve_padding_ratio"),
        ),
        Panel(
            "Time per run",
            "How long one run of a graph takes.",
            "s",
            mean_and_p95("seqserve_inference_seconds"),
        ),
        Panel(
            "Runs per second",
            "Runs of each graph.",
            "ops",
            (Target(rate("seqserve_inference_seconds_count", "model, graph"), GRAPH),),
        ),
        Panel(
            "Cores busy in graphs",
            "Seconds spent in graphs per second. Near the usable cores less what the front takes there is no room "
            "left; with single texts, near the number of engines that have a core beside the front.",
            "short",
            (Target(rate("seqserve_inference_seconds_sum", "model, graph"), GRAPH),),
        ),
        Panel(
            "Engine restarts",
            "Engines that were started again after they died, since the service (or its worker) started.",
            "short",
            (Target(f"sum by (instance) (seqserve_engine_restarts_total{{{HERE}}})", "{{instance}}"),),
        ),
        Panel(
            "Workers that take requests",
            "With several workers: how many are ready. Without, there is no such series.",
            "short",
            (Target(f"sum by (instance) (seqserve_worker_ready{{{HERE}}})", "{{instance}}"),),
            width=12,
        ),
        Panel(
            "Worker restarts",
            "Workers that were started again after they died, since the service started.",
            "short",
            (Target(f"sum by (instance) (seqserve_worker_restarts_total{{{HERE}}})", "{{instance}}"),),
            width=12,
        ),
    ),
)

DECODING = Row(
    "Decoding",
    (
        Panel(
            "Tokens per second",
            "Tokens produced by generation and translation.",
            "suffix:tokens/s",
            (Target(rate("seqserve_generated_tokens_total", "model"), "{{model}}"),),
            width=12,
        ),
        Panel(
            "Time to first token",
            "From a request's arrival to its first token.",
            "s",
            quantiles("seqserve_time_to_first_token_seconds", "model", "{{model}}"),
            width=12,
        ),
    ),
)

MODELS = Row(
    "Models",
    (
        Panel(
            "Loaded versions",
            "Replicas (and workers of them) that serve each version, with what it is.",
            "short",
            (
                Target(
                    f"sum by (model, version, precision, provider, digest) (seqserve_model_info{{{OF_MODEL}}})",
                    "{{model}}@{{version}}",
                ),
            ),
            kind="table",
            width=12,
        ),
        Panel(
            "Load time",
            "Mean time of a load: check, open, prove; since the service started.",
            "s",
            (
                Target(
                    f"sum by (model) (seqserve_model_load_seconds_sum{{{OF_MODEL}}})"
                    f" / (sum by (model) (seqserve_model_load_seconds_count{{{OF_MODEL}}}) > 0)",
                    "{{model}}",
                ),
            ),
            kind="bargauge",
            width=6,
        ),
        Panel(
            "Load failures",
            "Bundles that could not be loaded, since the service started. ListModels says why.",
            "short",
            (Target(f"sum by (model) (seqserve_model_load_failures_total{{{OF_MODEL}}})", "{{model}}"),),
            kind="bargauge",
            width=6,
        ),
    ),
)

PROCESS = Row(
    "Front process (engines are processes of their own)",
    (
        Panel(
            "CPU",
            "Cores that the front uses: gRPC and text. At 1 it is full.",
            "short",
            (Target(rate("process_cpu_seconds_total", "instance, worker", HERE), FRONT),),
        ),
        Panel(
            "Memory",
            "Resident and virtual memory of the front.",
            "bytes",
            (
                Target(f"process_resident_memory_bytes{{{HERE}}}", f"{FRONT} resident"),
                Target(f"process_virtual_memory_bytes{{{HERE}}}", f"{FRONT} virtual"),
            ),
        ),
        Panel(
            "File descriptors",
            "Open ones, connections included, and how many there may be.",
            "short",
            (
                Target(f"process_open_fds{{{HERE}}}", f"{FRONT} open"),
                Target(f"process_max_fds{{{HERE}}}", f"{FRONT} limit"),
            ),
        ),
        Panel(
            "Garbage collection",
            "Collections and collected objects per second, by generation.",
            "ops",
            (
                Target(rate("python_gc_collections_total", "generation", HERE), "generation {{generation}} runs"),
                Target(
                    rate("python_gc_objects_collected_total", "generation", HERE), "generation {{generation}} objects"
                ),
                Target(
                    rate("python_gc_objects_uncollectable_total", "generation", HERE),
                    "generation {{generation}} uncollectable",
                ),
            ),
            width=12,
        ),
        Panel(
            "Uptime",
            "Time since the front started.",
            "s",
            (Target(f"time() - process_start_time_seconds{{{HERE}}}", FRONT),),
            kind="stat",
            width=6,
        ),
        Panel(
            "Python",
            "Replicas by version of the interpreter.",
            "short",
            (Target(f"sum by (implementation, version) (python_info{{{HERE}}})", "{{implementation}} {{version}}"),),
            kind="stat",
            width=6,
        ),
    ),
)

ROWS = (CALLS, QUEUE, ENGINE, DECODING, MODELS, PROCESS)
