"""LabelSequence: requests into checked plain values, and results into messages.   Knows ranges; knows no model."""

from collections.abc import Sequence
from dataclasses import dataclass

from seqserve.v1 import inference_service_pb2 as inference
from service.errors import InvalidArgumentError
from service.serving.api import LabelledSequence, LabelResult
from service.serving.sequences import FeatureRows, InputSequence, Words
from service.serving.truncation import Truncation
from service.state.requests import STATELESS, SequenceStates
from service.transport.convert import (
    checked_model,
    checked_text,
    checked_top_label_count,
    checked_truncation,
    to_label_scores,
    to_timings,
)

MOST_SEQUENCES = 256
MOST_STEPS = 50_000
"""Words and rows of one request; no model answers more: `service.serving.tasks.labelling.MAX_LABEL_SCORES`."""


@dataclass(frozen=True)
class LabelCall:
    """A checked LabelSequenceRequest. `top_label_count` None means all labels."""

    model: str
    sequences: tuple[InputSequence, ...]
    top_label_count: int | None
    states: SequenceStates = STATELESS
    truncation: Truncation = Truncation.REFUSE


def to_label_call(request: inference.LabelSequenceRequest) -> LabelCall:
    """Check a request; InvalidArgumentError names the field at fault."""
    call = LabelCall(
        model=checked_model(request.model),
        sequences=_sequences(request.sequences),
        top_label_count=checked_top_label_count(request),
        states=_states(request),
        truncation=checked_truncation(request),
    )
    if call.truncation is not Truncation.REFUSE and (call.states.tokens or call.states.include):
        raise InvalidArgumentError(
            "truncation leaves a part of a sequence out, and state tokens go on from a whole one", field="truncation"
        )
    return call


def _states(request: inference.LabelSequenceRequest) -> SequenceStates:
    tokens = tuple(one.state_token for one in request.sequences)
    return SequenceStates(tokens if any(tokens) else (), request.allow_inexact_state, request.include_state_token)


def to_label_response(result: LabelResult) -> inference.LabelSequenceResponse:
    """Write a result."""
    return inference.LabelSequenceResponse(
        model_version=inference.ModelVersion(name=result.model, version=result.version),
        sequences=[_labelled(found) for found in result.sequences],
        timings=to_timings(result.timings),
    )


def _sequences(given: Sequence[inference.InputSequence]) -> tuple[InputSequence, ...]:
    if not 1 <= len(given) <= MOST_SEQUENCES:
        raise InvalidArgumentError(
            f"sequences has {len(given)} entries, expected 1 to {MOST_SEQUENCES}",
            field="sequences",
            sequence_count=len(given),
            limit=MOST_SEQUENCES,
        )
    step_count = sum(len(one.words) + len(one.rows) for one in given)
    if step_count > MOST_STEPS:
        raise InvalidArgumentError(
            f"sequences have {step_count} words and rows together, at most {MOST_STEPS} are taken at once",
            field="sequences",
            step_count=step_count,
            limit=MOST_STEPS,
        )
    return tuple(_sequence(one, f"sequences[{index}]") for index, one in enumerate(given))


def _sequence(given: inference.InputSequence, where: str) -> InputSequence:
    fields = [field.name for field, _ in given.ListFields() if field.name != "state_token"]
    if len(fields) != 1:
        found = " and ".join(fields) or "nothing"
        raise InvalidArgumentError(f"{where} has {found}, expected one of text, words, rows", field=where)
    if given.rows:
        return FeatureRows(tuple(dict(row.features) for row in given.rows))
    if given.words:
        return Words(tuple(checked_text(word, f"{where}.words[{index}]") for index, word in enumerate(given.words)))
    return checked_text(given.text, f"{where}.text")


def _labelled(found: LabelledSequence) -> inference.LabelledSequence:
    return inference.LabelledSequence(
        steps=[inference.LabelledStep(labels=to_label_scores(step.labels), word=step.word) for step in found.steps],
        spans=[
            inference.LabelSpan(
                label=span.label,
                first_step_index=span.first_step_index,
                last_step_index=span.last_step_index,
                score=span.score,
            )
            for span in found.spans
        ],
        token_count=found.token_count,
        state_token=found.state_token,
        truncated=found.truncated,
    )
