"""Which commit figures are of."""

import subprocess
from pathlib import Path

from tests.bench.serving.origin import NO_COMMIT, commit_of


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True, text=True).stdout


def test_a_commit_is_told_with_what_differs_from_it_but_for_the_page_itself(tmp_path: Path) -> None:
    git(tmp_path, "init")
    (tmp_path / "docs").mkdir()
    for name in ("code.py", "docs/benchmarks.md"):
        (tmp_path / name).write_text("a")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--no-verify", "-m", "a")
    commit = git(tmp_path, "rev-parse", "--short", "HEAD").strip()
    (tmp_path / "docs" / "benchmarks.md").write_text("written meanwhile")
    (tmp_path / "docs" / "benchmark-callers.svg").write_text("drawn meanwhile")
    assert commit_of(tmp_path) == commit
    (tmp_path / "code.py").write_text("b")
    assert commit_of(tmp_path) == f"{commit} with uncommitted changes"


def test_without_a_repository_no_commit_is_known(tmp_path: Path) -> None:
    assert commit_of(tmp_path) == NO_COMMIT
