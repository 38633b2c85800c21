"""Tokens into text: cut anywhere, by tokens or by states, the text is the same, and nothing is told twice."""

from collections.abc import Sequence
from contextlib import ExitStack

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.engine.requests import Ending
from service.engine.sampling import Sampling
from service.serving.api import FinishReason, GeneratedChunk, ModelInfo
from service.serving.engines.messages import Tokens
from service.serving.options import GenerateOptions
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
        chosen = GenerateOptions(sampling=Sampling(1.0, seed=5), **options)  # type: ignore[arg-type]
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
    def token_count(self) -> int:
        return self._writer.token_count

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


def whole_count(ids: Sequence[int], characters: int) -> int:
    """How many of the first tokens have their whole text among so many characters."""
    texts = [TOKENIZER.decode(ids[:count]) for count in range(len(ids) + 1)]
    return max(count for count, text in enumerate(texts) if len(text) <= characters and "\ufffd" not in text)


@settings(max_examples=400)
@given(st.data())
def test_a_token_is_told_once_its_text_is_and_none_of_a_stop_before_that_is_whole(data: st.DataObject) -> None:
    ids = TOKENIZER.encode(TEXT)
    begin = data.draw(st.integers(0, len(TEXT) - 1), "begin")
    stop = TEXT[begin : data.draw(st.integers(begin + 1, min(len(TEXT), begin + 9)), "end")]
    stops = (stop + data.draw(st.sampled_from(["", "x", "x"]), "met or not"), "gattino")
    written = Written(stop_sequences=stops, include_token_scores=True, include_state_token=True)
    first, expected, scores = 0, 0, [float(place) for place in range(len(ids) + 1)]  # the last is of the end
    while first < len(ids) and not written.finished:
        end = min(len(ids), first + data.draw(st.integers(1, 4), "count"))
        state = end < len(ids) and data.draw(st.sampled_from([False, False, True]), "state")
        ends = end == len(ids)
        ending, scored = (Ending.STOP, scores[first:]) if ends else (None, scores[first:end])
        written.write(told(ids[first:end], after=first, ending=ending, state=state, scores=scored))
        first = end
        so_far = [score.log_probability for chunk in written.chunks for score in chunk.token_scores]
        expected = end if state else max(expected, whole_count(ids[:end], len(written.text)))
        assert [chunk.first_token_index for chunk in written.chunks] == [
            sum(chunk.token_count for chunk in written.chunks[:place]) for place in range(len(written.chunks))
        ]
        if not written.finished:
            assert so_far == scores[:expected]
            assert sum(chunk.token_count for chunk in written.chunks) == expected
    met = min((TEXT.index(one) + len(one) for one in stops if one in TEXT), default=None)
    if met is None:
        assert so_far == scores
    else:  # up to the token that makes the stop whole
        assert so_far == scores[: next(count for count in range(len(ids) + 1) if whole_count(ids[:count], 99) == count
                                       and len(TOKENIZER.decode(ids[:count])) >= met)]  # fmt: skip


def test_the_bytes_of_a_character_that_may_begin_a_stop_are_not_told() -> None:
    ids = TOKENIZER.encode("a \N{SNOWMAN} b")
    written = Written(stop_sequences=("\N{SNOWMAN}!",))
    counts = [
        sum(chunk.token_count for chunk in written.write(told([one], after=place)).chunks)
        for place, one in enumerate(ids)
    ]
    begins = len(TOKENIZER.encode("a "))
    after = next(place for place in range(len(ids)) if TOKENIZER.decode(ids[: place + 1]) == "a \N{SNOWMAN} ")
    assert len(TOKENIZER.encode("\N{SNOWMAN}")) > 1
    assert counts[begins - 1 : after] == [begins] * (after - begins + 1)
    assert counts[after] == after + 1


def test_of_a_text_that_goes_on_no_token_is_told_before_what_its_state_held_back() -> None:
    ids, stops = TOKENIZER.encode("saltò un"), ("saltò!",)
    assert TOKENIZER.tokens(ids)[:4] == ["s", "al", "tò", " "]
    before = Written(stop_sequences=stops).write(told(ids[:2], state=True))
    assert (before.chunks[-1].token_count, before.chunks[-1].held_back_text) == (2, "sal")
    after = Written(resumed=before.states[-1], stop_sequences=stops).write(told(ids[2:3], after=2))
    assert after.chunks == []
    after.write(told(ids[3:4], after=3))
    assert [(chunk.text, chunk.first_token_index, chunk.token_count) for chunk in after.chunks] == [("saltò ", 2, 2)]


def test_tokens_are_counted_when_they_are_written_and_not_after_a_stop() -> None:
    ids = TOKENIZER.encode("Il gatto nero")
    written = Written(stop_sequences=("Il gatto n",)).write(told(ids[:2]))
    assert (written.chunks, written.token_count) == ([], 2)
    written.write(told(ids[2:], after=2))  # two more, of which the first ends the text
    assert (written.text, written.token_count) == ("", 3)


def test_alternatives_stay_with_their_tokens_while_these_wait() -> None:
    ids = TOKENIZER.encode("Il gatto")
    part = told(ids, scores=[float(place) for place in range(len(ids))])
    others = [[(one, -1.0 - place)] for place, one in enumerate(ids)]
    written = Written(stop_sequences=(" gatto!",), include_token_scores=True)
    written.write(msgspec.structs.replace(part, alternatives=others))
    assert written.text == "Il"
    written.write(told([], after=len(ids), ending=Ending.LENGTH))
    scores = [score for chunk in written.chunks for score in chunk.token_scores]
    assert [score.token for score in scores] == TOKENIZER.tokens(ids)
    assert [[(other.token, other.log_probability) for other in score.alternatives] for score in scores] == [
        [(score.token, -1.0 - place)] for place, score in enumerate(scores)
    ]


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
    written = Written(resumed=found.states[0]).write(told(token_ids, after=found.states[0].row.token_count))
    assert written.write(Tokens(0, [], 0.0, ending=Ending.DEADLINE)).states == []  # where it stands, nobody told
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
