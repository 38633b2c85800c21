"""Running text, line-aligned pairs of files, and tunes."""

from collections.abc import Callable

import pytest

from training.data.examples import AnySplits, PlainText, TextPair
from training.data.files.abc import note_letters
from training.errors import DataError

Read = Callable[..., AnySplits]
FILES = {"training": "a", "validation": "a", "test": "a"}
TEXT = "\nTitle\n\nOne line.\n  Another.\n\n \nEnd"


@pytest.mark.parametrize(
    ("unit", "texts", "lines"),
    [
        pytest.param("lines", ["Title", "One line.", "Another.", "End"], [2, 4, 5, 8], id="lines"),
        pytest.param("documents", ["Title", "One line.\n  Another.", "End"], [2, 4, 8], id="documents"),
        pytest.param("files", ["Title\n\nOne line.\n  Another.\n\n \nEnd"], [1], id="files"),
    ],
)
def test_plain_text_is_cut_into_units(read: Read, unit: str, texts: list[str], lines: list[int]) -> None:
    splits = read({"a": TEXT}, format="text", unit=unit, **FILES)
    assert splits.training == tuple(map(PlainText, texts))
    assert [example.origin.line for example in splits.training if example.origin] == lines


def test_a_file_of_empty_lines_is_refused(read: Read) -> None:
    with pytest.raises(DataError, match="a: expected text, found empty lines alone"):
        read({"a": "\n \n"}, format="text", unit="lines", **FILES)


def test_lines_of_two_files_are_paired(read: Read) -> None:
    pair = {"source": "en", "target": "it"}
    files = {"en": "Hi.\r\nGo.\r\n", "it": "Ciao.\nVai.\n"}
    splits = read(files, format="parallel", training=[pair, pair], validation=pair, test=pair)
    assert splits.validation == (TextPair("Hi.", "Ciao."), TextPair("Go.", "Vai."))
    assert len(splits.training) == 4


@pytest.mark.parametrize(
    ("english", "italian", "message"),
    [
        pytest.param(
            "a\nb\n", "a\n", r"it, line 2: expected as many lines as \S+en has \(2\), found the end", id="short"
        ),
        pytest.param("a\nb\n", "a\n\n", "it, line 2: expected a sentence, found an empty line", id="empty line"),
    ],
)
def test_files_that_are_not_aligned_are_refused(read: Read, english: str, italian: str, message: str) -> None:
    pair = {"source": "en", "target": "it"}
    with pytest.raises(DataError, match=message):
        read({"en": english, "it": italian}, format="parallel", training=pair, validation=pair, test=pair)


def test_pairs_that_share_a_sentence_stay_in_one_part(read: Read) -> None:
    english = "".join(f"Word {n}.\nword {n}!\nTerm {n}\n" for n in range(300))
    italian = "".join(f"Parola {n}\nTermine {n}\ntermine {n}?\n" for n in range(300))
    splits = read(
        {"en": english, "it": italian},
        format="parallel",
        training={"source": "en", "target": "it"},
        split={"validation": 0.1, "test": 0.1},
    )
    parts = {"training": splits.training, "validation": splits.validation, "test": splits.test}
    part_of = {pair: part for part, pairs in parts.items() for pair in pairs if isinstance(pair, TextPair)}
    assert len(part_of) == 900
    for n in range(300):
        assert len({part for pair, part in part_of.items() if pair.source.strip(".!").split()[1] == str(n)}) == 1


TUNES = """Some words about the tunes.

X:1
T:One % a title
M:4/4
K:G
GABc|d4|
w:la la
% a comment
P:B
K:D
d2f2|]

Free text between the tunes.
X: 2
K:C

C4|
"""


def test_tunes_are_read_with_the_fields_that_are_kept(read: Read) -> None:
    splits = read({"a": TUNES}, format="abc", **FILES)
    assert splits.training == (PlainText("M:4/4\nK:G\nGABc|d4|\nK:D\nd2f2|]"), PlainText("K:C\nC4|"))
    assert [example.origin.line for example in splits.training if example.origin] == [3, 15]
    titled = read({"a": TUNES}, format="abc", keep_fields="TK", **FILES)
    assert titled.training[0] == PlainText("T:One\nK:G\nGABc|d4|\nK:D\nd2f2|]")


def test_spellings_of_a_tune_share_the_letters_of_its_notes() -> None:
    one = 'M:2/4\nL:1/4\nK:G\n"Am"E/2A/2 [K:D] {c}A/2^B,/2|\nw:words\n!trill!c\'4:|'
    other = "M:C\nL:1/8\nK:A Dorian\nea cAb|C8"
    assert note_letters(one) == note_letters(other) == "EACABC"
    assert note_letters("ABBA: a play in five acts") == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "just text\n", "a: expected tunes in ABC notation, found no line that begins with `X:`", id="none"
        ),
        pytest.param("\nX:1\nM:4/4\nabc\n", "a, line 2: expected a tune with a key", id="no key"),
        pytest.param(
            "X:1\nK:G\nabc\n\nX:2\nK:G\n", "a, line 5: expected a tune with music, found fields", id="no music"
        ),
    ],
)
def test_a_file_without_proper_tunes_is_refused(read: Read, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read({"a": text}, format="abc", **FILES)
