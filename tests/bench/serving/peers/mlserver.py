"""MLServer with adaptive batching, our graphs in a runtime of its own kind, over the Open Inference Protocol."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.bench.serving.contenders.jobs import Job
from tests.bench.serving.contenders.servers import Server, free_port, running
from tests.bench.serving.load.processes import ROOT
from tests.bench.serving.peers.environments import peer_environment, peer_version

MODEL = "answers"


@dataclass(frozen=True)
class Setting:
    """How MLServer is told to batch; processes beside the one that speaks gRPC, of which 0 puts all into that one."""

    parallel_workers: int
    batch_seconds: float
    batch_size: int = 32

    @property
    def title(self) -> str:
        """For the table."""
        return f"{self.parallel_workers} parallel workers, batches of {self.batch_size} in {self.batch_seconds:g} s"


SETTINGS = (Setting(0, 0.001), Setting(2, 0.001), Setting(2, 0.005))


def title() -> str:
    """Who it is, in which version."""
    return f"MLServer, {peer_version('mlserver')}"


@contextmanager
def ml_server(job: Job, setting: Setting, work: Path) -> Iterator[Server]:
    """Serve a job.   Raises as `peer_environment` and `running`."""
    environment = peer_environment("mlserver")
    folder = work / f"mlserver-{job.task}-{setting.parallel_workers}-{setting.batch_seconds}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    http, grpc, metrics = free_port(), free_port(), free_port()
    server = {"host": "127.0.0.1", "http_port": http, "grpc_port": grpc, "metrics_port": metrics, "debug": False}
    server["parallel_workers"] = setting.parallel_workers
    model = {
        "name": MODEL,
        "implementation": "tests.bench.serving.peers.mlserver_runtime.Answers",
        "max_batch_size": setting.batch_size,
        "max_batch_time": setting.batch_seconds,
        "parameters": {"uri": str(job.folder.resolve())},
    }
    (folder / "settings.json").write_text(json.dumps(server), encoding="utf-8")
    (folder / "model-settings.json").write_text(json.dumps(model), encoding="utf-8")
    command = [str(environment.folder / "bin" / "mlserver"), "start", str(folder.resolve())]
    with running(command, lambda: _is_ready(http), {**os.environ, "PYTHONPATH": str(ROOT)}, folder) as process:
        yield Server(f"127.0.0.1:{grpc}", process.pid, "open_inference")


def _is_ready(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/v2/models/{MODEL}/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
