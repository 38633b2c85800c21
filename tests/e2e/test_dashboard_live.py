"""The dashboard against a real Prometheus that scrapes a loaded server: every expression answers, with the truth.

The server has two workers, so that their series are there too; a server of one process has the same but for those two.
"""

import json
import math
import re
import shutil
import subprocess
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from demo.server import ServerProcess
from deploy.monitoring.build_dashboard import OUTPUT
from seqserve import Client, SeqserveError
from tests.e2e.calls import CLASSIFIER, GENERATOR, TAGGER, TRANSLATOR, eventually, publish_all, running_server, sample
from tests.e2e.prometheus import Prometheus, running_prometheus

MISSING = [program for program in ("prometheus", "promtool") if shutil.which(program) is None]
pytestmark = [
    pytest.mark.prometheus,
    pytest.mark.skipif(bool(MISSING), reason=f"programs are missing: {', '.join(MISSING)}"),
]

DASHBOARD: dict[str, Any] = json.loads(OUTPUT.read_text())
EXPRESSIONS: dict[str, str] = {
    f"{panel['title']} {target['refId']}": target["expr"]
    for panel in DASHBOARD["panels"]
    for target in panel.get("targets", ())
}
ZERO_WHEN_ALL_IS_WELL = {"Engine restarts A", "Worker restarts A", "Garbage collection C"}

RATE_INTERVAL_SECONDS = 8
LOAD_SECONDS = 24
PER_SECOND = {"ClassifyText": 10, "LabelSequence": 5, "TranslateText": 5, "ListModels": 2, "GetModel": 2}
BROKEN = "broken"


@dataclass(frozen=True)
class Load:
    """What was sent: from when to when (seconds since the epoch), and how many calls of each method."""

    start: float
    end: float
    counts: Counter[str]


def call_of(client: Client, method: str, number: int) -> None:
    """The `number`-th call of a method. Some of them are refused or run out of time, on purpose."""
    if method == "ClassifyText" and number % 10 == 0:
        client.classify(CLASSIFIER, "   ")
    elif method == "ClassifyText":
        client.classify(CLASSIFIER, ["a good film", "the plot is dull and the cast is good"][: 1 + number % 2])
    elif method == "LabelSequence":
        client.label(TAGGER, ["Mary Smith lives in New York", ["Rome"]][: 1 + number % 2])
    elif method == "TranslateText" and number % 5 == 0:
        client.translate("nobody", "The black dog")
    elif method == "TranslateText":
        client.translate(TRANSLATOR, "The black dog jumped over the cat", max_output_token_count=10)
    elif method == "ListModels":
        client.list_models()
    else:
        client.get_model(GENERATOR)


def send_at_fixed_times(client: Client, method: str, begun: float) -> int:
    """Send a method's calls, each at its own time whether or not earlier ones are answered. Returns their number."""
    total = LOAD_SECONDS * PER_SECOND[method]

    def send(number: int) -> None:
        with suppress(SeqserveError):
            call_of(client, method, number)

    with ThreadPoolExecutor(4) as senders:
        for number in range(total):
            time.sleep(max(0.0, begun + number / PER_SECOND[method] - time.monotonic()))
            senders.submit(send, number)
    return total


def generate_without_pause(client: Client, begun: float) -> int:
    """Keep one generation under way; every fourth runs out of time. Returns how many there were."""
    number = 0
    while time.monotonic() < begun + LOAD_SECONDS:
        with suppress(SeqserveError):
            seconds = 0.005 if number % 4 == 0 else 10.0
            client.generate_text(GENERATOR, "X:1", max_output_token_count=250, seed=number, timeout_s=seconds)
        number += 1
    return number


def put_load_on(server: ServerProcess) -> Load:
    """Send calls of every method for a while, at known rates but for the generations."""
    tasks: dict[str, Callable[[Client, float], int]] = {"GenerateText": generate_without_pause}
    for method in PER_SECOND:
        tasks[method] = lambda client, begun, method=method: send_at_fixed_times(client, method, begun)  # type: ignore[misc]
    counts: Counter[str] = Counter()
    start, begun = time.time(), time.monotonic()
    with Client(server.target) as client:

        def run(method: str) -> None:
            counts[method] = tasks[method](client, begun)

        threads = [threading.Thread(target=run, args=(method,)) for method in tasks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return Load(start, start + LOAD_SECONDS, counts)


def break_a_bundle(models: Path) -> Path:
    """A bundle whose manifest promises what is not there."""
    folder = models / BROKEN / "1"
    folder.mkdir(parents=True)
    shutil.copy(models / CLASSIFIER / "1" / "manifest.json", folder)
    return folder.parent


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    models = publish_all(tmp_path_factory.mktemp("models"))
    with running_server(models, "--workers", "2", "--poll-seconds", "0.2", "--queue-capacity", "256") as server:
        yield server


@pytest.fixture(scope="module")
def prometheus(server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with running_prometheus(tmp_path_factory.mktemp("prometheus"), server.metrics_url) as prometheus:
        yield prometheus


@pytest.fixture(scope="module")
def load(server: ServerProcess, prometheus: Prometheus) -> Load:
    broken = break_a_bundle(server.models_folder)
    for worker in (0, 1):
        failures = f'seqserve_model_load_failures_total{{model="{BROKEN}",worker="{worker}"}}'
        eventually(lambda failures=failures: failures in page_of(server) and sample(server, failures) > 0)  # type: ignore[misc]
    done = put_load_on(server)
    shutil.rmtree(broken)
    time.sleep(1.5)  # the last scrape
    return done


def page_of(server: ServerProcess) -> str:
    with urllib.request.urlopen(server.metrics_url, timeout=5) as page:
        return str(page.read().decode())


def with_all_chosen(text: str) -> str:
    """An expression or query with Grafana's variables put in, everything chosen."""
    text = text.replace("$__rate_interval", f"{RATE_INTERVAL_SECONDS}s")
    for variable in DASHBOARD["templating"]["list"]:
        text = text.replace(f"${variable['name']}", variable.get("allValue", ""))
    assert "$" not in text
    return text


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_an_expression_gives_finite_numbers_and_not_only_zeros(prometheus: Prometheus, load: Load, name: str) -> None:
    expression = with_all_chosen(EXPRESSIONS[name])
    found = prometheus.over_time(expression, load.start + RATE_INTERVAL_SECONDS, load.end)
    values = [value for series in found for value in series.values]
    assert values, "no series"
    assert all(math.isfinite(value) for value in values)
    assert any(values) or name in ZERO_WHEN_ALL_IS_WELL


@pytest.mark.parametrize("method", PER_SECOND)
def test_the_request_rate_panel_shows_the_rate_that_was_sent(prometheus: Prometheus, load: Load, method: str) -> None:
    expression = with_all_chosen(EXPRESSIONS["Request rate A"])
    found = prometheus.over_time(expression, load.start + RATE_INTERVAL_SECONDS + 1, load.end)
    (series,) = [series for series in found if series.labels == {"grpc_method": method}]
    mean = sum(series.values) / len(series.values)
    assert mean == pytest.approx(PER_SECOND[method], rel=0.1)


def test_every_call_that_was_sent_is_counted(server: ServerProcess, load: Load) -> None:
    for method, count in load.counts.items():
        found = re.findall(
            rf'^grpc_server_started_total{{[^}}]*grpc_method="{method}"[^}}]*}} (\S+)', page_of(server), re.MULTILINE
        )
        # a call whose deadline is over before it is sent does not arrive
        assert sum(map(float, found)) == pytest.approx(count, rel=0.05)


@pytest.mark.parametrize("variable", ["job", "instance", "model"])
def test_a_variable_has_something_to_choose(prometheus: Prometheus, load: Load, variable: str) -> None:
    (query,) = [one["definition"] for one in DASHBOARD["templating"]["list"] if one["name"] == variable]
    series, label = re.fullmatch(r"label_values\((.+), (\w+)\)", query).groups()  # type: ignore[union-attr]
    found = prometheus.label_values(label, with_all_chosen(series))
    assert found
    if variable == "model":
        assert {CLASSIFIER, GENERATOR, TRANSLATOR} <= set(found)


def test_every_series_of_the_page_has_a_panel(server: ServerProcess) -> None:
    families = set(re.findall(r"^# TYPE (\S+)", page_of(server), re.MULTILINE))
    shown = set(re.findall(r"([a-z_]+)\{", " ".join(EXPRESSIONS.values())))
    assert families == {re.sub(r"_(bucket|sum|count)$", "", series) for series in shown}


def test_promtool_finds_no_fault_with_the_page(server: ServerProcess, load: Load) -> None:
    run = subprocess.run(
        ["promtool", "check", "metrics"], input=page_of(server), capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert not run.stdout + run.stderr
