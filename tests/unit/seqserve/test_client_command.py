"""The `seqserve` command against a real server: what it prints, and how it fails."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest

if TYPE_CHECKING:
    from tests.unit.seqserve.conftest import Run
    from tests.unit.seqserve.fake_server import FakeServer

TWO_SECONDS = {"queue_seconds": 0.25, "compute_seconds": 1.0, "total_seconds": 2.0}


def parsed(output: str) -> list[Any]:
    return [json.loads(line) for line in output.splitlines()]


async def test_classify_prints_each_text_and_its_labels(run: "Run") -> None:
    assert await run("classify", "fake", "a fine film", "a bad one") == (
        0,
        "a fine film\n  good   75.0%\n  bad    25.0%\na bad one\n  good   75.0%\n  bad    25.0%\n",
        "",
    )


async def test_classify_prints_json(run: "Run") -> None:
    code, output, _ = await run("classify", "fake", "a fine film", "--output", "json", "--top-label-count", "1")
    assert code == 0
    assert parsed(output) == [
        {
            "source": "a fine film",
            "model": "fake@3",
            "labels": [{"label": "good", "probability": 0.75}],
            "token_count": 3,
            "truncated": False,
        }
    ]


async def test_label_prints_each_word_with_its_labels_and_the_spans_below(run: "Run", server: "FakeServer") -> None:
    assert await run("label", "fake", "Mary Smith", "Bo", "--top-label-count", "1") == (
        0,
        "Mary   B-PER 75.0%\nSmith  B-PER 75.0%\n  PER: Mary Smith (75.0%)\n\nBo  B-PER 75.0%\n  PER: Bo (75.0%)\n\n",
        "",
    )
    assert [sequence.text for sequence in server.received[0].request.sequences] == ["Mary Smith", "Bo"]


async def test_label_reads_texts_from_standard_input_as_words_when_asked(run: "Run", server: "FakeServer") -> None:
    code, output, _ = await run("label", "fake", "--words", stdin="Mary Smith\n\nBo\n")
    assert (code, output.count("B-PER")) == (0, 3)
    assert [list(sequence.words) for sequence in server.received[0].request.sequences] == [["Mary", "Smith"], ["Bo"]]


async def test_label_sends_files_of_readings_and_names_their_rows(
    run: "Run", server: "FakeServer", tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("date,wind,humidity\n2012-01-01,1.5,80\n2012-01-02,2,NA\n")
    (tmp_path / "b.csv").write_text("wind,date\n3,2012-02-01\n")
    files = [option for name in "ab" for option in ("--features", str(tmp_path / f"{name}.csv"))]
    code, output, _ = await run("label", "fake", *files, "--key-column", "date", "--top-label-count", "1")
    assert code == 0
    assert output == "2012-01-01  B-PER 75.0%\n2012-01-02  B-PER 75.0%\n\n2012-02-01  B-PER 75.0%\n\n"
    sent = [[dict(row.features) for row in sequence.rows] for sequence in server.received[0].request.sequences]
    assert sent == [[{"wind": 1.5, "humidity": 80.0}, {"wind": 2.0}], [{"wind": 3.0}]]


async def test_label_prints_json(run: "Run", tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("wind\n1.5\n")
    _, texts, _ = await run("label", "fake", "Bo", "--output", "json", "--top-label-count", "1")
    assert parsed(texts) == [
        {
            "source": "Bo",
            "model": "fake@3",
            "steps": [{"labels": [{"label": "B-PER", "probability": 0.75}], "word": "Bo"}],
            "spans": [{"label": "PER", "first_step_index": 0, "last_step_index": 0, "score": 0.75}],
            "token_count": 2,
            "truncated": False,
            "state_token": None,
        }
    ]
    _, rows, _ = await run("label", "fake", "--features", str(tmp_path / "a.csv"), "--output", "json")
    assert parsed(rows)[0]["rows"] == ["1"]


async def test_label_splits_a_long_input_into_calls_that_the_server_takes(run: "Run", server: "FakeServer") -> None:
    code, _, _ = await run("label", "fake", stdin="Bo\n" * 70)
    assert (code, sorted(len(received.request.sequences) for received in server.received)) == (0, [6, 64])


async def test_translate_prints_a_line_for_each_line_of_standard_input(run: "Run", server: "FakeServer") -> None:
    lines = "abc\n\n  \nèxyz\r\nlast\n\n"
    assert await run("translate", "fake", stdin=lines) == (0, "cba\n\n\nzyxè\ntsal\n\n", "")
    assert list(server.received[0].request.texts) == ["abc", "èxyz", "last"]


async def test_translate_splits_a_long_input_into_calls_that_the_server_takes(run: "Run", server: "FakeServer") -> None:
    code, output, _ = await run("translate", "fake", stdin="".join(f"{index}\n" for index in range(130)))
    assert (code, output.splitlines()) == (0, [str(index)[::-1] for index in range(130)])
    assert sorted(len(received.request.texts) for received in server.received) == [2, 64, 64]


async def test_translate_prints_json(run: "Run") -> None:
    _, output, _ = await run("translate", "fake", "è", "--output", "json")
    assert parsed(output) == [
        {
            "source": "è",
            "model": "fake@3",
            "text": "è",
            "token_count": 1,
            "finish_reason": "length",
            "score": None,
            "token_scores": [],
            "attention": None,
            "source_token_count": 2,
            "alternatives": [],
            "truncated": False,
        }
    ]
    assert "è" in output


async def test_translate_prints_several_hypotheses_with_their_scores(run: "Run", server: "FakeServer") -> None:
    options = ("--beam-size", "3", "--hypothesis-count", "2", "--length-penalty", "1", "--min-p", "0.5")
    assert await run("translate", "fake", "abc", *options) == (0, "-0.5000\tcba\n-1.5000\tcba1\n", "")
    request = server.received[0].request
    assert (request.beam_size, request.length_penalty, request.min_p) == (3, 1.0, 0.5)


async def test_score_takes_pairs_from_the_line_or_from_standard_input(run: "Run", server: "FakeServer") -> None:
    assert await run("score", "fake", "a", "b", "c", "d") == (0, "-0.7500\ta\tb\n-0.7500\tc\td\n", "")
    assert await run("score", "fake", stdin="a\tb\n\n") == (0, "-0.7500\ta\tb\n", "")
    _, output, _ = await run("score", "fake", "a", "b", "--output", "json")
    assert (parsed(output)[0]["target"], parsed(output)[0]["log_probability"]) == ("b", -0.75)
    assert len(server.received) == 3


async def test_generate_prints_the_text_as_it_comes(run: "Run", server: "FakeServer") -> None:
    options = (
        "--temperature",
        "0.5",
        "--top-k",
        "3",
        "--top-p",
        "0.25",
        "--seed",
        "8",
        "--max-output-token-count",
        "9",
    )
    assert await run("generate", "fake", "one two", *options) == (0, "one two \n", "")
    request = server.received[0].request
    sent = (request.max_output_token_count, request.temperature, request.top_k, request.top_p, request.seed)
    assert sent == (9, 0.5, 3, 0.25, 8)


async def test_generate_prints_several_samples_under_their_numbers(run: "Run", server: "FakeServer") -> None:
    options = ("--stop-sequence", "x", "--stop-sequence", "y", "--banned-token", "z", "--repetition-penalty", "2")
    code, output, _ = await run("generate", "fake", "one", "--sample-count", "2", *options)
    assert (code, output) == (0, "--- 1\none 0 \n--- 2\none 1 \n")
    request = server.received[0].request
    assert (list(request.stop_sequences), list(request.banned_tokens)) == (["x", "y"], ["z"])
    assert request.repetition_penalty == 2.0


async def test_generate_prints_a_json_line_per_chunk(run: "Run") -> None:
    _, output, _ = await run("generate", "fake", "one two", "--output", "json")
    chunks = parsed(output)
    assert [chunk["text"] for chunk in chunks] == ["one ", "two ", ""]
    assert (chunks[0]["model_version"], chunks[0]["seed"]) == ({"name": "fake", "version": 3}, 77)
    assert (chunks[2]["finish_reason"], chunks[2]["timings"]) == ("stop", TWO_SECONDS)


async def test_models_prints_a_table_and_takes_no_markup_from_the_server(run: "Run") -> None:
    code, output, _ = await run("models")
    rows = [line.split(maxsplit=2) for line in output.splitlines()]
    assert code == 0
    assert [row[:2] for row in rows] == [
        ["model", "state"],
        ["fake-classifier@2", "active"],
        ["fake-broken@1", "failed"],
        ["fake-translator@1", "active"],
        ["fake-labeller@1", "active"],
    ]
    assert "bad, good" in output
    assert "no [such] graph" in output
    assert "en to it" in output


async def test_models_prints_json_of_one_model(run: "Run") -> None:
    _, output, _ = await run("models", "fake-classifier", "--output", "json")
    (model,) = parsed(output)
    assert (model["name"], model["state"], model["labels"]) == ("fake-classifier", "active", ["bad", "good"])


async def test_health_tells_by_word_and_exit_code(run: "Run") -> None:
    assert await run("health") == (0, "serving\n", "")
    assert await run("health", "idle") == (1, "not serving\n", "")
    assert await run("health", "idle", "--output", "json") == (1, '{"service": "idle", "serving": false}\n', "")


async def test_a_servers_error_is_one_line_with_its_reason(run: "Run", refuse: Callable[..., None]) -> None:
    refuse(grpc.StatusCode.INVALID_ARGUMENT, "too\nlong", reason="TEXT_TOO_LONG", field="texts[0]")
    assert await run("classify", "fake", "x") == (1, "", "seqserve: text 1: TEXT_TOO_LONG: too long (in texts[0])\n")


async def test_a_failure_in_mid_stream_is_reported_after_what_came_before(run: "Run") -> None:
    assert await run("generate", "fake", "broken") == (1, "broken ", "seqserve: INTERNAL: no more\n")


async def test_nobody_listening_is_one_line(run: "Run") -> None:
    code, output, error = await run("models", "--target", "127.0.0.1:1")
    assert (code, output) == (1, "")
    assert error.startswith("seqserve: UNAVAILABLE: ")
    assert error.count("\n") == 1


async def test_a_passed_deadline_is_one_line(run: "Run", server: "FakeServer") -> None:
    server.delay_seconds = 5
    code, _, error = await run("classify", "fake", "x", "--timeout-s", "0.2")
    assert (code, error) == (1, "seqserve: DEADLINE_EXCEEDED: Deadline Exceeded\n")


async def test_the_bare_command_shows_its_help(run: "Run") -> None:
    assert await run() == await run("--help")
    assert "translate" in (await run())[1]


async def test_the_command_tells_its_version(run: "Run") -> None:
    assert await run("--version") == (0, f"seqserve {version('seqserve')}\n", "")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(("nope",), "No such command", id="unknown verb"),
        pytest.param(("classify",), "Missing argument", id="no model"),
        pytest.param(("models", "--bogus"), "No such option", id="unknown option"),
        pytest.param(("models", "--output", "xml"), "--output", id="unknown format"),
        pytest.param(("models", "--timeout-s", "nan"), "timeout_s is nan", id="timeout that is no number"),
        pytest.param(("models", "--timeout-s", "0"), "timeout_s is 0.0", id="no time"),
        pytest.param(("generate", "fake", "--top-k", "0"), "--top-k", id="top_k of zero"),
        pytest.param(("generate", "fake", "--seed", str(2**63)), "--seed", id="seed beyond 63 bits"),
        pytest.param(("generate", "fake", "\udcff"), "UTF-8", id="prompt that is no UTF-8"),
        pytest.param(("translate", "fake", "\udcff"), "UTF-8", id="text that is no UTF-8"),
        pytest.param(("translate", "fake", "x", "--beam-size", "33"), "--beam-size", id="beam beyond 32"),
        pytest.param(("score", "fake", "a", "b", "c"), "needs a translation", id="text without a translation"),
        pytest.param(("label", "fake", "Bo", "--features", "x.csv"), "not both", id="texts and files"),
        pytest.param(("label", "fake", "--words", "--features", "x.csv"), "not both", id="words and files"),
        pytest.param(("label", "fake", "--features", "none.csv"), "none.csv: No such file", id="no such file"),
    ],
)
async def test_a_wrong_usage_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...], expected: str, run: "Run", server: "FakeServer"
) -> None:
    code, output, error = await run(*arguments)
    assert (code, output, server.received) == (2, "", [])
    assert error.startswith("seqserve: ")
    assert expected in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("verb", ["classify", "label", "generate", "translate", "score", "models", "health"])
async def test_every_verb_has_help(verb: str, run: "Run") -> None:
    code, output, _ = await run(verb, "--help")
    assert code == 0
    assert "SEQSERVE_TARGET" in output


async def test_ctrl_c_ends_a_generation_here_and_on_the_server(server: "FakeServer") -> None:
    code = "from seqserve.command import main; main(['generate', 'fake', 'endless'])"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        env={**os.environ, "SEQSERVE_TARGET": server.target},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert await process.stdout.readexactly(6) == b"la la "
    process.send_signal(signal.SIGINT)
    _, error = await asyncio.wait_for(process.communicate(), 20)
    assert (process.returncode, error) == (130, b"")
    await asyncio.wait_for(server.endless_stream_left.wait(), 5)


@pytest.mark.parametrize(("keep", "sent"), [((), 0), (("--keep", "beginning"), 2), (("--keep", "end"), 3)])
@pytest.mark.parametrize("verb", ["classify", "label", "translate"])
async def test_keep_says_which_part_of_a_long_text_is_read(
    run: "Run", server: "FakeServer", verb: str, keep: Sequence[str], sent: int
) -> None:
    code, _, _ = await run(verb, "fake", "Mary Smith", *keep)
    assert (code, server.received[0].request.truncation) == (0, sent)
