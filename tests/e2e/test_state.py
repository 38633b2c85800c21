"""State tokens between real server processes: texts go on after a kill, and what does not fit is refused by reason."""

import itertools
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import grpc
import psutil
import pytest

from demo.server import ServerProcess
from seqserve.v1 import inference_service_pb2 as inference
from service.state.keys import new_key_line, read_keys
from tests.bundles import publish_tiny
from tests.e2e.calls import (
    FORECASTER,
    GENERATOR,
    Client,
    client_of,
    eventually,
    publish_all,
    refused,
    rows,
    running_server,
    sample,
    text,
)
from tests.e2e.test_commands import LEAN, run
from tests.e2e.test_workers import SLOW_START_SECONDS, new_connection

PROMPT, COUNT = "X:1\nK:G\n", 200
DAYS = [{"temperature": 4.0 + day, "humidity": 60.0, "wind": 1.0} for day in range(12)]
BOTH_DIRECTIONS = "tiny-both"
ANSWERED = (
    'grpc_server_handled_total{grpc_code="OK",grpc_method="GenerateText",'
    'grpc_service="seqserve.v1.InferenceService",grpc_type="server_stream"'
)
PRECONDITION, INVALID = grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = publish_all(tmp_path_factory.mktemp("repository") / "models")
    publish_tiny(folder, "labelling-features", name=BOTH_DIRECTIONS, plain=True)
    publish_tiny(folder, "generation", name="tiny-other", seed=1)
    return folder


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return key_file(tmp_path_factory.mktemp("keys"), new_key_line("first"))


@pytest.fixture(scope="module")
def keyed(models: Path, keys: Path) -> Iterator[ServerProcess]:
    with running_server(models, *LEAN, "--state-keys", str(keys)) as server:
        yield server


@pytest.fixture
def keyed_client(keyed: ServerProcess) -> Iterator[Client]:
    with client_of(keyed) as client:
        yield client


def key_file(folder: Path, content: str) -> Path:
    path = folder / "state-keys"
    path.touch(mode=0o600)
    path.write_text(content)
    return path


def request(**fields: object) -> inference.GenerateTextRequest:
    """A long sampled text under penalties, which brings a token every 8 tokens."""
    options: dict[str, object] = {
        "prompt": PROMPT, "max_output_token_count": COUNT, "min_output_token_count": COUNT, "seed": 7,
        "temperature": 0.9, "repetition_penalty": 1.2, "no_repeat_ngram_size": 6, "stop_sequences": ["\N{SNOWMAN}"],
        "include_state_token": True, "state_token_interval": 8,
    }  # fmt: skip
    return inference.GenerateTextRequest(model=GENERATOR, **(options | fields))  # type: ignore[arg-type]


def joined(messages: Sequence[inference.GenerateTextResponse]) -> str:
    return "".join(message.text for message in messages)


def token_of(client: Client) -> bytes:
    """A token from the middle of a text."""
    short = request(max_output_token_count=3, min_output_token_count=3)
    token = list(client.inference.GenerateText(short, timeout=20))[-1].state_token
    assert token
    return token


def test_a_text_goes_on_elsewhere_after_its_server_was_killed(models: Path, keys: Path) -> None:
    received: list[inference.GenerateTextResponse] = []
    with running_server(models, "--state-keys", str(keys)) as first, client_of(first) as client:
        stream = client.inference.GenerateText(request(), timeout=20)
        children = psutil.Process(first.process.pid).children()
        for message in stream:
            received.append(message)
            if sum(one.token_count for one in received) > COUNT // 3:
                psutil.Process(first.process.pid).suspend()  # whatever it still had to say is lost with it
                break
        for process in (psutil.Process(first.process.pid), *children):
            os.kill(process.pid, signal.SIGKILL)
        first.process.wait(10)
        stream.cancel()
    last = max(index for index, message in enumerate(received) if message.state_token)
    with running_server(models, "--state-keys", str(keys)) as second, client_of(second) as client:
        again = client.generate(state_token=received[last].state_token)
        whole = list(client.inference.GenerateText(request(), timeout=20))
    extra = joined(received[last + 1 :])
    assert joined(again).startswith(extra)
    assert joined(received) + joined(again)[len(extra) :] == joined(whole)
    assert again[0].first_token_index == received[last].first_token_index + received[last].token_count
    assert again[0].seed == 7
    assert again[-1].finish_reason == inference.FINISH_REASON_LENGTH


def test_every_message_with_a_token_ends_where_the_token_stands(keyed_client: Client) -> None:
    messages = list(keyed_client.inference.GenerateText(request(), timeout=20))
    ends = [one.first_token_index + one.token_count for one in messages if one.state_token]
    assert ends == list(range(8, COUNT + 1, 8))
    for before, after in itertools.pairwise(messages):
        assert after.first_token_index == before.first_token_index + before.token_count


def test_tomorrows_rows_continue_yesterdays_on_another_server(models: Path, keys: Path, keyed_client: Client) -> None:
    yesterday = keyed_client.label(rows(*DAYS[:7]), model=FORECASTER, include_state_token=True).sequences[0]
    whole = keyed_client.label(rows(*DAYS), model=FORECASTER).sequences[0]
    tomorrow = rows(*DAYS[7:])
    tomorrow.state_token = yesterday.state_token
    with running_server(models, *LEAN, "--state-keys", str(keys)) as other, client_of(other) as client:
        found = client.label(tomorrow, model=FORECASTER).sequences[0]
    assert list(yesterday.steps) + list(found.steps) == list(whole.steps)
    assert not found.state_token


def test_workers_share_an_ephemeral_key_which_nobody_sees(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQSERVE_EPHEMERAL_STATE_KEY", "true")
    with running_server(models, *LEAN, "--workers", "2") as server:
        with client_of(server) as client:
            token = token_of(client)
        texts = set()
        for _ in range(16):
            with new_connection(server.target) as channel:
                texts.add(joined(Client(server.target, channel).generate(state_token=token)))
        answered = [sample(server, f'{ANSWERED},worker="{worker}"}}') for worker in "01"]
        (path,) = {
            word.split('"state_keys":"')[1].split('"')[0]
            for worker in psutil.Process(server.process.pid).children()
            for word in worker.cmdline()
            if '"state_keys":"' in word
        }
        (key,) = read_keys(Path(path))
        shown = "".join(server.log) + str([one.cmdline() for one in psutil.Process(server.process.pid).children()])
        assert key.secret.hex() not in shown
    assert len(texts) == 1
    assert min(answered) > 0, "all sixteen connections ended at one worker, as happens once in 32,768 times"
    assert not Path(path).exists()


def test_a_worker_that_is_replaced_has_the_keys_that_the_server_began_with(models: Path, tmp_path: Path) -> None:
    keys = key_file(tmp_path, new_key_line("first"))
    with running_server(models, *LEAN, "--workers", "2", "--state-keys", str(keys)) as server:
        with client_of(server) as client:
            token = token_of(client)
        keys.write_text(new_key_line("second"))
        psutil.Process(server.process.pid).children()[0].kill()
        eventually(lambda: sum(sample(server, restarts(worker)) for worker in "01") == 1)
        ready = [f'seqserve_worker_ready{{worker="{worker}"}}' for worker in "01"]
        eventually(lambda: all(sample(server, series) for series in ready), seconds=SLOW_START_SECONDS)
        for _ in range(16):
            with new_connection(server.target) as channel:
                assert Client(server.target, channel).generate(state_token=token)
        answered = [sample(server, f'{ANSWERED},worker="{worker}"}}') for worker in "01"]
    assert min(answered) > 0, "all sixteen connections ended at one worker, as happens once in 32,768 times"


def restarts(worker: str) -> str:
    return f'seqserve_worker_restarts_total{{worker="{worker}"}}'


def test_keys_are_rotated_by_their_ids(models: Path, keys: Path, keyed_client: Client, tmp_path: Path) -> None:
    token, new = token_of(keyed_client), new_key_line("second")
    both = key_file(tmp_path, new + keys.read_text())
    with running_server(models, *LEAN, "--state-keys", str(both)) as server, client_of(server) as client:
        assert client.generate(state_token=token)
        newer = token_of(client)
    refusal = refused(lambda: keyed_client.generate(state_token=newer))
    assert (refusal.code, refusal.reason, refusal.fields) == (
        PRECONDITION, "STATE_TOKEN_UNKNOWN_KEY", ("state_token",),
    )  # fmt: skip
    assert "'second'" in refusal.message


def test_a_token_expires(models: Path, keys: Path) -> None:
    flags = (*LEAN, "--state-keys", str(keys), "--state-token-seconds", "1")
    with running_server(models, *flags) as server, client_of(server) as client:
        token = token_of(client)
        time.sleep(2.1)
        refusal = refused(lambda: client.generate(state_token=token))
        assert (refusal.code, refusal.reason) == (PRECONDITION, "STATE_TOKEN_EXPIRED")
        assert client.generate(state_token=token_of(client))


def test_tokens_that_were_tampered_with_are_refused_and_the_server_goes_on(
    keyed: ServerProcess, keyed_client: Client
) -> None:
    token = token_of(keyed_client)
    flipped = [bytes([*token[:i], token[i] ^ 1 << i % 8, *token[i + 1 :]]) for i in range(0, len(token), 7)]
    for bad in (*flipped, token[:-1], token[:40], token + b"\0", b"\1", b"x" * 100_000):
        refusal = refused(lambda bad=bad: keyed_client.generate(state_token=bad))  # type: ignore[misc]
        assert refusal.reason in {"STATE_TOKEN_INVALID", "STATE_TOKEN_UNKNOWN_KEY", "STATE_TOKEN_OTHER_VERSION"}
        assert refusal.fields == ("state_token",)
    assert keyed_client.generate(state_token=token)
    series = f'seqserve_requests_rejected_total{{model="{GENERATOR}",reason="STATE_TOKEN_INVALID"}}'
    assert sample(keyed, series) > 10
    assert "Traceback" not in "".join(keyed.log)


def test_a_token_is_good_for_its_own_model_and_method(keyed_client: Client) -> None:
    token = token_of(keyed_client)
    other = refused(lambda: keyed_client.generate(model="tiny-other", state_token=token, allow_inexact_state=True))
    assert (other.code, other.reason, other.fields) == (PRECONDITION, "STATE_TOKEN_OTHER_MODEL", ("state_token",))
    assert other.facts["digest"] == keyed_client.model("tiny-other").digest
    day = rows(*DAYS)
    day.state_token = token
    labelled = refused(lambda: keyed_client.label(rows(*DAYS), day, model=FORECASTER))
    assert (labelled.reason, labelled.fields) == ("STATE_TOKEN_OTHER_MODEL", ("sequences[1].state_token",))
    wrong = refused(lambda: keyed_client.generate(model=FORECASTER, state_token=token))
    assert wrong.reason == "WRONG_TASK"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        pytest.param({"state_token_interval": 4}, "state_token_interval", id="on the way, without asking for tokens"),
        pytest.param(
            {"state_token_interval": 0, "include_state_token": True}, "state_token_interval", id="after 0 tokens"
        ),
        pytest.param(
            {"state_token_interval": -1, "include_state_token": True}, "state_token_interval", id="after -1 tokens"
        ),
    ],
)
def test_an_interval_that_cannot_be_is_refused_by_field(
    keyed_client: Client, fields: dict[str, object], field: str
) -> None:
    refusal = refused(lambda: keyed_client.generate(GENERATOR, prompt=PROMPT, **fields))
    assert (refusal.code, refusal.reason, refusal.fields) == (INVALID, "INVALID_ARGUMENT", (field,))


def test_options_of_a_text_that_goes_on_are_checked_together_with_its_own(keyed_client: Client) -> None:
    short = request(max_output_token_count=3, min_output_token_count=3, temperature=0, seed=None)
    greedy = list(keyed_client.inference.GenerateText(short, timeout=20))
    refusal = refused(lambda: keyed_client.generate(state_token=greedy[-1].state_token, sample_count=2))
    assert (refusal.code, refusal.fields) == (INVALID, ("sample_count",))
    assert keyed_client.generate(state_token=greedy[-1].state_token, sample_count=2, temperature=1)


def test_a_model_tells_whether_it_carries_state_and_its_numerics_class(keyed_client: Client) -> None:
    generator, both = keyed_client.model(GENERATOR), keyed_client.model(BOTH_DIRECTIONS)
    assert (generator.carries_state, both.carries_state) == (True, False)
    assert generator.numerics_class.startswith("fp32/cpu/")
    assert generator.exact
    refusal = refused(lambda: keyed_client.label(rows(*DAYS), model=BOTH_DIRECTIONS, include_state_token=True))
    assert (refusal.code, refusal.reason, refusal.fields) == (PRECONDITION, "STATE_NOT_CARRIED", ("model",))


def test_a_server_without_keys_says_which_setting_is_missing(models: Path) -> None:
    with running_server(models, *LEAN) as server, client_of(server) as client:
        for call in (
            lambda: client.generate(prompt=PROMPT, include_state_token=True),
            lambda: client.generate(state_token=b"x"),
            lambda: client.label(rows(*DAYS), model=FORECASTER, include_state_token=True),
        ):
            refusal = refused(call)
            assert (refusal.code, refusal.reason) == (PRECONDITION, "STATE_KEYS_MISSING")
            assert "--state-keys FILE" in refusal.message
        assert client.label(text("Mary")).sequences


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        pytest.param("first abc\n", 0o600, "line 1 is no key; expected an id", id="malformed"),
        pytest.param("", 0o600, "holds no key", id="empty"),
        pytest.param(new_key_line("a"), 0o644, "may be read or changed by others (mode 644)", id="everybody's"),
    ],
)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_key_file_that_cannot_be_used_is_one_line_and_exit_code_2(
    models: Path, tmp_path: Path, content: str, mode: int, message: str, workers: str
) -> None:
    path = key_file(tmp_path, content)
    path.chmod(mode)
    flags = ["--models", str(models), "--log-level", "error", "--grpc-address", "127.0.0.1:0", "--workers", workers]
    done = run("serve", *flags, "--metrics-address", "127.0.0.1:0", "--state-keys", str(path))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"error: state_keys: {path} ")
    assert message in done.stderr
