"""What `--alignment`, `--midi` and `--state-out` save, and what they say where they cannot."""

import base64
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import symusic

from seqserve.command.files.melodies import save_midi

if TYPE_CHECKING:
    from tests.unit.seqserve.conftest import Run
    from tests.unit.seqserve.fake_server import FakeServer

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
    assert error.startswith("seqserve: prompt: no melody in ABC notation: Error in line")
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(("translate", "fake", "x", "--alignment", "a.nope"), "a.nope ends in none of", id="no picture"),
        pytest.param(("translate", "fake", "x", "--alignment", "no/a.png"), "there is no folder no", id="no folder"),
        pytest.param(("generate", "fake", "x", "--midi", "no/a.mid"), "there is no folder no", id="no folder for MIDI"),
        pytest.param(
            ("label", "fake", "x", "--state-out", "no/a"), "there is no folder no", id="no folder for a state"
        ),
        pytest.param(("generate", "fake", "--state-in", "none"), "none: No such file", id="no state"),
        pytest.param(("label", "fake", "x", "--state-in", "/dev/null"), "/dev/null is empty", id="an empty state"),
    ],
)
async def test_a_file_that_could_not_be_written_is_refused_before_anything_is_asked(
    arguments: tuple[str, ...], expected: str, run: "Run"
) -> None:
    code, output, error = await run(*arguments)
    assert (code, output, error.count("\n")) == (2, "", 1)
    assert expected in error


async def test_a_text_goes_on_from_the_state_that_was_saved(run: "Run", server: "FakeServer", tmp_path: Path) -> None:
    # the fake server adds a plus to the token that it was sent
    (tmp_path / "a").write_bytes(b"\x00\n")
    for _ in range(2):
        given = ("--state-in", str(tmp_path / "a"), "--state-out", str(tmp_path / "a"))
        assert await run("generate", "fake", "x", *given) == (0, "x \n", "")
    assert [received.request.state_token for received in server.received] == [b"\x00\n", b"\x00\n+"]
    assert (tmp_path / "a").read_bytes() == b"\x00\n++"


async def test_each_sequence_goes_on_from_its_own_state(run: "Run", server: "FakeServer", tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text(name)
    states = [option for name in "ab" for option in ("--state-in", str(tmp_path / name))]
    code, output, _ = await run("label", "fake", "Mary", "Bo", *states, "--state-out", str(tmp_path / "c"))
    assert (code, output.count("PER:")) == (0, 2)
    assert [given.state_token for given in server.received[0].request.sequences] == [b"a", b"b"]
    assert [(tmp_path / name).read_text() for name in ("c", "c-2")] == ["a+", "b+"]


async def test_states_are_one_for_each_sequence(run: "Run", server: "FakeServer", tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    code, _, error = await run("label", "fake", "Mary", "Bo", "--state-in", str(tmp_path / "a"))
    assert (code, error.count("\n"), "--state-in" in error) == (2, 1, True)
    assert server.received == []


async def test_a_text_that_came_to_its_end_has_no_state_to_save(run: "Run", tmp_path: Path) -> None:
    code, output, error = await run(
        "generate", "fake", "a b", "--sample-count", "2", "--state-out", str(tmp_path / "a")
    )
    assert (code, "a 0 b 0" in output) == (1, True)
    assert error == "seqserve: prompt: the text came to its own end, so there is no state to save\n"


async def test_a_state_is_base64_in_json(run: "Run", tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xff")
    given = ("--state-in", str(tmp_path / "a"), "--state-out", str(tmp_path / "a"))
    _, output, _ = await run("label", "fake", "Bo", *given, "--output", "json")
    assert base64.b64decode(json.loads(output)["state_token"]) == b"\xff+"


async def test_without_their_libraries_they_say_what_to_install(
    run: "Run", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "symusic", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.delitem(sys.modules, "seqserve.command.files.pictures", raising=False)
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
