"""What `--alignment` and `--midi` save, and what they say where they cannot."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import symusic

from seqserve.command.melodies import save_midi

if TYPE_CHECKING:
    from tests.unit.seqserve.conftest import Run

TUNE = "M:4/4\nL:1/8\nK:G\nG2 AB c2 d2|g8|]\n"
PNG = b"\x89PNG\r\n"
MIDI = b"MThd"


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_an_alignment_is_a_picture(run: "Run", tmp_path: Path) -> None:
    assert await run("translate", "fake", "ab", "--alignment", str(tmp_path / "a.png")) == (0, "ba\n", "")
    assert (tmp_path / "a.png").read_bytes().startswith(PNG)


async def test_further_alignments_are_numbered(run: "Run", tmp_path: Path) -> None:
    assert await run("translate", "fake", "ab", "bad", "cd", "--alignment", str(tmp_path / "a.svg")) == (
        1, "ba\n\ndc\n", "seqserve: text 2: INVALID_ARGUMENT: texts[1] is bad\n",
    )  # fmt: skip
    assert names_in(tmp_path) == ["a-2.svg", "a.svg"]


async def test_a_melody_is_saved_with_its_prompt(run: "Run", tmp_path: Path) -> None:
    # the fake server echoes the prompt's words in one line, which begins with the headers
    code, output, error = await run("generate", "fake", TUNE, "--midi", str(tmp_path / "a.mid"))
    assert (code, output, error) == (0, f"{' '.join(TUNE.split())} \n", "")
    assert (tmp_path / "a.mid").read_bytes().startswith(MIDI)


async def test_every_sample_is_saved(run: "Run", tmp_path: Path) -> None:
    await run("generate", "fake", TUNE, "--sample-count", "2", "--midi", str(tmp_path / "a.mid"))
    assert names_in(tmp_path) == ["a-2.mid", "a.mid"]


async def test_what_is_no_melody_is_told_after_the_text(run: "Run", tmp_path: Path) -> None:
    code, output, error = await run("generate", "fake", "no tune", "--midi", str(tmp_path / "a.mid"))
    assert (code, output) == (1, "no tune \n")
    assert error.startswith("seqserve: --midi: no melody in ABC notation: Error in line")
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(("translate", "fake", "x", "--alignment", "a.nope"), "a.nope ends in none of", id="no picture"),
        pytest.param(("translate", "fake", "x", "--alignment", "no/a.png"), "there is no folder no", id="no folder"),
        pytest.param(("generate", "fake", "x", "--midi", "no/a.mid"), "there is no folder no", id="no folder for MIDI"),
    ],
)
async def test_a_file_that_could_not_be_written_is_refused_before_anything_is_asked(
    arguments: tuple[str, ...], expected: str, run: "Run"
) -> None:
    code, output, error = await run(*arguments)
    assert (code, output, error.count("\n")) == (2, "", 1)
    assert expected in error


async def test_without_their_libraries_they_say_what_to_install(
    run: "Run", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "symusic", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.delitem(sys.modules, "seqserve.command.pictures", raising=False)
    code, _, error = await run("generate", "fake", "x", "--midi", str(tmp_path / "a.mid"))
    assert (code, "pip install 'seqserve[midi]'" in error) == (2, True)
    code, _, error = await run("translate", "fake", "x", "--alignment", str(tmp_path / "a.png"))
    assert (code, "pip install 'seqserve[cli]'" in error) == (2, True)


def test_a_tune_keeps_its_own_number(tmp_path: Path) -> None:
    save_midi(f"X:7\n{TUNE}", tmp_path / "a.mid")
    assert (tmp_path / "a.mid").read_bytes().startswith(MIDI)


def test_a_melody_has_the_notes_of_its_tune(tmp_path: Path) -> None:
    save_midi(TUNE, tmp_path / "a.mid")
    (track,) = symusic.Score(tmp_path / "a.mid").tracks  # type: ignore[attr-defined]
    assert [note.pitch for note in track.notes] == [67, 69, 71, 72, 74, 79]
