"""Triton: its real server, with our graphs in its python backend, one model per setting."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from tests.bench.serving.contenders.jobs import Job
from tests.bench.serving.contenders.servers import Server, free_port, running
from tests.bench.serving.load.processes import ROOT
from tests.bench.serving.peers.environments import Environment, peer_environment, peer_version

MOST_TEXTS = 64


@dataclass(frozen=True)
class Setting:
    """How Triton is told to batch.

    Attributes:
        instances: of the model, each a process.
        delay_us: most microseconds that it waits for a larger batch.
        preferred: batch sizes that it waits for.
        threads: of each graph.
    """

    instances: int = 2
    delay_us: int = 0
    preferred: tuple[int, ...] = ()
    threads: int = 1

    @property
    def title(self) -> str:
        """For the table."""
        preferred = f", preferred {'/'.join(map(str, self.preferred))}" if self.preferred else ""
        threads = f", {self.threads} threads" if self.threads > 1 else ""
        return f"{self.instances} instances, delay {self.delay_us} us{preferred}{threads}"

    def name(self, task: str) -> str:
        """Of the model in the repository."""
        parts = (task, self.instances, self.delay_us, *self.preferred, self.threads)
        return "-".join(map(str, parts))


SETTINGS = (
    Setting(),
    Setting(delay_us=500),
    Setting(delay_us=2000),
    Setting(delay_us=2000, preferred=(16, 32)),
    Setting(instances=1, threads=2),
    Setting(instances=1, delay_us=1000),
    Setting(instances=4),
)


def title() -> str:
    """Who it is, in which version."""
    return f"Triton, {peer_version('triton')}"


@contextmanager
def triton_server(job: Job, settings: Sequence[Setting], work: Path) -> Iterator[Server]:
    """Serve a job in every setting.   Raises as `peer_environment` and `running`."""
    environment = peer_environment("triton")
    grpc, http = free_port(), free_port()
    command = [str(_tritonserver(environment))]
    command += [f"--backend-directory={_backends(environment)}", f"--grpc-port={grpc}", f"--http-port={http}"]
    command += ["--grpc-address=127.0.0.1", "--http-address=127.0.0.1", "--allow-metrics=false", "--log-info=false"]
    path = f"{environment.folder / 'bin'}:{os.environ['PATH']}"
    packages = _packages(environment)
    libraries = str(packages / "nvidia_pytriton.libs")  # where the copied stub looks no more
    variables = {**os.environ, "PATH": path, "PYTHONPATH": f"{packages}:{ROOT}", "LD_LIBRARY_PATH": libraries}
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"triton-{job.task}-", dir=work.resolve()) as repository:
        for setting in settings:
            _write_model(Path(repository, setting.name(job.task)), job, setting)
        command.append(f"--model-repository={repository}")
        with running(command, lambda: _is_ready(http), variables) as process:
            yield Server(f"127.0.0.1:{grpc}", process.pid, "open_inference")


def _write_model(folder: Path, job: Job, setting: Setting) -> None:
    streams = job.task == "generation"
    (folder / "1").mkdir(parents=True)
    module = "triton_streams.py" if streams else "triton_answers.py"
    shutil.copy(Path(__file__).with_name(module), folder / "1" / "model.py")
    (folder / "config.pbtxt").write_text(_configuration(folder.name, job, setting, streams=streams), encoding="utf-8")


def _configuration(name: str, job: Job, setting: Setting, *, streams: bool) -> str:
    parameters = {"folder": job.folder.resolve(), "threads": setting.threads, "token_count": job.token_count}
    lines = [
        f'name: "{name}"',
        'backend: "python"',
        f"max_batch_size: {MOST_TEXTS}",
        'input [{ name: "TEXT", data_type: TYPE_STRING, dims: [1] }]',
        'output [{ name: "ANSWER", data_type: TYPE_STRING, dims: [1] }]',
        f"instance_group [{{ kind: KIND_CPU, count: {setting.instances} }}]",
        f"dynamic_batching {{ max_queue_delay_microseconds: {setting.delay_us} "
        f"preferred_batch_size: [{', '.join(map(str, setting.preferred))}] }}",
        *(f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}' for key, value in parameters.items()),
    ]
    if streams:
        lines.append("model_transaction_policy { decoupled: true }")
    return "\n".join(lines) + "\n"


def _packages(environment: Environment) -> Path:
    return environment.folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"


def _tritonserver(environment: Environment) -> Path:
    return _packages(environment) / "pytriton" / "tritonserver" / "bin" / "tritonserver"


def _backends(environment: Environment) -> Path:
    """A copy of the backends, with the stub of this Python beside the python backend, as Triton looks for it."""
    root, copy = _packages(environment) / "pytriton" / "tritonserver", environment.folder / "backends"
    if not copy.exists():
        shutil.copytree(root / "backends", copy)
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        stub = root / "python_backend_stubs" / version / "triton_python_backend_stub"
        shutil.copy(stub, copy / "python" / stub.name)
    return copy


def _is_ready(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
