"""The peers' own virtual environments, made on first use under .build/peers; the project's never sees their packages.

Debian's Python is taken where there is one of the same version: Triton's stubs are linked to it.
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.bench.serving.load.processes import ROOT

PEERS = ROOT / ".build" / "peers"
_SHARED = ("onnxruntime==1.32.0", "tokenizers==0.23.3")
_REQUIREMENTS = {
    "triton": ("nvidia-pytriton==0.7.0", *_SHARED),
    "mlserver": ("mlserver==1.7.1", "uvloop<0.22", *_SHARED),
}


@dataclass(frozen=True)
class Environment:
    """An installed peer."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its Python."""
        return self.folder / "bin" / "python"


def peer_version(name: str) -> str:
    """A peer's package and version, whether it is installed or not."""
    return _REQUIREMENTS[name][0].replace("==", " ")


def peer_environment(name: str) -> Environment:
    """The environment of a peer, installed on first use.

    Raises:
        subprocess.CalledProcessError: something did not install; its `stderr` says what.
    """
    folder, requirements = PEERS / name, _REQUIREMENTS[name]
    environment, installed = Environment(folder), folder / ".installed"
    if not installed.exists() or installed.read_text() != "\n".join(requirements):
        _run([str(_base_python()), "-m", "venv", "--clear", str(folder)])
        pip = [str(environment.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, *requirements])
        installed.write_text("\n".join(requirements))
    return environment


def _base_python() -> Path:
    found = Path(f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}")
    return found if found.exists() else Path(sys.executable)


def _run(command: list[str]) -> None:
    subprocess.run(command, capture_output=True, text=True, check=True)
