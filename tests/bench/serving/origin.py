"""When a part was measured, of which commit, and in which run of the command.   Asks git; writes no page."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

WRITTEN_BY_THE_BENCH = ("docs/benchmarks.md", "docs/benchmark-*.svg")
"""Files that the bench itself changes while it runs."""
NO_COMMIT, UNKNOWN = "not known", "not recorded"


@dataclass(frozen=True)
class Origin:
    """Where the figures of a part come from.

    Attributes:
        run: when the command began; parts of one run have the same.
        begun: when the part began.
        ended: when it was through.
        commit: that the code was of, as `commit_of` tells it.
    """

    run: str
    begun: str
    ended: str
    commit: str

    def __str__(self) -> str:
        return f"Measured from {self.begun} to {self.ended}, commit {self.commit}."


def now() -> str:
    """To the second, which tells runs apart."""
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"


def commit_of(folder: Path) -> str:
    """Short hash of what is checked out in a folder, and whether files differ from it; `NO_COMMIT` without git."""
    try:
        commit = _git(folder, "rev-parse", "--short", "HEAD")
        changes = _git(
            folder, "status", "--porcelain", "--", ".", *(f":(exclude){one}" for one in WRITTEN_BY_THE_BENCH)
        )
    except (OSError, subprocess.CalledProcessError):
        return NO_COMMIT
    return f"{commit} with uncommitted changes" if changes else commit


def _git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True).stdout.strip()


def runs_told(origins: Sequence[tuple[str, Origin | None]], missing: Sequence[str]) -> str:
    """Whether parts were measured in one run, and if not, which in which.

    Args:
        origins: of each part that is on the page; None: not recorded.
        missing: parts that are not on the page.
    """
    by_run: dict[str, list[tuple[str, Origin | None]]] = {}
    for name, origin in origins:
        by_run.setdefault(UNKNOWN if origin is None else origin.run, []).append((name, origin))
    absent = f" Not on this page: {', '.join(missing)}." if missing else ""
    if len(by_run) == 1 and UNKNOWN not in by_run:
        return f"All parts are of one run, {_run_told(origins)}.{absent}"
    lines = [f"- {_run_told(some)}: {', '.join(name for name, _ in some)}" for some in by_run.values()]
    return "\n".join([f"The parts are not of one run.{absent}", "", *lines])


def _run_told(origins: Sequence[tuple[str, Origin | None]]) -> str:
    """When a run began, and of which commits it was; `origins` are of its parts."""
    known = [origin for _, origin in origins if origin is not None]
    if not known:
        return UNKNOWN
    return f"begun {known[0].run}, commit {', then '.join(dict.fromkeys(origin.commit for origin in known))}"
