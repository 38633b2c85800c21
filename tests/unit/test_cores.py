"""Cores that may be used: the affinity, and the quota of any control group on the way up, v1 and v2."""

import os
from pathlib import Path

import pytest

from service.cores import Cores, find_cores

V2_MOUNT = "30 23 0:26 {shown} /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1_MOUNT = "32 31 0:29 {shown} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
V1_OTHER = "35 31 0:32 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"


def machine(root: Path, files: dict[str, str]) -> Path:
    """A root folder with these files."""
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def v2(path: str, shown: str = "/", **limits: str) -> dict[str, str]:
    files = {"proc/self/cgroup": f"0::{path}\n", "proc/self/mountinfo": V2_MOUNT.format(shown=shown)}
    return files | {f"sys/fs/cgroup/{folder.replace('__', '/')}/cpu.max": text for folder, text in limits.items()}


def v1(path: str, quota: str, folder: str, shown: str = "/") -> dict[str, str]:
    where = f"sys/fs/cgroup/cpu,cpuacct/{folder}"
    return {
        "proc/self/cgroup": f"4:cpu,cpuacct:{path}\n3:cpuset:/other\n0::/\n",
        "proc/self/mountinfo": V1_OTHER + V1_MOUNT.format(shown=shown),
        f"{where}/cpu.cfs_quota_us": quota,
        f"{where}/cpu.cfs_period_us": "100000\n",
    }


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        pytest.param({}, None, id="nothing to read"),
        pytest.param(v2("/", **{".": "max 100000\n"}), None, id="v2 without a limit"),
        pytest.param(v2("/", **{".": "150000 100000\n"}), 1.5, id="v2 in a container"),
        pytest.param(v2("/a/b", a__b="max 100000\n", a="50000 100000\n"), 0.5, id="v2 with the limit above"),
        pytest.param(v2("/a/b", a__b="400000 100000\n", a="200000 100000\n"), 2.0, id="v2 with two limits"),
        pytest.param(v2("/docker/x", "/docker/x", **{".": "300000 100000\n"}), 3.0, id="v2 with the host's path"),
        pytest.param(v2("/elsewhere", "/docker/x", **{".": "300000 100000\n"}), 3.0, id="v2 with a path out of sight"),
        pytest.param(v1("/", "-1\n", "."), None, id="v1 without a limit"),
        pytest.param(v1("/pod/c", "250000\n", "pod/c"), 2.5, id="v1"),
        pytest.param(v1("/pod/c", "50000\n", "pod"), 0.5, id="v1 with the limit above"),
        pytest.param(v1("/pod/c", "50000\n", ".", shown="/pod/c"), 0.5, id="v1 with the host's path"),
    ],
)
def test_the_smallest_quota_on_the_way_up_counts(tmp_path: Path, files: dict[str, str], quota: float | None) -> None:
    assert find_cores(machine(tmp_path, files)).quota == quota


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system has no affinity")
def test_the_affinity_is_that_of_this_process(tmp_path: Path) -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert find_cores(tmp_path).affinity == 1
    finally:
        os.sched_setaffinity(0, before)
    assert find_cores(tmp_path).affinity == len(before)


@pytest.mark.parametrize(
    ("affinity", "quota", "usable"), [(4, None, 4), (4, 2.0, 2), (2, 8.0, 2), (4, 2.9, 2), (4, 0.5, 1)]
)
def test_whole_cores_within_both_limits_are_usable_and_at_least_one(
    affinity: int, quota: float | None, usable: int
) -> None:
    assert Cores(affinity, quota).usable == usable


def test_this_machine_can_be_looked_at() -> None:
    assert find_cores().usable >= 1
