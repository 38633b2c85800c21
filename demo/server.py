"""A real server process on free ports, for the demo, the tests and the benchmarks."""

import re
import subprocess
import sys
import threading
from dataclasses import dataclass
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
    log: list[str]
    _reading: threading.Thread

    def stop(self) -> int:
        """Ask it to end, wait, and give its exit code.

        Raises:
            subprocess.TimeoutExpired: it did not end in time, and was killed.
        """
        self.process.terminate()
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            _close(self.process, self._reading)


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
    reading = threading.Thread(target=lambda: log.extend(process.stderr or ()), daemon=True)
    reading.start()
    found = _READY.match(_first_line(process) or "")
    if found is None:
        process.kill()
        _close(process, reading)
        raise RuntimeError("the server did not get ready:\n" + "".join(log))
    return ServerProcess(process, found[1], f"http://{found[2]}/metrics", models, log, reading)


def _close(process: subprocess.Popen[str], reading: threading.Thread) -> None:
    """Read its log to the end, then close its pipes."""
    process.wait()
    reading.join(STOP_SECONDS)
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _first_line(process: subprocess.Popen[str]) -> str | None:
    lines: list[str] = []
    reader = threading.Thread(
        target=lambda: lines.append(process.stdout.readline() if process.stdout else ""), daemon=True
    )
    reader.start()
    reader.join(START_SECONDS)
    return lines[0] if lines else None
