"""The stock Triton client, sync, by callback, streaming and asyncio, against a real server; it must work unchanged.

It runs as a process of its own (`stock_client.py`). What it gets must be what the own API says, bit for bit.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demo.server import ServerProcess
from seqserve.v1 import inference_service_pb2 as inference
from tests.e2e.calls import CLASSIFIER, FORECASTER, GENERATOR, TAGGER, TRANSLATOR, Client, publish_all, running_server
from tests.e2e.calls import rows as as_rows
from tests.e2e.calls import text as as_text
from tests.e2e.stock_inputs import FEATURES, LENGTHS, MELODY, PROMPT, READINGS, SEARCH, SENTENCES, SOURCES, TEXTS
from tests.trained import ROOT

SCENARIOS = (
    "servers_and_models", "texts_in", "tensors_in", "outputs_chosen", "parameters_given", "refusals", "callbacks",
    "stream", "ordered_stream", "stream_with_statuses", "cancelled_stream", "statistics", "aio",
)  # fmt: skip
INVALID, UNIMPLEMENTED = "StatusCode.INVALID_ARGUMENT", "StatusCode.UNIMPLEMENTED"
Found = dict[str, Any]


def ask(server: ServerProcess, *scenarios: str) -> Found:
    """Let the stock client play scenarios, in a process that knows the tests and none of our stubs."""
    command = [sys.executable, str(ROOT / "tests" / "e2e" / "stock_client.py"), server.target, *scenarios]
    done = subprocess.run(
        command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found: Found = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def played(server: ServerProcess) -> Found:
    return ask(server, *SCENARIOS)


@pytest.fixture
def stock(played: Found, request: pytest.FixtureRequest) -> Any:
    """What one scenario found, by the marker's name."""
    name = request.node.get_closest_marker("scenario").args[0]
    assert "failed" not in played[name], played[name]["failed"]
    return played[name]["found"]


def float32(values: Any) -> Any:
    return np.array(values, dtype=np.float32).tolist()


def labels_and_scores(found: inference.Classification) -> tuple[list[str], list[float]]:
    return [one.label for one in found.labels], [one.probability for one in found.labels]


# Servers and models


@pytest.mark.scenario("servers_and_models")
def test_the_server_and_its_models_are_seen(stock: Found) -> None:
    assert [stock[name] for name in ("live", "ready", "model ready", "version ready")] == [True] * 4
    assert stock["server"]["name"] == "seqserve"
    assert "statistics" in stock["server"]["extensions"]
    assert stock["metadata"]["versions"] == ["1"]
    assert [one["name"] for one in stock["metadata"]["inputs"]] == ["texts", "token_ids", "lengths"]
    assert stock["config"]["model_transaction_policy"] == {"decoupled": True}
    assert [one["state"] for one in stock["index"]] == ["READY"] * 5


@pytest.mark.scenario("servers_and_models")
@pytest.mark.parametrize(
    ("case", "status"),
    [
        ("unknown model", "StatusCode.NOT_FOUND"),
        ("unknown version", "StatusCode.NOT_FOUND"),
        ("no version", INVALID),
    ],
)
def test_a_model_that_is_not_there_is_an_error_with_its_status(stock: Found, case: str, status: str) -> None:
    assert stock[case]["status"] == status


# Texts and tensors


@pytest.mark.scenario("texts_in")
def test_texts_are_classified_as_the_own_api_does(stock: Found, client: Client) -> None:
    answer = client.classify(*TEXTS)
    found = stock[CLASSIFIER]
    assert (found["id"], found["model"]) == ("id é 1", f"{CLASSIFIER}@1")
    expected = [labels_and_scores(one) for one in answer.classifications]
    assert list(zip(found["outputs"]["labels"], found["outputs"]["scores"], strict=True)) == expected
    for same in ("column", "gzip"):
        assert stock[same]["outputs"] == found["outputs"]


@pytest.mark.scenario("texts_in")
def test_logits_probabilities_and_scores_agree(stock: Found) -> None:
    outputs = stock[CLASSIFIER]["outputs"]
    weights = np.exp(np.array(outputs["logits"]))
    shares = weights / weights.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(outputs["probabilities"], shares, rtol=1e-6)
    assert [sorted(row) for row in outputs["probabilities"]] == [sorted(row) for row in outputs["scores"]]


@pytest.mark.scenario("texts_in")
def test_timings_come_as_parameters_and_add_up(stock: Found) -> None:
    times = stock[CLASSIFIER]["parameters"]
    assert set(times) == {"queue_seconds", "compute_seconds", "total_seconds"}
    assert 0 <= times["queue_seconds"] + times["compute_seconds"] <= times["total_seconds"] < 20


@pytest.mark.scenario("texts_in")
def test_sentences_are_tagged_as_the_own_api_does_and_padded(stock: Found, client: Client) -> None:
    answer = client.label(*map(as_text, SENTENCES))
    outputs = stock[TAGGER]["outputs"]
    assert outputs["lengths"] == [[len(one.steps)] for one in answer.sequences]
    for place, sequence in enumerate(answer.sequences):
        count = len(sequence.steps)
        assert outputs["words"][place][:count] == [step.word for step in sequence.steps]
        for step, labels, scores in zip(
            sequence.steps, outputs["labels"][place], outputs["scores"][place], strict=False
        ):
            assert labels == [one.label for one in step.labels]
            assert scores == [one.probability for one in step.labels]
        assert all(word == "" for word in outputs["words"][place][count:])
        assert not np.any(outputs["probabilities"][place][count:])


@pytest.mark.scenario("texts_in")
def test_texts_are_translated_as_the_own_api_does(stock: Found, client: Client) -> None:
    answer = client.translate(*SOURCES, **SEARCH, include_token_scores=True)
    outputs = stock[TRANSLATOR]["outputs"]
    found: list[list[Any]] = [[one, *one.alternatives] for one in answer.translations]
    assert outputs["translations"] == [[one.text for one in row] for row in found]
    assert outputs["scores"] == [[one.score for one in row] for row in found]
    assert outputs["token_counts"] == [[one.token_count for one in row] for row in found]
    assert outputs["source_token_counts"] == [[one.source_token_count] for one in answer.translations]
    assert {reason for row in outputs["finish_reasons"] for reason in row} <= {"stop", "length"}
    greedy = client.translate(*SOURCES)
    assert stock["greedy"]["outputs"]["translations"] == [[one.text] for one in greedy.translations]


@pytest.mark.scenario("tensors_in")
def test_token_ids_give_logits_of_a_classifier_and_padding_changes_nothing(stock: Found) -> None:
    outputs = stock[CLASSIFIER]["outputs"]
    assert np.shape(outputs["logits"]) == np.shape(outputs["probabilities"]) == (2, 2)
    assert stock["narrow"]["outputs"] == outputs


@pytest.mark.scenario("tensors_in")
def test_token_ids_give_logits_of_every_step_of_a_labeller(stock: Found) -> None:
    outputs = stock[TAGGER]["outputs"]
    assert outputs["lengths"] == [[length] for length in LENGTHS]
    assert np.shape(outputs["logits"]) == (2, 4, 5)
    assert not np.any(outputs["logits"][1][2:])
    assert outputs["words"] == [[""] * 4] * 2


@pytest.mark.scenario("tensors_in")
def test_readings_are_labelled_as_the_own_api_does(stock: Found, client: Client) -> None:
    given = [as_rows(*[dict(zip(FEATURES, row, strict=True)) for row in sequence]) for sequence in READINGS]
    answer = client.label(*given, model=FORECASTER)
    outputs = stock[FORECASTER]["outputs"]
    expected = [[[one.label for one in step.labels] for step in sequence.steps] for sequence in answer.sequences]
    assert outputs["labels"] == expected
    scores = [[[one.probability for one in step.labels] for step in sequence.steps] for sequence in answer.sequences]
    assert outputs["scores"] == scores
    np.testing.assert_allclose(stock["single"]["outputs"]["logits"], outputs["logits"], atol=1e-5)


@pytest.mark.scenario("outputs_chosen")
def test_chosen_outputs_come_in_their_order_and_as_classes(stock: Found) -> None:
    outputs = stock["chosen"]["outputs"]
    assert list(outputs) == ["probabilities", "logits"]
    for classes, row in zip(outputs["probabilities"], outputs["logits"], strict=True):
        value, index, label = classes[0].split(":")
        assert (int(index), label) == (int(np.argmax(row)), ("negative", "positive")[int(np.argmax(row))])
        assert 0.5 <= float(value) <= 1
    assert stock["unknown"]["status"] == INVALID


# Parameters and refusals


@pytest.mark.scenario("parameters_given")
def test_parameters_do_what_the_own_apis_fields_do(stock: Found, client: Client) -> None:
    assert np.shape(stock["top"]["outputs"]["labels"]) == (2, 6, 1)
    sampled = client.translate(*SOURCES, temperature=0.5, seed=5)
    assert stock["sampled"]["outputs"]["translations"] == [[one.text] for one in sampled.translations]
    assert stock["sampled"]["parameters"]["seed"] == 5
    assert stock["reserved"]["outputs"]["labels"]


@pytest.mark.scenario("parameters_given")
@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("too wide", "beam_size is 33, expected 1 to 32"),
        ("wrong type", "parameters[beam_size] is 'wide', expected an integer"),
        ("unknown", "parameters has 'beam_sise', which the model does not take"),
        ("of another task", "it takes top_label_count"),
        ("sequence", "this server keeps no sequences"),
    ],
)
def test_a_parameter_that_cannot_be_is_refused_by_name(stock: Found, case: str, message: str) -> None:
    assert stock[case]["status"] == INVALID
    assert message in stock[case]["message"]


@pytest.mark.scenario("refusals")
@pytest.mark.parametrize(
    ("case", "status", "message"),
    [
        ("blank", INVALID, "texts[1] is blank"),
        ("too many", INVALID, "inference request batch-size must be <= 64"),
        ("another datatype", INVALID, "inputs[0].datatype of texts is 'INT64', expected BYTES"),
        ("another shape", INVALID, "inputs[0].shape of texts is [1, 2], expected [batch, 1]"),
        ("another input", INVALID, "inputs[0].name is 'text': the model has no such input"),
        ("nothing", INVALID, "expected one of texts, token_ids, features"),
        ("a token id too many", INVALID, "sequences[0].token_ids[1] is 9999, expected 0 to "),
        ("no time", "StatusCode.DEADLINE_EXCEEDED", "eadline"),  # of gRPC or of the server, whoever was first
        ("no time in the queue", "StatusCode.DEADLINE_EXCEEDED", "deadline passed"),
        ("decoupled", UNIMPLEMENTED, "ask it by ModelStreamInfer"),
        ("shared input", UNIMPLEMENTED, "inputs[0] is in shared memory"),
        ("shared beside raw", UNIMPLEMENTED, "inputs[1] is in shared memory"),
        ("shared output", UNIMPLEMENTED, "outputs[0] is in shared memory"),
        ("shared memory", UNIMPLEMENTED, "Method not found"),
        ("traces", UNIMPLEMENTED, "Method not found"),
        ("logs", UNIMPLEMENTED, "Method not found"),
        ("load", UNIMPLEMENTED, "repository_control"),
        ("unload", UNIMPLEMENTED, "repository_control"),
    ],
)
def test_what_is_refused_is_raised_with_status_and_message(stock: Found, case: str, status: str, message: str) -> None:
    assert stock[case]["status"] == status
    assert message in stock[case]["message"]


# Streams, callbacks, asyncio


@pytest.mark.scenario("callbacks")
def test_calls_by_callback_are_all_answered(stock: list[str]) -> None:
    assert stock == [str(index) for index in range(8)]


def check_generation(told: list[Found], client: Client) -> None:
    """The replies of a generation say what the own API says of the same seed, and the last alone is final."""
    own = client.generate(prompt=PROMPT, **MELODY)
    assert "".join(one["outputs"]["text"][0][0] for one in told) == "".join(one.text for one in own)
    assert sum(one["outputs"]["token_count"][0][0] for one in told) == sum(one.token_count for one in own)
    assert [one["parameters"]["triton_final_response"] for one in told] == [False] * (len(told) - 1) + [True]
    assert [bool(one["outputs"]["finish_reason"][0][0]) for one in told] == [False] * (len(told) - 1) + [True]
    assert told[0]["parameters"]["seed"] == MELODY["seed"]
    assert told[-1]["parameters"]["total_seconds"] > 0
    places = [one["outputs"]["first_token_index"][0][0] for one in told]
    assert places == sorted(places)


@pytest.mark.scenario("stream")
def test_a_generation_streams_beside_failures_and_answers_of_one_reply(stock: list[Found], client: Client) -> None:
    check_generation([one for one in stock if one.get("id") == "g"], client)
    (classified,) = [one for one in stock if one.get("id") == "c"]
    assert classified["parameters"]["triton_final_response"] is True
    assert [one["error"] for one in stock if "error" in one] == [
        "no model is called 'nobody'",
        "top_k is 0, expected 1 or more",
    ]


@pytest.mark.scenario("ordered_stream")
def test_answers_of_one_reply_come_in_the_order_of_the_requests(stock: list[str]) -> None:
    assert stock == [str(index) for index in range(200)]


@pytest.mark.scenario("stream_with_statuses")
def test_a_stream_ends_with_a_real_status_where_its_metadata_asks_for_that(stock: list[Found]) -> None:
    assert stock == [{"error": "no model is called 'nobody'", "status": "StatusCode.NOT_FOUND"}]


@pytest.mark.scenario("cancelled_stream")
def test_a_stream_that_is_cancelled_frees_the_server(stock: list[list[str]], client: Client) -> None:
    assert stock == [labels_and_scores(one)[0] for one in client.classify(*TEXTS).classifications]
    assert client.generate(prompt="X", max_output_token_count=3, seed=1)[-1].finish_reason


@pytest.mark.scenario("aio")
def test_the_asyncio_client_gets_the_same(stock: Found, client: Client) -> None:
    assert (stock["live"], stock["ids"]) == (True, [str(index) for index in range(8)])
    assert stock["labels"] == [labels_and_scores(one)[0] for one in client.classify(*TEXTS).classifications]
    check_generation([one for one in stock["stream"] if "error" not in one], client)
    assert [one["error"] for one in stock["stream"] if "error" in one] == ["no model is called 'nobody'"]
    assert stock["refused"] == {"status": INVALID, "message": "texts[0] is blank"}


# Statistics and control


@pytest.mark.scenario("statistics")
def test_statistics_count_and_time_what_was_done(stock: Found) -> None:
    (before,), (after,) = stock["before"], stock["after"]
    assert int(after["inference_count"]) - int(before["inference_count"]) == 3 * len(TEXTS)
    runs = int(after["execution_count"]) - int(before["execution_count"])
    assert 3 <= runs <= 3 * len(TEXTS)
    assert int(after["last_inference"]) >= int(before["last_inference"]) > 1_700_000_000_000
    counts = {
        name: int(after["inference_stats"][name].get("count", 0)) - int(before["inference_stats"][name].get("count", 0))
        for name in ("success", "fail", "queue", "compute_infer")
    }
    assert counts == {"success": 3, "fail": 1, "queue": 3, "compute_infer": 3}
    parts = ("queue", "compute_input", "compute_infer", "compute_output")
    together = sum(int(after["inference_stats"][name]["ns"]) for name in parts)
    assert together == pytest.approx(int(after["inference_stats"]["success"]["ns"]), rel=0.01)
    assert sum(int(one["compute_infer"]["count"]) for one in after["batch_stats"]) == int(after["execution_count"])
    assert stock["names"] == sorted([CLASSIFIER, FORECASTER, GENERATOR, TAGGER, TRANSLATOR])


@pytest.fixture(scope="module")
def controlled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running_server(publish_all(tmp_path_factory.mktemp("models")), "--repository-control") as server:
        yield server


def test_models_are_taken_out_and_let_in_again_where_that_is_allowed(controlled: ServerProcess) -> None:
    outcome = ask(controlled, "control")["control"]
    assert "failed" not in outcome, outcome["failed"]
    found = outcome["found"]
    ready = [{"name": CLASSIFIER, "version": "1", "state": "READY"}]
    assert (found["before"], found["loaded"], found["answer"]) == (ready, ready, f"{CLASSIFIER}@1")
    assert found["unloaded"] == [{"name": CLASSIFIER, "state": "UNAVAILABLE", "reason": "unloaded"}]
    assert found["ready"] is False
    assert found["refused"]["status"] == found["nobody"]["status"] == "StatusCode.NOT_FOUND"
    assert found["config"]["status"] == found["files"]["status"] == INVALID


def test_nothing_of_ours_shares_a_process_with_the_stock_client(tmp_path: Path) -> None:
    """Else the scenarios would prove nothing: the module that they share with these tests imports no client."""
    code = "import tests.e2e.stock_inputs, sys; print([name for name in sys.modules if name.startswith('service')])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
