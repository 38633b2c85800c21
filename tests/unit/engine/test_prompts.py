"""Prompts that are read a slice at a time: the same bits as at once, bounded runs, and no long one in the way."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.engine.prompts import PromptReader, Reading
from service.engine.requests import DecodeOptions, DecodeRequest
from service.engine.rows import GenerationRows
from service.engine.steps import Carried, FloatArray, IntArray
from tests.fakes import CountingRows, Remembering, ids

OPTIONS = DecodeOptions(1)


def requests(*prompts: Sequence[int], carried: Carried | None = None) -> list[DecodeRequest]:
    return [DecodeRequest(key, ids(*prompt), OPTIONS, carried=carried) for key, prompt in enumerate(prompts)]


def reader_of(
    model: GenerationRows | CountingRows, asked: Sequence[DecodeRequest], *, max_rows: int = 4, max_tokens: int = 16
) -> PromptReader:
    reader = PromptReader(model, max_rows=max_rows, max_tokens=max_tokens, padding_budget=0.25)
    for request in asked:
        reader.add(request)
    return reader


def everything(reader: PromptReader) -> Reading:
    """All that comes of reading to the end."""
    whole = Reading([], [])
    while reader.row_count:
        batches, failed = reader.read()
        whole.batches.extend(batches)
        whole.failed.extend(failed)
    return whole


def bits(logits: FloatArray | None, state: FloatArray) -> tuple[bytes, bytes]:
    return (b"" if logits is None else logits.tobytes(), state.tobytes())


@settings(deadline=None, derandomize=True, max_examples=40)
@given(
    prompts=st.lists(st.lists(st.integers(3, 11), max_size=40), min_size=1, max_size=6),
    max_rows=st.integers(1, 5),
    max_tokens=st.integers(1, 50),
    goes_on=st.booleans(),
)
def test_a_prompt_read_in_slices_ends_where_it_does_when_read_at_once(
    prompts: list[list[int]], max_rows: int, max_tokens: int, goes_on: bool
) -> None:
    rows = GenerationRows(Remembering())
    carried = Carried(np.array([3, 4], dtype=np.float32), 7, 5) if goes_on else None
    asked = requests(*([*prompt, 5] for prompt in prompts), carried=carried)
    read = everything(reader_of(rows, asked, max_rows=max_rows, max_tokens=max_tokens))
    found: dict[int, tuple[bytes, bytes]] = {}
    for batch in read.batches:
        for place, request in enumerate(batch.requests):
            one = batch.started.rows(np.array([place]))
            found[request.key] = bits(one.logits, one.state)
    at_once = rows.start([request.token_ids for request in asked], [carried] * len(asked))
    expected = {key: at_once.rows(np.array([key])) for key in range(len(asked))}
    assert found == {key: bits(one.logits, one.state) for key, one in expected.items()}


@pytest.mark.parametrize("max_rows", [1, 3, 8, 100])
def test_no_run_reads_more_than_it_may(max_rows: int) -> None:
    model = CountingRows(reads_slices=True)
    everything(reader_of(model, requests(*([3] * n for n in (1, 2, 40, 41, 80, 5, 5))), max_rows=max_rows))
    assert max(max(lengths) * len(lengths) for lengths in model.reads) <= 16
    assert sum(map(sum, model.reads)) == sum(n + 1 for n in (1, 2, 40, 41, 80, 5, 5))


def test_a_source_that_cannot_be_cut_runs_alone_if_it_is_longer_than_a_run() -> None:
    model = CountingRows()
    everything(reader_of(model, requests([3] * 30, [3] * 30, [3] * 4, [3] * 4, [3] * 4, [3] * 4)))
    assert model.reads == [[31], [31], [5, 5, 5], [5]]


def test_a_turn_reads_no_more_than_it_may_with_the_padding_that_the_model_adds() -> None:
    model = CountingRows(time_multiple=8)
    reader = reader_of(model, requests(*([3] * n for n in (3, 8, 3, 2, 3, 16))))
    turns = []
    while reader.row_count:
        before = len(model.reads)
        reader.read()
        turns.append(model.reads[before:])
    assert turns == [[[4, 4]], [[9]], [[3, 4]], [[17]]]


def test_a_long_prompt_holds_up_a_short_one_for_one_run_at_most() -> None:
    model = CountingRows(reads_slices=True)
    reader = reader_of(model, requests([3] * 99))
    reader.read()
    reader.add(DecodeRequest(7, ids(3), OPTIONS))
    ended = [batch.requests[0].key for _ in range(2) for batch in reader.read().batches]
    assert ended == [7]


def test_a_prompt_that_breaks_the_graph_fails_alone() -> None:
    model = CountingRows(breaks_on=9, reads_slices=True)
    read = everything(reader_of(model, requests([3, 3], [9, 3], [4, 4])))
    assert read.failed == [(1, "the graph broke")]
    assert [request.key for batch in read.batches for request in batch.requests] == [0, 2]


def test_a_prompt_that_was_dropped_takes_up_nothing_any_more() -> None:
    model = CountingRows(reads_slices=True)
    reader = reader_of(model, requests([3] * 50, [4] * 50))
    reader.read()
    reader.drop(0)
    assert reader.row_count == 1
    read = everything(reader)
    assert [request.key for batch in read.batches for request in batch.requests] == [1]
    assert reader.read() == Reading([], [])


class CountedPrefill(Remembering):
    """Notes the time of each prefill."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[int] = []

    def prefill(self, token_ids: IntArray, lengths: IntArray, state: FloatArray) -> tuple[FloatArray, FloatArray]:
        """As its parent."""
        self.times.append(token_ids.shape[1])
        return super().prefill(token_ids, lengths, state)


def test_slices_are_so_short_that_as_many_rows_as_may_fit_side_by_side() -> None:
    model = CountedPrefill()
    everything(reader_of(GenerationRows(model), requests([3] * 11), max_rows=4, max_tokens=16))
    assert model.times == [4, 4, 4]


def test_prompts_read_before_one_step_share_a_run_however_few_rows_slices_are_made_for() -> None:
    model = CountingRows(reads_slices=True)
    reader = PromptReader(model, max_rows=16, max_tokens=16, padding_budget=0.25, slice_rows=2)
    for request in requests(*[[3]] * 8, [3] * 20):
        reader.add(request)
    everything(reader)
    assert model.reads[0] == [2] * 8
    assert [max(lengths) for lengths in model.reads[1:]] == [8, 8, 5]


def patient_turns(reader: PromptReader, model: CountingRows) -> list[list[list[int]]]:
    """The runs of each turn, while others run."""
    turns = []
    while reader.row_count:
        before = len(model.reads)
        reader.read(patient=True)
        turns.append(model.reads[before:])
    return turns


def test_a_source_waits_a_turn_for_every_eight_positions_beyond_eight_while_others_run() -> None:
    model = CountingRows(time_multiple=8)
    assert patient_turns(reader_of(model, requests([3] * 23), max_tokens=512), model) == [[], [], [[24]]]
    assert patient_turns(reader_of(model, requests([3] * 8), max_tokens=512), model) == [[], [[9]]]
    assert patient_turns(reader_of(model, requests([3] * 3), max_tokens=512), model) == [[[4]]]


def test_a_source_does_not_wait_as_long_as_a_longer_one_before_it_may() -> None:
    model = CountingRows(time_multiple=8)
    reader = reader_of(model, requests([3] * 63, [3] * 15), max_tokens=512)
    assert patient_turns(reader, model) == [[], [[64], [16]]]


def test_a_source_that_has_waited_leaves_with_all_of_about_its_length() -> None:
    model = CountingRows(time_multiple=8)
    reader = reader_of(model, requests([3] * 15), max_tokens=512)
    assert reader.read(patient=True) == Reading([], [])
    for request in requests([3] * 14, [3] * 40):
        reader.add(request)
    assert patient_turns(reader, model) == [[[16, 15]], [], [], [], [], [[41]]]


def test_sources_wait_for_no_more_than_a_full_company() -> None:
    model = CountingRows(time_multiple=8)
    reader = reader_of(model, requests(*[[3] * 47] * 7), max_rows=8, max_tokens=512)
    assert reader.read(patient=True) == Reading([], [])
    reader.add(DecodeRequest(7, ids(*[3] * 47), OPTIONS))
    assert patient_turns(reader, model) == [[[48] * 8]]


def test_nothing_waits_where_nothing_runs_and_no_prompt_ever() -> None:
    sources, prompts = CountingRows(time_multiple=8), CountingRows(time_multiple=8, reads_slices=True)
    reader_of(sources, requests([3] * 23), max_tokens=512).read()
    assert sources.reads == [[24]]
    assert patient_turns(reader_of(prompts, requests([3] * 23), max_rows=1, max_tokens=512), prompts) == [[[24]]]
