"""The `seqserve` command on many inputs: files, pipes that wait, refusals in their place, tables, progress."""

import asyncio
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from tests.trained import ROOT

if TYPE_CHECKING:
    from tests.unit.seqserve.conftest import Run
    from tests.unit.seqserve.fake_server import FakeServer

SECONDS = 20
NO_VARIABLES: Mapping[str, str] = {}


async def started(
    server: "FakeServer", *arguments: str, stderr: int = subprocess.PIPE,
    variables: Mapping[str, str] = NO_VARIABLES, redirection: str = "",
) -> asyncio.subprocess.Process:  # fmt: skip
    """The installed command, in a process of its own, with pipes or a shell's `redirection` instead of one.

    Of this checkout, whichever is installed.
    """
    script = Path(sys.executable).parent / "seqserve"
    own = {"PYTHONPATH": str(ROOT), "SEQSERVE_TARGET": server.target, "TERM": "xterm"}
    return await asyncio.create_subprocess_exec(
        "sh", "-c", f'exec "$@" {redirection}', "sh", script, *arguments, env={**os.environ, **own, **variables},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr,
    )  # fmt: skip


async def output_of(process: asyncio.subprocess.Process, given: bytes = b"") -> tuple[int | None, str, str]:
    """Wait for its end: exit code, standard output, standard error."""
    output, error = await asyncio.wait_for(process.communicate(given), SECONDS)
    return process.returncode, output.decode(), (error or b"").decode()


async def test_a_file_is_answered_line_by_line(run: "Run", server: "FakeServer", tmp_path: Path) -> None:
    (tmp_path / "texts").write_bytes(b"\xef\xbb\xbfabc\r\n\nxyz")
    assert await run("translate", "fake", "--input", str(tmp_path / "texts")) == (0, "cba\n\nzyx\n", "")
    assert list(server.received[0].request.texts) == ["abc", "xyz"]


async def test_a_dash_is_standard_input(run: "Run") -> None:
    assert await run("translate", "fake", "--input", "-", stdin="abc\n") == (0, "cba\n", "")


@pytest.mark.parametrize(
    ("arguments", "stdin", "expected"),
    [
        pytest.param(("translate", "fake", "--input", "none.txt"), "", "none.txt: No such file", id="no file"),
        pytest.param(("translate", "fake", "text", "--input", "x"), "", "not both", id="texts and a file"),
        pytest.param(("generate", "fake", "text", "--input", "x"), "", "not both", id="a prompt and a file"),
        pytest.param(("score", "fake"), "a\tb\nno tab\n", "no tabulator in line 2", id="no translation in a line"),
        pytest.param(("models", "--token", "s3cret"), "", "a token needs TLS", id="a token in plaintext"),
        pytest.param(("models", "--tls-key", "k.pem"), "", "needs both", id="a key without its certificate"),
        pytest.param(("models", "--tls-ca", "k.pem"), "", "k.pem: No such file", id="no certificate"),
    ],
)
async def test_what_cannot_be_read_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...], stdin: str, expected: str, run: "Run"
) -> None:
    code, _, error = await run(*arguments, stdin=stdin)
    assert (code, error.count("\n")) == (2, 1)
    assert expected in error
    assert "s3cret" not in error


async def test_a_line_that_is_not_utf_8_is_named(run: "Run", tmp_path: Path) -> None:
    (tmp_path / "texts").write_bytes(b"abc\n\xff\n")
    code, _, error = await run("classify", "fake", "--input", str(tmp_path / "texts"))
    assert (code, "line 2 is not UTF-8" in error) == (2, True)


async def test_a_refused_line_keeps_its_place_and_the_others_are_answered(run: "Run") -> None:
    code, output, error = await run("translate", "fake", stdin="abc\n\nbad one\nxyz\n")
    assert (code, output) == (1, "cba\n\n\nzyx\n")
    assert error == "seqserve: line 3: INVALID_ARGUMENT: texts[1] is bad\n"


async def test_a_refused_line_is_told_in_json_too(run: "Run") -> None:
    code, output, _ = await run("score", "fake", "--output", "json", stdin="bad\tb\na\tb\n")
    refused, scored = map(json.loads, output.splitlines())
    assert (code, refused["source"], refused["target"]) == (1, "bad", "b")
    assert (refused["error"]["reason"], refused["error"]["facts"]) == ("INVALID_ARGUMENT", {"field": "x"})
    assert scored["log_probability"] == -0.75


async def test_what_concerns_all_lines_ends_the_run(run: "Run", server: "FakeServer") -> None:
    server.delay_seconds = 5
    code, output, error = await run("translate", "fake", "--timeout-s", "0.2", stdin="abc\n" * 100)
    assert (code, output, error) == (1, "", "seqserve: DEADLINE_EXCEEDED: Deadline Exceeded\n")


async def test_many_prompts_are_continued_in_order(run: "Run") -> None:
    code, output, _ = await run("generate", "fake", "--input", "-", stdin="one\ntwo 2\n")
    assert (code, output) == (0, "one \ntwo 2 \n")
    _, output, _ = await run("generate", "fake", "--input", "-", "--sample-count", "2", "--output", "json", stdin="a\n")
    assert [(line["source"], line["text"]) for line in map(json.loads, output.splitlines())] == [
        ("a", "a 0 "),
        ("a", "a 1 "),
    ]


@pytest.mark.parametrize(
    ("arguments", "rows"),
    [
        pytest.param(
            ("classify", "fake", "a film"),
            [["text", "label", "probability"], ["a", "film", "good", "75.0%"], ["bad", "25.0%"]],
            id="classify",
        ),
        pytest.param(
            ("label", "fake", "Mary", "--top-label-count", "1"),
            [["sequence", "step", "labels", "spans"], ["Mary", "Mary", "B-PER", "75.0%"], ["PER:", "Mary", "(75.0%)"]],
            id="label",
        ),
        pytest.param(
            ("translate", "fake", "ab", "--beam-size", "2", "--hypothesis-count", "2"),
            [["text", "translation", "score"], ["ab", "ba", "-0.5000"], ["ba1", "-1.5000"]],
            id="translate",
        ),
        pytest.param(
            ("score", "fake", "a", "[b]"), [["log_probability", "text", "translation"], ["-0.7500", "a", "[b]"]],
            id="score",
        ),
        pytest.param(
            ("generate", "fake", "one"), [["prompt", "text", "tokens", "finish_reason"], ["one", "one", "1", "stop"]],
            id="generate",
        ),
    ],
)  # fmt: skip
async def test_a_table_comes_at_the_end(arguments: tuple[str, ...], rows: list[list[str]], run: "Run") -> None:
    code, output, _ = await run(*arguments, "--output", "table")
    assert (code, [line.split() for line in output.splitlines()]) == (0, rows)


async def test_models_are_tabbed_lines_as_text(run: "Run") -> None:
    _, output, _ = await run("models", "fake-labeller", "--output", "text")
    assert output == "fake-labeller@1\tactive\tlabelling\t\t\tdry, rain\n"


async def test_a_line_is_answered_before_the_next_one_comes(server: "FakeServer") -> None:
    process = await started(server, "translate", "fake")
    assert process.stdin is not None
    assert process.stdout is not None
    for word in (b"abc", b"xyz"):
        process.stdin.write(word + b"\n")
        assert await asyncio.wait_for(process.stdout.readline(), SECONDS) == word[::-1] + b"\n"
    assert await output_of(process) == (0, "", "")


async def test_where_a_run_broke_off_is_told(server: "FakeServer", refuse: Callable[..., None]) -> None:
    process = await started(server, "translate", "fake", "--output", "table")
    assert process.stdin is not None
    process.stdin.write(b"abc\n\n")
    async with asyncio.timeout(SECONDS):
        while server.delayed or not server.received:  # noqa: ASYNC110 - the server sets no event
            await asyncio.sleep(0.01)
    refuse(grpc.StatusCode.INTERNAL, "no more")
    code, output, error = await output_of(process, b"xyz\nlast\n")
    assert (code, error) == (1, "seqserve: from line 3 on: INTERNAL: no more\n")
    assert [line.split() for line in output.splitlines()] == [["text", "translation", "score"], ["abc", "cba"]]


async def test_a_full_disk_is_one_line(server: "FakeServer") -> None:
    process = await started(server, "translate", "fake", "abc", redirection=">/dev/full")
    assert await output_of(process) == (1, "", "seqserve: No space left on device\n")


async def test_streams_that_are_closed_are_no_riddle(server: "FakeServer") -> None:
    code, _, error = await output_of(await started(server, "translate", "fake", redirection="<&-"))
    assert (code, "standard input is closed" in error) == (2, True)
    assert await output_of(await started(server, "models", redirection=">&-")) == (0, "", "")


async def test_a_reader_that_leaves_ends_the_command_without_a_word(server: "FakeServer") -> None:
    process = await started(server, "translate", "fake")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"abc\n")
    assert await asyncio.wait_for(process.stdout.readline(), SECONDS) == b"cba\n"
    process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
    assert await output_of(process, b"abc\n" * 1000) == (1, "", "")


async def test_progress_is_shown_on_a_terminal_that_shows_no_answers(server: "FakeServer", tmp_path: Path) -> None:
    (tmp_path / "texts").write_text("abc\n" * 300)
    terminal, its_end = pty.openpty()
    process = await started(server, "translate", "fake", "--input", str(tmp_path / "texts"), stderr=its_end)
    os.close(its_end)
    code, output, _ = await output_of(process)
    shown = os.read(terminal, 1 << 16).decode()
    os.close(terminal)
    assert (code, output) == (0, "cba\n" * 300)
    assert "/300" in shown


async def test_no_progress_is_written_into_a_file(server: "FakeServer", tmp_path: Path) -> None:
    (tmp_path / "texts").write_text("abc\n" * 300)
    process = await started(server, "translate", "fake", "--input", str(tmp_path / "texts"))
    assert await output_of(process) == (0, "cba\n" * 300, "")


async def completions(server: "FakeServer", *words: str) -> list[str]:
    """What bash would offer for the last of some words."""
    line = {"COMP_WORDS": " ".join(("seqserve", *words)), "COMP_CWORD": str(len(words))}
    variables = {"_SEQSERVE_COMPLETE": "complete_bash", **line}
    _, output, _ = await output_of(await started(server, variables=variables))
    return output.split()


async def test_the_shell_completes_verbs_options_and_models(server: "FakeServer") -> None:
    assert await completions(server, "tr") == ["translate"]
    assert await completions(server, "translate", "--be") == ["--beam-size"]
    assert await completions(server, "translate", "fake-l") == ["fake-labeller"]


async def test_the_shell_offers_no_models_where_no_server_is(server: "FakeServer") -> None:
    server.target = "127.0.0.1:1"
    assert await completions(server, "translate", "fake-l") == []


async def test_the_script_for_the_shell_can_be_had(server: "FakeServer") -> None:
    named = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}  # else typer looks for a shell among who started it
    code, output, _ = await output_of(await started(server, "--show-completion", "bash", variables=named))
    assert (code, "_SEQSERVE_COMPLETE=complete_bash" in output) == (0, True)
