"""Requests for generations are checked before the serving layer is asked, and chunks are written whole."""

import math
from typing import Any

import pytest

from seqserve.v1 import inference_service_pb2 as inference
from service.errors import InvalidArgumentError
from service.serving.api import FinishReason, GeneratedChunk, TokenScore
from service.serving.options import GenerateOptions
from service.transport.convert_generation import to_generate_call, to_generate_response


def options(**fields: Any) -> GenerateOptions:
    return to_generate_call(inference.GenerateTextRequest(model="m", **fields)).options


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        pytest.param({"min_p": math.nan}, "min_p", id="min_p nan"),
        pytest.param({"min_p": 1.01}, "min_p", id="min_p"),
        pytest.param({"top_k": 5, "temperature": 0.0}, "top_k", id="top_k without sampling"),
        pytest.param({"top_p": 1.0, "temperature": 0.0}, "top_p", id="top_p without sampling"),
        pytest.param({"min_p": 0.0, "temperature": 0.0}, "min_p", id="min_p without sampling"),
        pytest.param({"seed": 0, "temperature": 0.0}, "seed", id="seed without sampling"),
        pytest.param({"min_output_token_count": -1}, "min_output_token_count", id="negative minimum"),
        pytest.param(
            {"min_output_token_count": 6, "max_output_token_count": 5}, "min_output_token_count", id="minimum over most"
        ),
        pytest.param({"repetition_penalty": 0.0}, "repetition_penalty", id="penalty 0"),
        pytest.param({"repetition_penalty": math.nan}, "repetition_penalty", id="penalty nan"),
        pytest.param({"repetition_penalty": 10.5}, "repetition_penalty", id="penalty"),
        pytest.param({"no_repeat_ngram_size": 0}, "no_repeat_ngram_size", id="ngrams of 0"),
        pytest.param({"no_repeat_ngram_size": 33}, "no_repeat_ngram_size", id="ngrams of 33"),
        pytest.param({"banned_tokens": ["a"] * 257}, "banned_tokens", id="too many bans"),
        pytest.param({"banned_tokens": ["a", ""]}, "banned_tokens[1]", id="empty ban"),
        pytest.param({"banned_tokens": ["a" * 201]}, "banned_tokens[0]", id="long ban"),
        pytest.param({"token_biases": {"a": math.nan}}, "token_biases[a]", id="bias nan"),
        pytest.param({"token_biases": {"a": -100.5}}, "token_biases[a]", id="bias"),
        pytest.param({"token_biases": {"": 1.0}}, "token_biases", id="bias of nothing"),
        pytest.param({"token_biases": {"a" * 201: 1.0}}, "token_biases", id="bias of a long text"),
        pytest.param({"token_biases": {str(i): 1.0 for i in range(257)}}, "token_biases", id="too many biases"),
        pytest.param({"stop_sequences": ["x"] * 17}, "stop_sequences", id="too many stops"),
        pytest.param({"stop_sequences": ["x", ""]}, "stop_sequences[1]", id="empty stop"),
        pytest.param({"stop_sequences": ["x" * 201]}, "stop_sequences[0]", id="long stop"),
        pytest.param({"sample_count": 0}, "sample_count", id="no samples"),
        pytest.param({"sample_count": 17}, "sample_count", id="too many samples"),
        pytest.param({"alternative_count": 3}, "alternative_count", id="alternatives without scores"),
        pytest.param({"alternative_count": 17, "include_token_scores": True}, "alternative_count", id="alternatives"),
        pytest.param({"state_token_interval": 3}, "state_token_interval", id="states on the way without states"),
        pytest.param(
            {"state_token_interval": 0, "include_state_token": True}, "state_token_interval", id="states after nothing"
        ),
    ],
)
def test_an_option_that_cannot_be_is_refused_by_field(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        options(**fields)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("fields", "limit"),
    [
        pytest.param({"min_p": 1.01}, "1", id="number"),
        pytest.param({"repetition_penalty": 10.5}, "10", id="positive number"),
        pytest.param({"sample_count": 17}, "16", id="integer"),
        pytest.param({"stop_sequences": ["x" * 201]}, "200", id="characters"),
    ],
)
def test_what_is_out_of_range_is_refused_with_the_limit(fields: dict[str, Any], limit: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        options(**fields)
    assert caught.value.facts["limit"] == limit


def test_every_option_is_taken() -> None:
    found = options(
        min_output_token_count=2, repetition_penalty=1.5, no_repeat_ngram_size=32, banned_tokens=["a", "<eos>"],
        token_biases={"b": -100.0}, stop_sequences=["x", "\n"], sample_count=16, include_token_scores=True,
        alternative_count=16, echo=True, allow_partial=True, seed=4, min_p=0.5,
    )  # fmt: skip
    assert (found.min_output_token_count, found.repetition_penalty, found.no_repeat_ngram_size) == (2, 1.5, 32)
    assert (found.banned_tokens, found.token_biases) == (("a", "<eos>"), {"b": -100.0})
    assert (found.stop_sequences, found.sample_count, found.alternative_count) == (("x", "\n"), 16, 16)
    assert (found.include_token_scores, found.echo, found.allow_partial) == (True, True, True)
    assert (found.sampling.seed, found.sampling.min_p) == (4, 0.5)


def test_a_state_token_comes_with_the_names_of_what_the_request_sets() -> None:
    assert options(include_state_token=True, state_token_interval=8).resumption is None
    found = options(state_token=b"token", temperature=0.0, stop_sequences=["x"], allow_inexact_state=True)
    assert found.resumption is not None
    assert (found.resumption.token, found.resumption.allow_inexact) == (b"token", True)
    assert found.resumption.given >= {"temperature", "stop_sequences"}
    assert not found.resumption.given & {"seed", "top_k", "token_biases", "min_output_token_count"}
    assert (found.include_state_token, found.state_token_interval) == (False, 0)


def test_a_chunk_is_written_whole() -> None:
    scores = (TokenScore("x", -0.5, (TokenScore("y", -1.5),)),)
    chunk = GeneratedChunk(
        "m", 4, "ab", 2, 1, FinishReason.DEADLINE, sample_index=3, token_scores=scores, prompt_token_count=0,
        state_token=b"token", held_back_text="\n",
    )  # fmt: skip
    written = to_generate_response(chunk)
    assert (written.state_token, written.held_back_text) == (b"token", "\n")
    assert (written.sample_index, written.finish_reason) == (3, inference.FINISH_REASON_DEADLINE)
    assert (written.HasField("prompt_token_count"), written.prompt_token_count) == (True, 0)
    assert [(one.token, one.log_probability) for one in written.token_scores[0].alternatives] == [("y", -1.5)]
