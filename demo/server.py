"""A real server process on free ports, for the demo, the tests and the benchmarks."""

import re
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
_READY = re.compile(r"ready grpc=(\S+) metrics=(\S+)")
START_SECONDS = 60.0
STOP_SECONDS = 30.0


@dataclass
class ServerProcess:
    """A server that has said it is ready. `log` is what it has written to its log so far."""

    process: subprocess.Popen[str]
    target: str
    metrics_url: str
    models_folder: Path
    log: list[str] = field(default_factory=list)

    def stop(self) -> int:
        """Ask it to end, wait, and give its exit code."""
        self.process.terminate()
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


def start_server(models: Path, *flags: str) -> ServerProcess:
    """Start `python -m service serve` on free ports and wait until it is ready.

    Raises:
        RuntimeError: it ended, or did not get ready in time; the message holds its log.
    """
    command = [sys.executable, "-m", "service", "serve", "--models", str(models)]
    command += ["--grpc-address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0", *flags]
    process = subprocess.Popen(  # noqa: S603
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    log: list[str] = []
    threading.Thread(target=lambda: log.extend(process.stderr or ()), daemon=True).start()
    found = _READY.match(_first_line(process) or "")
    if found is None:
        process.kill()
        process.wait()
        raise RuntimeError("the server did not get ready:\n" + "".join(log))
    return ServerProcess(process, found[1], f"http://{found[2]}/metrics", models, log)


def _first_line(process: subprocess.Popen[str]) -> str | None:
    lines: list[str] = []
    reader = threading.Thread(
        target=lambda: lines.append(process.stdout.readline() if process.stdout else ""), daemon=True
    )
    reader.start()
    reader.join(START_SECONDS)
    return lines[0] if lines else None
