"""How many cores this process may use: CPU affinity, and the CPU quota of its control groups (v1 and v2).

What `os.cpu_count` says is the machine, which a container shares with others.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


@dataclass(frozen=True)
class Cores:
    """What limits the cores.

    Args:
        affinity: cores that the scheduler may put this process on.
        quota: cores' worth of time per second that its control groups allow, such as 1.5; None: no limit.
    """

    affinity: int
    quota: float | None

    @property
    def usable(self) -> int:
        """Whole cores that may be kept busy, at least 1. Part of a core would be throttled, so it is rounded down."""
        return self.affinity if self.quota is None else max(1, min(self.affinity, int(self.quota)))


def find_cores(root: Path = Path("/")) -> Cores:
    """Look at this process' affinity and at its control groups, below `root` (a test gives a copy of the files)."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Cores(affinity, min(_quotas(root), default=None))


@dataclass(frozen=True)
class _Mount:
    """Where a hierarchy of control groups is mounted: `folder` shows what lies below `shown`."""

    kind: str
    controllers: frozenset[str]
    shown: PurePosixPath
    folder: str


def _quotas(root: Path) -> Iterator[float]:
    """Every limit on the way from this process' group to the top of what is mounted."""
    mounts = list(_mounts(_read(root / "proc/self/mountinfo")))
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        for mount in mounts:
            if mount.kind == "cgroup2" and not controllers:
                yield from _limits(root, mount, path, _quota_of_v2)
            elif mount.kind == "cgroup" and "cpu" in controllers.split(",") and "cpu" in mount.controllers:
                yield from _limits(root, mount, path, _quota_of_v1)


def _mounts(mountinfo: str) -> Iterator[_Mount]:
    """Mounts of control groups; man 5 proc describes the lines."""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        where, what = before.split(), after.split()
        if len(where) > 4 and len(what) > 2 and what[0] in {"cgroup", "cgroup2"}:
            yield _Mount(what[0], frozenset(what[2].split(",")), PurePosixPath(where[3]), where[4])


def _limits(root: Path, mount: _Mount, path: str, quota_of: Callable[[Path], float | None]) -> Iterator[float]:
    """Limits of a group and of those above it, up to the one that is mounted."""
    group = PurePosixPath(path)
    below = group.relative_to(mount.shown) if group.is_relative_to(mount.shown) else PurePosixPath()
    folder = root / mount.folder.lstrip("/")
    for part in (below, *below.parents):
        quota = quota_of(folder / part)
        if quota is not None:
            yield quota


def _quota_of_v2(group: Path) -> float | None:
    """`cpu.max` holds a quota (or `max`) and a period, both in microseconds."""
    return _share(*_read(group / "cpu.max").split()[:2])


def _quota_of_v1(group: Path) -> float | None:
    """A quota of -1 is none."""
    return _share(_read(group / "cpu.cfs_quota_us").strip(), _read(group / "cpu.cfs_period_us").strip())


def _share(quota: str = "", period: str = "") -> float | None:
    if not (quota.isdigit() and period.isdigit() and int(period)):
        return None
    return int(quota) / int(period)


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:  # another system, or a hierarchy that is not shown here
        return ""
