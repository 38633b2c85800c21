"""Which versions serve: the pure plan as a decision table, and the folder scan."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.serving.versions import Action, Stamp, plan, scan

A: Stamp = (("manifest.json", 1, 1, 1),)
B: Stamp = (("manifest.json", 2, 2, 2),)


@pytest.mark.parametrize(
    ("found", "known", "kept", "expected"),
    [
        pytest.param([1], {}, 1, ["load 1"], id="a new version is loaded"),
        pytest.param([1], {1: "active"}, 1, [], id="a version that serves is left alone"),
        pytest.param([1, 2], {1: "active"}, 1, ["load 2"], id="the old one serves until the new one does"),
        pytest.param([1, 2], {1: "active", 2: "active"}, 1, ["drop 1"], id="then it is dropped"),
        pytest.param([1, 2], {1: "active", 2: "failed"}, 1, [], id="a failed version leaves the old one serving"),
        pytest.param([1, 2], {2: "failed"}, 1, ["load 1"], id="where the newest fails an older one is tried"),
        pytest.param([1, 2, 3], {2: "active", 3: "failed"}, 1, [], id="no older one than the best is wanted"),
        pytest.param([], {1: "active"}, 1, ["drop 1"], id="what is gone from the repository is dropped"),
        pytest.param([1, 2, 3], {}, 2, ["load 3", "load 2"], id="several versions may serve"),
        pytest.param([1, 2, 3], {1: "active", 2: "active", 3: "active"}, 2, ["drop 1"], id="but no more than asked"),
    ],
)
def test_the_plan_is(found: list[int], known: dict[int, str], kept: int, expected: list[str]) -> None:
    actions = plan(
        {("m", version): A for version in found},
        {("m", version): (state, A) for version, state in known.items()},
        kept_versions=kept,
    )
    assert [f"{action.verb} {action.version}" for action in actions] == expected


def test_a_failed_version_is_tried_again_when_its_files_change() -> None:
    found: dict[tuple[str, int], Stamp] = {("m", 1): B}
    assert plan(found, {("m", 1): ("failed", A)}, kept_versions=1) == [Action("load", "m", 1)]


def test_models_do_not_disturb_one_another() -> None:
    found: dict[tuple[str, int], Stamp] = {("a", 1): A, ("b", 5): A}
    known: dict[tuple[str, int], tuple[str, Stamp]] = {("a", 1): ("active", A)}
    assert plan(found, known, kept_versions=1) == [Action("load", "b", 5)]


def test_the_scan_finds_versions_and_passes_other_names_over(tmp_path: Path) -> None:
    for folder in ("good/1", "good/12", "good/.13", "good/latest", "good/01", "Bad Name/1", ".hidden/1"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "good/1/manifest.json").write_text("{}")
    (tmp_path / "a-file").write_text("")
    found = scan(tmp_path)
    assert set(found) == {("good", 1), ("good", 12)}
    assert [file[0] for file in found["good", 1]] == ["manifest.json"]
    assert found["good", 12] == ()


def test_a_folder_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("bad/1", "good/1"):
        (tmp_path / folder).mkdir(parents=True)
    iterdir = Path.iterdir

    def refusing(path: Path) -> Iterator[Path]:
        if path.name == "bad":
            raise PermissionError(13, "not yours", str(path))
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", refusing)
    assert set(scan(tmp_path)) == {("good", 1)}
