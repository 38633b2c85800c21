"""Readers of real corpora: on small files written here, and, where the user keeps them, on the real ones."""

import gzip
import os
from pathlib import Path
from typing import cast

import pytest

from training.data.corpora import CORPORA, normalise_sentence, read_manythings_ita_eng, read_sst2_stsa
from training.data.examples import LabelledText, Splits, TextPair, group_references
from training.data.load import load_corpus
from training.errors import DataError


def write_sst2(folder: Path, **parts: bytes) -> Path:
    for part in ("train", "dev", "test"):
        (folder / f"stsa.binary.{part}").write_bytes(parts.get(part, b"1 a fine film\n0 a bore\n"))
    return folder


def write_manythings(folder: Path, text: str) -> Path:
    (folder / "formatted.txt.gz").write_bytes(gzip.compress(text.encode()))
    return folder


def parts_of(splits: Splits[TextPair]) -> dict[TextPair, str]:
    return {pair: part for part in ("training", "validation", "test") for pair in getattr(splits, part)}


def test_sst2_has_its_own_splits(tmp_path: Path) -> None:
    splits = read_sst2_stsa(write_sst2(tmp_path, train=b"0 so , so\n1 a stirring , funny film", dev=b"1 good\r\n"))
    assert splits.training == (LabelledText("so , so", "negative"), LabelledText("a stirring , funny film", "positive"))
    assert splits.validation == (LabelledText("good", "positive"),)
    assert len(splits.test) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"1 fine\n2 odd label\n", "line 2: expected `0 sentence` or `1 sentence`", id="label"),
        pytest.param(b"1 fine\n\n", "line 2: expected", id="empty line"),
        pytest.param(b"1 \n", "line 1: expected", id="no sentence"),
        pytest.param(b"1 fine\n0 caf\xe9 noir\n", "line 2: expected UTF-8 text", id="not UTF-8"),
        pytest.param(b"", "expected at least one line", id="empty file"),
    ],
)
def test_a_broken_sst2_file_is_named_with_its_line(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_sst2_stsa(write_sst2(tmp_path, dev=content))
    assert str(tmp_path / "stsa.binary.dev") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"stsa\.binary\.train: expected a file of the corpus: No such file"):
        read_sst2_stsa(tmp_path)


def test_pairs_are_read_with_either_line_end_and_an_attribution_column(tmp_path: Path) -> None:
    text = "Hi.\tCiao!\r\nGo.\tVai.\tCC-BY 2.0\nHi.\tCiao!\n\N{NEXT LINE}Odd\tStrano\n"
    pairs = parts_of(read_manythings_ita_eng(write_manythings(tmp_path, text)))
    assert set(pairs) == {TextPair("Hi.", "Ciao!"), TextPair("Go.", "Vai."), TextPair("Odd", "Strano")}


def test_a_fifth_of_typed_training_pairs_lack_their_last_mark_on_both_sides(tmp_path: Path) -> None:
    lines = [f"Sentence {number}.\tFrase {number}." for number in range(1000)] + ["Odd\tStrano.", "Word?\tParola."]
    folder = write_manythings(tmp_path, "\n".join(lines))
    whole, typed = read_manythings_ita_eng(folder), CORPORA["manythings-ita-eng-typed"](folder)
    assert (typed.validation, typed.test) == (whole.validation, whole.test)
    pairs = cast("list[tuple[TextPair, TextPair]]", list(zip(whole.training, typed.training, strict=True)))
    changed = [(before, after) for before, after in pairs if before != after]
    assert 0.15 < len(changed) / len(pairs) < 0.25
    for before, after in changed:
        assert (f"{after.source}.", f"{after.target}.") == (before.source, before.target)


def test_sentences_that_share_a_translation_stay_together(tmp_path: Path) -> None:
    lines = [
        f"Word{group}.\tParola{group}\nWord{group}!\tTermine{group}\nTerm{group}\ttermine{group}?"
        for group in range(900)
    ]
    parts = parts_of(read_manythings_ita_eng(write_manythings(tmp_path, "\n".join(lines))))
    assert len(parts) == 2700
    assert set(parts.values()) == {"training", "validation", "test"}
    for group in range(900):
        of_group = {part for pair, part in parts.items() if pair.source.strip("!.")[4:] == str(group)}
        assert len(of_group) == 1


def test_the_split_survives_other_lines_around_a_sentence(tmp_path: Path) -> None:
    lines = [f"Sentence {number}\tFrase {number}" for number in range(1000)]
    before = parts_of(read_manythings_ita_eng(write_manythings(tmp_path, "\n".join(lines))))
    after = parts_of(read_manythings_ita_eng(write_manythings(tmp_path, "\n".join(reversed(lines[:500])))))
    assert after == {pair: before[pair] for pair in after}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("Hi.\tCiao!\nHi. Ciao!\n", "line 2: expected `English<tab>Italian`", id="no tab"),
        pytest.param("\tCiao!\n", "line 1: expected", id="no English"),
        pytest.param("a\tb\tc\td\n", "line 1: expected", id="four columns"),
    ],
)
def test_a_broken_pair_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_manythings_ita_eng(write_manythings(tmp_path, text))


@pytest.mark.parametrize(
    "content",
    [pytest.param(b"Hi.\tCiao!\n", id="not packed"), pytest.param(gzip.compress(b"x" * 999)[:-9], id="cut off")],
)
def test_a_file_that_is_not_gzip_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "formatted.txt.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"formatted\.txt\.gz: expected a gzip file"):
        read_manythings_ita_eng(tmp_path)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        pytest.param("Ciao!", "ciao", id="punctuation and case"),
        pytest.param("I'm  here.", "i m here", id="blanks"),
        pytest.param("PERCHE\N{COMBINING GRAVE ACCENT}?", "perchè", id="accents"),
        pytest.param("?!", "?!", id="punctuation alone"),
    ],
)
def test_spellings_of_one_sentence_are_one(text: str, normal: str) -> None:
    assert normalise_sentence(text) == normal


def test_references_are_gathered_by_source() -> None:
    pairs = [TextPair("a", "x"), TextPair("b", "y"), TextPair("a", "z"), TextPair("a", "x")]
    assert [(text.source, text.references) for text in group_references(pairs)] == [("a", ("x", "z")), ("b", ("y",))]


@pytest.fixture(scope="module")
def data_folder() -> Path:
    folder = os.environ.get("SEQSERVE_DATA")
    if not folder:
        pytest.skip("SEQSERVE_DATA names no folder of real corpora")
    return Path(folder)


@pytest.mark.data
def test_the_real_sst2_is_whole(data_folder: Path) -> None:
    splits = load_corpus("sst2-stsa", data_folder)
    assert [len(part) for part in (splits.training, splits.validation, splits.test)] == [6920, 872, 1821]


@pytest.mark.data
def test_the_real_pairs_are_split_without_a_shared_sentence(data_folder: Path) -> None:
    splits = CORPORA["manythings-ita-eng"](data_folder / "manythings-ita-eng")
    sides: dict[str, list[set[str]]] = {}
    for part in ("training", "validation", "test"):
        pairs = getattr(splits, part)
        sides[part] = [{normalise_sentence(getattr(pair, side)) for pair in pairs} for side in ("source", "target")]
    total = len(splits.training) + len(splits.validation) + len(splits.test)
    assert total > 300_000
    for side in range(2):
        for one, other in (("training", "validation"), ("training", "test"), ("validation", "test")):
            assert not sides[one][side] & sides[other][side]
    assert 0.005 < len(splits.test) / total < 0.02
    assert 0.005 < len(splits.validation) / total < 0.02
