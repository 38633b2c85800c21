"""Tokens into text: cut anywhere, by tokens or by states, the text is the same, and nothing is told twice."""

from collections.abc import Sequence
from contextlib import ExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.engine.requests import Ending
from service.serving.api import FinishReason, GeneratedChunk, ModelInfo
from service.serving.engines.messages import Tokens
from service.serving.options import GenerateOptions, SamplingOptions
from service.serving.tasks.chunks import Generation, GenerationWriter, StreamPace
from service.state.contents import CarriedRow, TextState, decoded_text, encoded
from service.text.tokenizer import Tokenizer
from tests.bundles import EOS, ITALIAN, bytes_tokenizer

RAW, SIZE = bytes_tokenizer(ITALIAN)
TOKENIZER = Tokenizer.from_bytes(RAW)
INFO = ModelInfo("m", 1, "active", max_token_count=20, max_output_token_count=30)
TEXT = "Il gatto \N{GRINNING FACE} saltò. \N{SNOWMAN}\N{SNOWMAN} E poi? saltò"


def told(
    token_ids: Sequence[int], *, after: int = 0, ending: Ending | None = None, state: bool = False,
    scores: Sequence[float] = (),
) -> Tokens:  # fmt: skip
    count = after + len(token_ids)
    carried = CarriedRow(b"\0\0\0\0", token_ids[-1], count, known_ids=list(range(9))) if state else None
    return Tokens(1, list(token_ids), 0.0, ending=ending, log_probabilities=list(scores), carried=carried)


class Written:
    """All that is written of a text, and the states that were issued on the way."""

    def __init__(
        self,
        *,
        resumed: TextState | None = None,
        prompt_ids: Sequence[int] = (),
        issues: bool = True,
        **options: object,
    ) -> None:
        self.states: list[TextState] = []
        self.chunks: list[GeneratedChunk] = []
        chosen = GenerateOptions(sampling=SamplingOptions(seed=5), **options)  # type: ignore[arg-type]
        issue = self._issue if issues else None
        self._writer = GenerationWriter(Generation(INFO, TOKENIZER, EOS, chosen, 30, "", prompt_ids, resumed, issue))

    def _issue(self, state: TextState) -> bytes:
        self.states.append(decoded_text(encoded(state), state_size=1, vocabulary_size=SIZE, field="f"))
        return b"token %d" % len(self.states)

    def write(self, *tokens: Tokens) -> "Written":
        if not self._writer.finished:
            self.chunks += self._writer.write(tokens)
        return self

    @property
    def finished(self) -> bool:
        return self._writer.finished

    @property
    def text(self) -> str:
        return "".join(chunk.text for chunk in self.chunks)


@settings(max_examples=300)
@given(st.data())
def test_a_text_that_was_cut_anywhere_is_the_text_of_one_piece(data: st.DataObject) -> None:
    token_ids = TOKENIZER.encode(TEXT)
    starts = st.integers(0, len(TEXT) - 4)
    stops = tuple(TEXT[start : start + 3] + "!" for start in data.draw(st.lists(starts, max_size=2)))
    stops += tuple(TEXT[start : start + 4] for start in data.draw(st.lists(starts, max_size=1)))
    whole = Written(stop_sequences=stops).write(told(token_ids, ending=Ending.LENGTH))
    cut = data.draw(st.integers(1, len(token_ids) - 1))
    first = Written(stop_sequences=stops)
    inside = data.draw(st.integers(0, cut - 1))
    if inside:
        first.write(told(token_ids[:inside]))
    ending = data.draw(st.sampled_from([Ending.LENGTH, Ending.DEADLINE, None]))
    first.write(told(token_ids[inside:cut], after=inside, ending=ending, state=True))
    if first.chunks[-1].finish_reason is FinishReason.STOP:
        assert first.text == whole.text
        assert not first.states
        return
    assert first.chunks[-1].state_token == b"token 1"
    assert whole.text.startswith(first.text)
    second = Written(resumed=first.states[0], stop_sequences=stops)
    second.write(told(token_ids[cut:], after=cut, ending=Ending.LENGTH))
    assert first.text + second.text == whole.text
    assert second.chunks[0].first_token_index == cut
    assert second.chunks[-1].finish_reason is whole.chunks[-1].finish_reason


@given(st.data())
def test_a_token_is_told_with_its_text_and_so_none_of_a_stop_before_that_is_whole(data: st.DataObject) -> None:
    ids = TOKENIZER.encode(TEXT)
    begin = data.draw(st.integers(0, len(TEXT) - 1), "begin")
    stop = TEXT[begin : data.draw(st.integers(begin + 1, min(len(TEXT), begin + 9)), "end")]
    stops = (stop + data.draw(st.sampled_from(["", "x"]), "never met"), "gattino")
    written, first = Written(stop_sequences=stops, include_token_scores=True), 0
    while first < len(ids) and not written.finished:
        count = data.draw(st.integers(1, 4), "count")
        part = ids[first : first + count]
        first += count
        scores = [float(first - count + place) for place in range(len(part))]
        ending = Ending.STOP if first >= len(ids) else None
        written.write(told(part, after=first - count, ending=ending, scores=scores))
        so_far = [score for chunk in written.chunks for score in chunk.token_scores]
        assert [score.log_probability for score in so_far] == [float(place) for place in range(len(so_far))]
        assert [chunk.first_token_index for chunk in written.chunks] == [
            sum(chunk.token_count for chunk in written.chunks[:place]) for place in range(len(written.chunks))
        ]
        assert all(chunk.token_count == len(chunk.token_scores) for chunk in written.chunks)
        if not written.finished:
            assert written.text.startswith(TOKENIZER.decode(ids[: len(so_far)]))
    found = min((TEXT.index(one) + len(one) for one in stops if one in TEXT), default=None)
    assert len(so_far) == (len(ids) if found is None else tokens_that_give(ids, found))


def tokens_that_give(ids: Sequence[int], characters: int) -> int:
    """How many of the first tokens it takes for so many whole characters."""
    texts = [TOKENIZER.decode(ids[:count]) for count in range(len(ids) + 1)]
    return next(count for count, text in enumerate(texts) if len(text) >= characters and "\ufffd" not in text)


def test_a_message_that_would_say_nothing_is_none() -> None:
    ids = TOKENIZER.encode("Il gatto")
    written = Written(stop_sequences=("Il gatto!",)).write(told(ids[:1])).write(told(ids[1:2]))
    assert written.chunks == []
    written.write(told(ids[2:], after=2, ending=Ending.LENGTH))
    assert [(chunk.text, chunk.first_token_index, chunk.token_count) for chunk in written.chunks] == [
        ("Il gatto", 0, len(ids))
    ]


def test_what_is_held_back_is_told_beside_the_token_and_comes_again() -> None:
    token_ids = TOKENIZER.encode("gatto \N{SNOWMAN}")
    part, stops = len(token_ids) - 1, ("to \N{SNOWMAN}!",)  # the last character is three tokens
    found = Written(stop_sequences=stops).write(told(token_ids[:part], ending=Ending.LENGTH, state=True))
    assert (found.text, found.chunks[-1].held_back_text) == ("gat", "to \N{REPLACEMENT CHARACTER}")
    further = Written(resumed=found.states[0], stop_sequences=stops)
    further.write(told(token_ids[part:], after=part, ending=Ending.LENGTH))
    assert further.text == "to \N{SNOWMAN}"


def test_a_prompt_ends_what_was_held_back() -> None:
    token_ids = TOKENIZER.encode("gatto")
    found = Written(stop_sequences=("tto!",)).write(told(token_ids, ending=Ending.LENGTH, state=True))
    assert (found.text, found.chunks[-1].held_back_text) == ("ga", "tto")
    prompt_ids = TOKENIZER.encode(" salta")
    further = Written(resumed=found.states[0], prompt_ids=prompt_ids, stop_sequences=("tto!",))
    further.write(told(TOKENIZER.encode(" e poi"), after=len(token_ids), ending=Ending.LENGTH))
    assert further.text == " e poi"


def test_a_chunk_with_a_state_ends_where_the_state_stands() -> None:
    token_ids = TOKENIZER.encode("Il gatto salta")
    found = Written().write(
        told(token_ids[:2]), told(token_ids[2:3], after=2, state=True), told(token_ids[3:], after=3)
    )
    shown = [(chunk.first_token_index, chunk.token_count, chunk.state_token) for chunk in found.chunks]
    assert shown == [(0, 3, b"token 1"), (3, len(token_ids) - 3, b"")]


def test_a_state_holds_what_is_left_and_what_rules_look_back_at() -> None:
    found = Written(min_output_token_count=5, banned_tokens=("a",), token_biases={"b": 1.0})
    found.write(told(TOKENIZER.encode("xyz"), state=True))
    (state,) = found.states
    assert (state.output_tokens_left, state.least_tokens_left) == (27, 2)
    assert state.row.known_ids == list(range(9))
    assert (state.options.seed, state.options.banned_tokens, state.options.token_biases) == (5, ("a",), {"b": 1.0})


def test_a_text_that_never_came_to_go_on_still_stands_where_it_stood() -> None:
    token_ids = TOKENIZER.encode("gatto")
    found = Written(stop_sequences=("tto!",)).write(told(token_ids, ending=Ending.LENGTH, state=True))
    waiting = Written(resumed=found.states[0], stop_sequences=("tto!",)).write(
        Tokens(0, [], 0.0, ending=Ending.DEADLINE)
    )
    assert waiting.text == ""
    assert [one.row for one in waiting.states] == [found.states[0].row]
    assert [one.held_text for one in waiting.states] == ["tto"]
    assert waiting.chunks[-1].held_back_text == "tto"
    unasked = Written(resumed=found.states[0], stop_sequences=("tto!",), issues=False).write(
        Tokens(0, [], 0.0, ending=Ending.DEADLINE)
    )
    assert (unasked.text, unasked.chunks[-1].state_token) == ("tto", b"")


@pytest.mark.parametrize("state", [True, False])
def test_a_text_without_state_lets_out_what_it_held_back(state: bool) -> None:
    found = Written(stop_sequences=("tto!",))
    found.write(told(TOKENIZER.encode("gatto"), ending=Ending.LENGTH, state=state))
    assert found.text == ("ga" if state else "gatto")


def test_a_stream_alone_waits_for_nothing_and_one_of_many_for_each_other_up_to_a_limit() -> None:
    pace, waits = StreamPace(0.002), []
    with ExitStack() as streams:
        for _ in range(5):
            streams.enter_context(pace.stream())
            waits.append(pace.gather_seconds)
    assert waits == [0, 0.001, 0.002, 0.002, 0.002]


def test_a_stream_that_has_ended_makes_no_other_wait() -> None:
    pace = StreamPace(0.02)
    with pace.stream():
        with pytest.raises(ZeroDivisionError), pace.stream():
            raise ZeroDivisionError
        assert pace.gather_seconds == 0
