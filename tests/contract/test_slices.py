"""Inputs that are cut into slices of time, on trained weights: the answer is the same, bit for bit.

In fp32 and in int8, several lengths side by side; prompts on the published writers, too, for the int8 of a GRU reads
them by its step. The control starts every slice from nothing and must be found out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from service.bundle.store import OpenedBundle, open_bundle
from service.engine.prompts import PromptReader
from service.engine.requests import DecodeOptions, DecodeRequest
from service.engine.rows import GenerationRows
from service.engine.steps import FloatArray, IntArray
from service.runtime.models import ClassifierModel, LabellerModel, LanguageModel, load_model
from service.serving.engines.batcher import BatchedGraph, Batcher
from service.serving.engines.exactness import random_steps
from service.serving.engines.messages import Classified, ClassifyWork
from service.serving.engines.runnable import batched_graph
from tests.published import newest_published
from tests.trained import exported_in_both

PRECISIONS = ("fp32", "int8")
CARRYING = ("sample-sentiment", "sample-rain", "sample-clue-one-direction")
WHOLE = 10**6
CUTS = pytest.mark.parametrize(("max_rows", "max_tokens"), [(1, 1), (1, 7), (5, 40), (8, 100), (16, 512)])


@pytest.fixture(scope="module")
def bundles() -> Mapping[str, OpenedBundle]:
    samples = {name: exported_in_both(name) for name in ("sample-melody", *CARRYING)}
    return samples | {name: open_bundle(newest_published(name)) for name in ("melody", "shakespeare")}


def answers(graph: BatchedGraph, work: ClassifyWork, *, max_rows: int, max_tokens: int) -> Classified:
    batcher = Batcher(1, graph, max_batch_size=max_rows, max_tokens=max_tokens, padding_budget=0.5)
    batcher.submit(work)
    events = []
    while batcher.busy:
        events += batcher.turn()
    (answer,) = [event for event in events if isinstance(event, Classified)]
    return answer


def work_for(model: ClassifierModel | LabellerModel) -> ClassifyWork:
    rows = random_steps(model, 40, np.random.default_rng(3))
    return ClassifyWork(1, 1, rows, 0.0, 1e12, keep_states=True, keep_logits=True)


@CUTS
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", CARRYING)
def test_no_bit_of_an_answer_depends_on_where_its_input_was_cut(
    bundles: Mapping[str, OpenedBundle], name: str, precision: str, max_rows: int, max_tokens: int
) -> None:
    model = load_model(bundles[name], precision=precision)
    assert isinstance(model, ClassifierModel | LabellerModel)
    graph, work = batched_graph(model), work_for(model)
    whole = answers(graph, work, max_rows=1, max_tokens=WHOLE)
    cut = answers(graph, work, max_rows=max_rows, max_tokens=max_tokens)
    assert cut.probabilities == whole.probabilities
    assert cut.states == whole.states
    assert cut.logits == whole.logits


@pytest.mark.parametrize("name", CARRYING)
def test_a_slice_that_starts_from_nothing_is_found_out(bundles: Mapping[str, OpenedBundle], name: str) -> None:
    model = load_model(bundles[name])
    assert isinstance(model, ClassifierModel | LabellerModel)
    graph, work = batched_graph(model), work_for(model)
    assert graph.carrying is not None
    run_from = graph.carrying.run

    def forgetting(steps: IntArray, lengths: IntArray, state: FloatArray) -> tuple[FloatArray, FloatArray]:
        return run_from(steps, lengths, np.zeros_like(state))

    forgetful = replace(graph, carrying=replace(graph.carrying, run=forgetting))
    whole = answers(forgetful, work, max_rows=1, max_tokens=WHOLE)
    cut = answers(forgetful, work, max_rows=5, max_tokens=40)
    assert cut.probabilities != whole.probabilities


def read(rows: GenerationRows, prompts: Sequence[IntArray], *, max_rows: int, max_tokens: int) -> dict[int, bytes]:
    """The bits of logits and state after each prompt."""
    reader = PromptReader(rows, max_rows=max_rows, max_tokens=max_tokens, padding_budget=0.5)
    for key, prompt in enumerate(prompts):
        reader.add(DecodeRequest(key, prompt, DecodeOptions(1)))
    found: dict[int, bytes] = {}
    while reader.row_count:
        for requests, started in reader.read().batches:
            assert started.logits is not None
            for place, request in enumerate(requests):
                found[request.key] = started.logits[place].tobytes() + started.state[place].tobytes()
    return found


@CUTS
@pytest.mark.parametrize(
    ("name", "precision"), [("sample-melody", "fp32"), ("melody", "int8"), ("shakespeare", "int8")]
)
def test_no_bit_after_a_prompt_depends_on_where_it_was_cut(
    bundles: Mapping[str, OpenedBundle], name: str, precision: str, max_rows: int, max_tokens: int
) -> None:
    model = load_model(bundles[name], precision=precision)
    assert isinstance(model, LanguageModel)
    assert not model.reads_by_step
    prompts = [np.array(steps, dtype=np.int64) for steps in random_steps(model, 70, np.random.default_rng(4))]
    rows = GenerationRows(model)
    whole = read(rows, prompts, max_rows=1, max_tokens=WHOLE)
    assert read(rows, prompts, max_rows=max_rows, max_tokens=max_tokens) == whole
