"""Requests for translations are checked before the serving layer is asked, and results are written whole."""

import math

import pytest

from seqserve.v1 import inference_service_pb2 as inference
from service.engine.sampling import Sampling
from service.errors import InvalidArgumentError
from service.serving.api import (
    FinishReason,
    Hypothesis,
    ScoreResult,
    Timings,
    TokenScore,
    TranslateResult,
    Translation,
    TranslationScore,
)
from service.serving.options import TranslateOptions
from service.serving.sequences import TextPair
from service.transport.convert_translations import (
    to_score_call,
    to_score_response,
    to_translate_call,
    to_translate_response,
)

TIMINGS = Timings(0.0, 0.5, 1.0)


def request(**fields: object) -> inference.TranslateTextRequest:
    return inference.TranslateTextRequest(**{"model": "m", "texts": ["a", "b"], **fields})  # type: ignore[arg-type]


def options(**fields: object) -> TranslateOptions:
    return to_translate_call(request(**fields)).options


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("beam_size", 0),
        ("beam_size", -1),
        ("beam_size", 33),
        ("hypothesis_count", 0),
        ("hypothesis_count", 2),  # more than the beam
        ("length_penalty", -0.1),
        ("length_penalty", 10.5),
        ("length_penalty", math.nan),
        ("length_penalty", math.inf),
        ("coverage_penalty", -0.1),
        ("coverage_penalty", math.nan),
        ("max_length_factor", 0.0),
        ("max_length_factor", 101.0),
        ("max_length_factor", math.nan),
        ("temperature", -1.0),
        ("temperature", math.nan),
        ("min_p", 1.5),
        ("max_output_token_count", 0),
        ("target_prefixes", ["one"]),
        ("target_prefixes", ["one", "two", "three"]),
    ],
)
def test_an_option_out_of_range_is_refused_by_field(field: str, value: object) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        options(**{field: value})
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        pytest.param({"beam_size": 2, "temperature": 0.5}, "temperature", id="beam with sampling"),
        pytest.param({"top_k": 5}, "top_k", id="top_k without sampling"),
        pytest.param({"top_p": 0.5}, "top_p", id="top_p without sampling"),
        pytest.param({"min_p": 0.5}, "min_p", id="min_p without sampling"),
        pytest.param({"seed": 5}, "seed", id="seed without sampling"),
        pytest.param({"seed": 5, "temperature": 0.0}, "seed", id="seed with temperature 0"),
        pytest.param({"beam_size": 3, "hypothesis_count": 4}, "hypothesis_count", id="more than the beam"),
        pytest.param({"temperature": 1.0, "hypothesis_count": 33}, "hypothesis_count", id="too many samples"),
        pytest.param({"coverage_penalty": 0.5}, "coverage_penalty", id="coverage penalty without a beam"),
    ],
)
def test_options_that_contradict_each_other_are_refused(fields: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        options(**fields)
    assert caught.value.field == field


def test_unset_options_mean_what_the_proto_says() -> None:
    assert options() == TranslateOptions()
    assert (TranslateOptions().beam_size, TranslateOptions().length_penalty) == (1, 0.6)


def test_every_option_is_taken() -> None:
    found = options(
        beam_size=32, hypothesis_count=32, length_penalty=0.0, coverage_penalty=10.0, max_length_factor=1.5,
        target_prefixes=["x", ""], replace_unknowns=True, include_token_scores=True, max_output_token_count=7,
    )  # fmt: skip
    assert found == TranslateOptions(
        max_output_token_count=7, beam_size=32, hypothesis_count=32, length_penalty=0.0, coverage_penalty=10.0,
        max_length_factor=1.5, target_prefixes=("x", ""), replace_unknowns=True, include_token_scores=True,
    )  # fmt: skip
    sampled = options(temperature=2.0, top_k=3, top_p=0.5, min_p=0.25, seed=9, hypothesis_count=32)
    assert sampled.sampling == Sampling(2.0, 3, 0.5, 0.25, 9)


def test_a_seed_is_drawn_only_where_tokens_are_sampled() -> None:
    seeds = {sampling.seed for _ in range(20) if (sampling := options(temperature=1.0).sampling) is not None}
    assert len(seeds) == 20


@pytest.mark.parametrize(
    ("pairs", "field"),
    [
        pytest.param([], "pairs", id="none"),
        pytest.param([("a", "b")] * 65, "pairs", id="too many"),
        pytest.param([("a", "b"), (" ", "b")], "pairs[1].source", id="blank source"),
        pytest.param([("a", "")], "pairs[0].target", id="no target"),
    ],
)
def test_bad_pairs_are_refused_by_field(pairs: list[tuple[str, str]], field: str) -> None:
    message = inference.ScoreTranslationRequest(
        model="m", pairs=[inference.TextPair(source=source, target=target) for source, target in pairs]
    )
    with pytest.raises(InvalidArgumentError) as caught:
        to_score_call(message)
    assert caught.value.field == field


def test_pairs_are_taken() -> None:
    pair = inference.TextPair(source="a", target="b")
    assert to_score_call(inference.ScoreTranslationRequest(model="m", pairs=[pair])).pairs == (TextPair("a", "b"),)


def test_the_best_hypothesis_is_the_translation_and_the_others_its_alternatives() -> None:
    scores = (TokenScore("x", -0.5),)
    found = Translation(
        4, (Hypothesis("x", 1, FinishReason.STOP, -0.5, scores), Hypothesis("y", 2, FinishReason.LENGTH, -0.75))
    )
    written = to_translate_response(TranslateResult("m", 1, (found,), TIMINGS, seed=0))
    (translation,) = written.translations
    assert (translation.text, translation.source_token_count, translation.score) == ("x", 4, -0.5)
    assert [(one.token, one.log_probability) for one in translation.token_scores] == [("x", -0.5)]
    (other,) = translation.alternatives
    assert (other.text, other.finish_reason, other.score) == ("y", inference.FINISH_REASON_LENGTH, -0.75)
    assert written.HasField("seed")
    assert not to_translate_response(TranslateResult("m", 1, (found,), TIMINGS)).HasField("seed")


def test_a_score_is_the_sum_of_its_tokens() -> None:
    found = TranslationScore(3, (TokenScore("x", -0.5), TokenScore("<eos>", -0.25)))
    (score,) = to_score_response(ScoreResult("m", 1, (found,), TIMINGS)).scores
    assert (score.log_probability, score.source_token_count, len(score.token_scores)) == (-0.75, 3, 2)
