"""A real Prometheus that scrapes one server every second, and what it knows."""

import contextlib
import json
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from demo.server import ROOT

CONFIGURATION = ROOT / "deploy" / "monitoring" / "prometheus.yml"
START_SECONDS = 30.0


@dataclass(frozen=True)
class Series:
    """One series of an answer: its labels, and its values in order of time."""

    labels: dict[str, str]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus."""

    address: str

    def ask(self, path: str, **parameters: str | float) -> Any:
        """The `data` of one answer of its HTTP API."""
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"http://{self.address}/api/v1/{path}?{query}", timeout=10) as answer:
            return json.load(answer)["data"]

    def over_time(self, expression: str, start: float, end: float) -> list[Series]:
        """What an expression is at each second from `start` to `end` (seconds since the epoch)."""
        found = self.ask("query_range", query=expression, start=start, end=end, step=1)["result"]
        return [Series(one["metric"], tuple(float(value) for _, value in one["values"])) for one in found]

    def label_values(self, label: str, series: str) -> list[str]:
        """What Grafana's `label_values(series, label)` gives."""
        return list(self.ask(f"label/{label}/values", **{"match[]": series}))


@contextlib.contextmanager
def running_prometheus(folder: Path, metrics_url: str) -> Iterator[Prometheus]:
    """Start Prometheus with the project's configuration, pointed at a server, and stop it in the end."""
    configuration = yaml.safe_load(CONFIGURATION.read_text())
    configuration["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s"}
    (job,) = configuration["scrape_configs"]
    job["static_configs"][0]["targets"] = [urllib.parse.urlsplit(metrics_url).netloc]
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(configuration))
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    flags = {"config.file": file, "storage.tsdb.path": folder / "data", "web.listen-address": address}
    command = ["prometheus", "--log.level=warn", *(f"--{flag}={value}" for flag, value in flags.items())]
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait_until_ready(address, process, folder / "prometheus.log")
        yield Prometheus(address)
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def _wait_until_ready(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        with contextlib.suppress(urllib.error.URLError), urllib.request.urlopen(f"http://{address}/-/ready", timeout=2):
            return
        time.sleep(0.1)
    raise RuntimeError(f"Prometheus did not get ready:\n{log.read_text()}")
