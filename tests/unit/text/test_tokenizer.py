"""Text goes to ids and comes back, in one piece or in pieces, and special tokens are never typed by a user."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models, processors
from tokenizers import Tokenizer as Backend

from service.errors import BundleError, InferenceFailedError
from service.text.tokenizer import TextStream, Tokenizer
from tests.bundles import ENGLISH, ITALIAN, MELODIES, REVIEWS, bytes_tokenizer, characters_tokenizer, words_tokenizer

BYTES = Tokenizer.from_bytes(bytes_tokenizer([*ENGLISH, *ITALIAN])[0])
WORDS = Tokenizer.from_bytes(words_tokenizer(REVIEWS)[0])
CHARACTERS = Tokenizer.from_bytes(characters_tokenizer(MELODIES)[0])
EVERY_KIND = pytest.mark.parametrize("tokenizer", [BYTES, WORDS, CHARACTERS], ids=["bytes", "words", "characters"])


def spaced_tokenizer() -> Tokenizer:
    """Word pieces whose decoder strips the first space, as SentencePiece's does."""
    pieces = ["<pad>", "\N{LOWER ONE EIGHTH BLOCK}a", "b", "\N{LOWER ONE EIGHTH BLOCK}", "c", "."]
    backend = Backend(models.BPE({piece: index for index, piece in enumerate(pieces)}, []))
    backend.add_special_tokens(["<pad>"])
    backend.decoder = decoders.Metaspace()
    return Tokenizer(backend)


@pytest.mark.parametrize(
    ("tokenizer", "texts"),
    [
        pytest.param(BYTES, [*ENGLISH, "naïve 日本 👩‍👩‍👧 \x00\n", " leading", ""], id="bytes"),
        pytest.param(WORDS, ["a good film", "the plot is dull"], id="words"),
        pytest.param(CHARACTERS, [*MELODIES, ""], id="characters"),
    ],
)
def test_text_comes_back_as_it_went(tokenizer: Tokenizer, texts: Sequence[str]) -> None:
    for text in texts:
        assert tokenizer.decode(tokenizer.encode(text)) == text


@given(st.text())
def test_any_text_comes_back_from_bytes(text: str) -> None:
    assert BYTES.decode(BYTES.encode(text)) == text


@EVERY_KIND
def test_ids_stay_inside_the_vocabulary(tokenizer: Tokenizer) -> None:
    @settings(max_examples=50)
    @given(st.text())
    def check(text: str) -> None:
        assert all(0 <= one < tokenizer.vocabulary_size for one in tokenizer.encode(text))

    check()


@EVERY_KIND
@pytest.mark.parametrize("text", ["<eos>", "a<pad>b", "<bos> the cat <eos>"])
def test_special_tokens_in_a_text_are_text(tokenizer: Tokenizer, text: str) -> None:
    special = {tokenizer.id_of(name) for name in ("<pad>", "<bos>", "<eos>")}
    assert not special & set(tokenizer.encode(text))


@EVERY_KIND
def test_special_tokens_give_no_text(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("a")
    bos, eos = tokenizer.id_of("<bos>"), tokenizer.id_of("<eos>")
    assert bos is not None
    assert eos is not None
    assert tokenizer.decode([bos, *ids, eos]) == tokenizer.decode(ids)


def test_a_tokenizer_file_cannot_add_pad_or_cut() -> None:
    backend = Backend.from_str(words_tokenizer(REVIEWS)[0].decode())
    backend.enable_padding(length=50)
    backend.enable_truncation(2)
    backend.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", 1), ("<eos>", 2)]
    )
    tokenizer = Tokenizer.from_bytes(backend.to_str().encode())
    assert tokenizer.encode("the plot is dull") == WORDS.encode("the plot is dull")


def test_ids_are_found_by_name() -> None:
    assert (BYTES.id_of("<pad>"), BYTES.id_of("<bos>"), BYTES.id_of("<eos>"), BYTES.id_of("nothing")) == (0, 1, 2, None)


def test_pieces_are_readable() -> None:
    assert CHARACTERS.tokens(CHARACTERS.encode("G2\n")) == ["G", "2", "\n"]
    assert WORDS.tokens([0, *WORDS.encode("a good film"), 2]) == ["<pad>", "a", "good", "film", "<eos>"]
    assert "".join(BYTES.tokens(BYTES.encode("Il cane nero"))) == "Il cane nero"


def test_a_piece_of_a_character_is_shown_as_the_vocabulary_spells_it() -> None:
    pieces = BYTES.tokens(BYTES.encode("👩"))
    assert len(pieces) == 4
    assert all(pieces)
    assert "\N{REPLACEMENT CHARACTER}" not in "".join(pieces)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xff\xfe", id="not text"),
        pytest.param(b"{}", id="no model"),
        pytest.param(b"null", id="null"),
        pytest.param(b'{"a":' * 100_000, id="very deep"),
        pytest.param(bytes_tokenizer(ENGLISH)[0][:500], id="cut off"),
    ],
)
def test_what_is_no_tokenizer_is_refused(raw: bytes) -> None:
    with pytest.raises(BundleError, match="not a tokenizer"):
        Tokenizer.from_bytes(raw)


def panicking_tokenizer() -> bytes:
    """A tokenizer whose decoder panics on the token `a`: it would strip more than there is."""
    content = json.loads(words_tokenizer(REVIEWS)[0])
    content["decoder"] = {"type": "Strip", "content": "a", "start": 0, "stop": 99}
    return json.dumps(content).encode()


def test_a_panic_of_the_library_is_an_error_of_ours() -> None:
    tokenizer = Tokenizer.from_bytes(panicking_tokenizer())
    ids = tokenizer.encode("a")
    for work in (tokenizer.decode, tokenizer.tokens, TextStream(tokenizer).push):
        with pytest.raises(InferenceFailedError, match="the tokenizer broke on"):
            work(ids)


def test_a_tokenizer_that_breaks_on_one_of_its_ids_is_not_proven() -> None:
    with pytest.raises(BundleError, match="the tokenizer broke on a token id"):
        Tokenizer.from_bytes(panicking_tokenizer()).prove()


@EVERY_KIND
def test_a_sound_tokenizer_is_proven(tokenizer: Tokenizer) -> None:
    tokenizer.prove()


@EVERY_KIND
def test_ids_are_those_of_the_library_s_plain_method(tokenizer: Tokenizer) -> None:
    @settings(max_examples=200)
    @given(st.text())
    def check(text: str) -> None:
        assert tokenizer.encode(text) == tokenizer._backend.encode(text, add_special_tokens=False).ids

    check()


def test_ids_with_gaps_are_refused() -> None:
    content = json.loads(words_tokenizer(REVIEWS)[0])
    content["model"]["vocab"]["film"] = 10_000
    with pytest.raises(BundleError, match="without gaps"):
        Tokenizer.from_bytes(json.dumps(content).encode())


def test_added_tokens_count_as_vocabulary() -> None:
    backend = Backend.from_str(words_tokenizer(REVIEWS)[0].decode())
    backend.add_tokens([AddedToken("newcomer")])
    assert Tokenizer.from_bytes(backend.to_str().encode()).vocabulary_size == WORDS.vocabulary_size + 1


# Streams


def streamed(tokenizer: Tokenizer, chunks: Sequence[Sequence[int]]) -> list[str]:
    stream = TextStream(tokenizer)
    return [stream.push(chunk) for chunk in chunks] + [stream.finish()]


@pytest.mark.parametrize(
    "tokenizer",
    [BYTES, WORDS, CHARACTERS, spaced_tokenizer()],
    ids=["bytes", "words", "characters", "a decoder that strips"],
)
def test_pieces_of_a_stream_join_to_the_whole_for_any_ids(tokenizer: Tokenizer) -> None:
    any_id = st.integers(0, tokenizer.vocabulary_size - 1)

    @settings(max_examples=300)
    @given(st.lists(st.lists(any_id, max_size=4), max_size=30))
    def check(chunks: list[list[int]]) -> None:
        whole = tokenizer.decode([one for chunk in chunks for one in chunk])
        assert "".join(streamed(tokenizer, chunks)) == whole

    check()


def test_an_incomplete_character_is_held_back() -> None:
    ids = BYTES.encode("👩a")
    assert streamed(BYTES, [[one] for one in ids]) == ["", "", "", "👩", "a", ""]


def test_what_never_becomes_a_character_comes_out_at_the_end() -> None:
    first, *_ = BYTES.encode("👩")
    assert streamed(BYTES, [[first]]) == ["", "\N{REPLACEMENT CHARACTER}"]


def test_text_comes_as_soon_as_it_is_certain() -> None:
    ids = CHARACTERS.encode("GABc")
    assert streamed(CHARACTERS, [[one] for one in ids]) == ["G", "A", "B", "c", ""]
    assert streamed(WORDS, [[one] for one in WORDS.encode("a good film")]) == ["a", " good", " film", ""]


def test_special_tokens_in_a_stream_give_nothing() -> None:
    ids = WORDS.encode("good film")
    assert streamed(WORDS, [[1], [ids[0]], [0, 0], [ids[1]], [2]]) == ["", "good", "", " film", "", ""]


def test_nothing_streamed_is_nothing_said() -> None:
    assert streamed(BYTES, []) == [""]


def test_a_long_stream_decodes_few_ids_at_a_time() -> None:
    longest = 0

    class Watched(Tokenizer):
        def decode(self, ids: Sequence[int]) -> str:
            nonlocal longest
            longest = max(longest, len(ids))
            return super().decode(ids)

    tokenizer = Watched.from_bytes(characters_tokenizer(MELODIES)[0])
    stream = TextStream(tokenizer)
    for one in tokenizer.encode(MELODIES[0] * 50):
        stream.push([one])
    assert longest <= 2
