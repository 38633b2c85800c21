"""Readers of real corpora, each on a few lines written here in the form of its files."""

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from training.data.corpora import CORPORA, folder_of
from training.data.examples import AnyExample, LabelledSeries, LabelledText, PlainText, TaggedTokens, TextPair
from training.data.load import load_corpus
from training.errors import DataError


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return folder


def write_reviews(path: Path, reviews: dict[str, str]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, text in reviews.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))


def texts(examples: tuple[AnyExample, ...]) -> list[str]:
    return [example.text for example in examples if isinstance(example, LabelledText | PlainText)]


def test_every_corpus_is_in_the_folder_of_its_name_or_of_the_files_it_is_a_view_of() -> None:
    views = {name: folder_of(name) for name in CORPORA if folder_of(name) != name}
    text = {"imdb-text": "imdb", "imdb-text-unsup": "imdb", "sst2-text": "sst2-stsa"}
    pairs = {"manythings-ita-eng-more": "manythings-ita-eng"}
    several = dict.fromkeys(("folk-abc", "imdb-and-phrases"), ".")
    assert views == text | pairs | several | {name: "multi30k" for name in CORPORA if name.startswith("multi30k-")}


def test_phrases_of_validation_and_test_sentences_are_not_trained(tmp_path: Path) -> None:
    files = {
        "train.tsv.gz": "label\tsentence\r\n1\ta fine film \r\n0\tdull\r\n0\tthe plot\r\n0\tplot the\r\n1\tfilm\r\n",
        "dev.tsv": "label\tcontent\n1\tquite a fine film indeed\n",
        "test.tsv": "label\tcontent\n0\tthe plot is dull",
    }
    splits = CORPORA["sst2-glue"](write(tmp_path, files))
    assert splits.training == (LabelledText("plot the", "negative"),)
    assert splits.validation == (LabelledText("quite a fine film indeed", "positive"),)
    assert splits.test == (LabelledText("the plot is dull", "negative"),)


def test_a_label_of_no_sentiment_is_named_with_its_line(tmp_path: Path) -> None:
    files = dict.fromkeys(("train.tsv", "dev.tsv", "test.tsv"), "label\tsentence\n1\tfine\n2\todd\n")
    with pytest.raises(DataError, match=r"train\.tsv, line 3: expected `0<tab>text` or `1<tab>text`"):
        CORPORA["sst2-glue"](write(tmp_path, files))


def test_reviews_are_read_from_the_archive(tmp_path: Path) -> None:
    reviews = {f"aclImdb/train/pos/{n}_9.txt": f"Good<br /><br />film {n}." for n in range(100)}
    reviews |= {
        "aclImdb/README": "not a review",
        "aclImdb/train/unsup/0_0.txt": "no label",
        "aclImdb/train/neg/0_1.txt": "In test, too!",
        "aclImdb/test/neg/7_2.txt": "In test too.",
        "aclImdb/test/pos/8_10.txt": "Perché no",
    }
    write_reviews(tmp_path / "aclImdb_v1.tar.gz", reviews)
    splits = CORPORA["imdb"](tmp_path)
    assert splits.test == (LabelledText("In test too.", "negative"), LabelledText("Perché no", "positive"))
    assert sorted(texts(splits.training) + texts(splits.validation)) == sorted(f"Good film {n}." for n in range(100))
    assert 3 < len(splits.validation) < 25
    assert str(splits.test[0].origin).endswith("aclImdb_v1.tar.gz, aclImdb/test/neg/7_2.txt, line 1")


def test_reviews_are_read_in_the_order_of_their_names_whatever_the_archive_s(tmp_path: Path) -> None:
    reviews = [(f"aclImdb/{part}/pos/{n}_9.txt", f"{part} {n}") for part in ("train", "test") for n in range(20)]
    one, other = tmp_path / "one", tmp_path / "other"
    for folder, ordered in ((one, reviews), (other, reviews[::-1])):
        folder.mkdir()
        write_reviews(folder / "aclImdb_v1.tar.gz", dict(ordered))
    assert CORPORA["imdb"](one) == CORPORA["imdb"](other)
    assert texts(CORPORA["imdb"](one).test) == [f"test {n}" for n in sorted(range(20), key=lambda n: f"{n}_9.txt")]


@pytest.fixture
def review_archive(tmp_path: Path) -> Path:
    reviews = {f"aclImdb/train/pos/{n}_9.txt": f"Good film {n}." for n in range(200)}
    reviews |= {f"aclImdb/test/pos/{n}_9.txt": f"Fine film {n}." for n in range(10)}
    reviews |= {f"aclImdb/train/unsup/{n}_0.txt": f"Some film {n}." for n in range(20)}
    reviews |= {f"aclImdb/train/unsup/5{n}_0.txt": f"good film {n}" for n in range(200)}
    reviews |= {"aclImdb/train/unsup/900_0.txt": "fine film 3!"}
    write_reviews(tmp_path / "aclImdb_v1.tar.gz", reviews)
    return tmp_path


def test_reviews_and_phrases_are_trained_together_and_reviews_tested(review_archive: Path, tmp_path: Path) -> None:
    rows = {"train.tsv": "fine\n0\tdull", "dev.tsv": "so fine", "test.tsv": "too fine"}
    (tmp_path / "imdb").mkdir()
    (review_archive / "aclImdb_v1.tar.gz").rename(tmp_path / "imdb" / "aclImdb_v1.tar.gz")
    write(tmp_path / "sst2-glue", {name: f"label\tsentence\n1\t{row}\n" for name, row in rows.items()})
    both, reviews = CORPORA["imdb-and-phrases"](tmp_path), CORPORA["imdb"](tmp_path / "imdb")
    assert both.training == (*reviews.training, LabelledText("dull", "negative"))
    assert both.validation == (*reviews.validation, LabelledText("so fine", "positive"))
    assert both.test == reviews.test


def test_the_text_of_reviews_is_of_those_that_a_classifier_is_trained_on(review_archive: Path) -> None:
    classified, read = CORPORA["imdb"](review_archive), CORPORA["imdb-text"](review_archive)
    assert texts(read.training) == texts(classified.training)
    assert sorted(texts(read.validation) + texts(read.test)) == sorted(texts(classified.validation))
    assert read.validation
    assert read.test


def test_reviews_without_a_label_are_read_on_demand_but_none_that_is_held_out(review_archive: Path) -> None:
    labelled, every = CORPORA["imdb-text"](review_archive), CORPORA["imdb-text-unsup"](review_archive)
    assert (every.validation, every.test) == (labelled.validation, labelled.test)
    more = set(texts(every.training)) - set(texts(labelled.training))
    assert {text for text in more if text.startswith("Some")} == {f"Some film {n}." for n in range(20)}
    assert "fine film 3!" not in more
    held_out = {text.lower().removesuffix(".") for text in texts(labelled.validation) + texts(labelled.test)}
    assert not held_out & more
    assert {text for text in more if text.startswith("good")} == {
        text.lower().removesuffix(".") for text in texts(labelled.training)
    }


def test_an_archive_without_unlabelled_reviews_is_named(tmp_path: Path) -> None:
    reviews = {f"aclImdb/train/pos/{n}_9.txt": f"Good film {n}." for n in range(99)}
    write_reviews(tmp_path / "aclImdb_labelled.tar.gz", reviews)
    with pytest.raises(DataError, match=r"aclImdb_labelled\.tar\.gz: expected aclImdb/train/unsup/\*\.txt, found none"):
        CORPORA["imdb-text-unsup"](tmp_path)


def test_the_text_of_sentences_keeps_its_parts_and_trains_on_none_of_the_others(tmp_path: Path) -> None:
    files = {
        "stsa.binary.train": "1 a fine film\n0 so dull\n",
        "stsa.binary.dev": "0 so dull !\n",
        "stsa.binary.test": "1 fun\n",
    }
    splits = CORPORA["sst2-text"](write(tmp_path, files))
    assert [texts(part) for part in (splits.training, splits.validation, splits.test)] == [
        ["a fine film"],
        ["so dull !"],
        ["fun"],
    ]


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"aclImdb_v1\.tar\.gz: expected a file of the corpus"):
        CORPORA["imdb"](tmp_path)
    (tmp_path / "aclImdb_labelled.tar.gz").write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"aclImdb_labelled\.tar\.gz: expected a tar\.gz archive"):
        CORPORA["imdb"](tmp_path)


def test_captions_come_raw_and_tokenized_with_either_test_set(tmp_path: Path) -> None:
    parts = ("train", "val", "test_2016_flickr", "test_2017_flickr")
    for part in parts:
        write(tmp_path / "multi30k", {f"{part}.en.gz": f"A {part}.\n", f"{part}.de.gz": f"Ein {part}.\n"})
        tokenized = {f"{part}.lc.norm.tok.en": f"a {part} .\n", f"{part}.lc.norm.tok.de": f"ein {part} .\n"}
        write(tmp_path / "multi30k", tokenized)
    raw = load_corpus("multi30k-en-de", tmp_path)
    assert (raw.training, raw.validation) == ((TextPair("A train.", "Ein train."),), (TextPair("A val.", "Ein val."),))
    assert load_corpus("multi30k-en-de-tok-2017", tmp_path).test == (
        TextPair("a test_2017_flickr .", "ein test_2017_flickr ."),
    )


def test_parts_of_speech_are_the_universal_ones(tmp_path: Path) -> None:
    rows = [
        "# text = Don't",
        "1-2\tDon't" + "\t_" * 8,
        "1\tDo\tdo\tAUX\tVBP" + "\t_" * 5,
        "2\tn't\tnot\tPART\tRB" + "\t_" * 5,
    ]
    files = {f"en_ewt-ud-{part}.conllu.gz": "\n".join(rows) + "\n\n" for part in ("train", "dev", "test")}
    assert CORPORA["ud-english-ewt"](write(tmp_path, files)).test == (TaggedTokens(("Do", "n't"), ("AUX", "PART")),)


def test_names_in_posts_are_bio_tags_and_a_lone_tab_ends_a_sentence(tmp_path: Path) -> None:
    files = dict.fromkeys(
        ("wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated"), "#rome\tB-location\n!\tO\n\t\nok\tO\n"
    )
    assert CORPORA["wnut17"](write(tmp_path, files)).training == (
        TaggedTokens(("#rome", "!"), ("B-location", "O")),
        TaggedTokens(("ok",), ("O",)),
    )


WEATHER = (
    "Date,Location,MinTemp,MaxTemp,Rainfall,Evaporation,Sunshine,WindGustDir,WindGustSpeed,WindDir9am,WindDir3pm,"
    "WindSpeed9am,WindSpeed3pm,Humidity9am,Humidity3pm,Pressure9am,Pressure3pm,Cloud9am,Cloud3pm,Temp9am,Temp3pm,"
    "RainToday,RISK_MM,RainTomorrow\n"
)
READINGS = "1,2,0.6,NA,NA,W,44,NE,NA,20,24,71,22,1007.7,1007.1,8,NA,16.9,21.8,Yes,99"


def test_weather_is_cut_by_date_and_never_reads_tomorrow(tmp_path: Path) -> None:
    days = {"2016-12-31": "No", "2015-12-31": "Yes", "2015-12-30": "No", "2017-01-01": "Yes", "2016-05-05": "NA"}
    rows = [f"{day},Albury,{READINGS},{label}" for day, label in days.items()]
    rows.append(f"2016-01-01,Cobar,{READINGS},No")
    splits = CORPORA["weather-aus"](write(tmp_path, {"weatherAUS.csv": WEATHER + "\n".join(rows) + "\n"}))
    parts = [
        [(series.name, series.labels) for series in part if isinstance(series, LabelledSeries)]
        for part in (splits.training, splits.validation, splits.test)
    ]
    assert parts == [[("Albury", ("No", "Yes"))], [("Albury", ("No",)), ("Cobar", ("No",))], [("Albury", ("Yes",))]]
    series = splits.training[0]
    assert isinstance(series, LabelledSeries)
    readings = dict(zip((column.name for column in series.columns), series.features[0], strict=True))
    assert "RISK_MM" not in readings
    assert 99 not in readings.values()
    assert (readings["Sunshine"], readings["Pressure3pm"], readings["RainToday"]) == (None, 1007.1, 1.0)
    assert (readings["WindGustDirNorth"], readings["WindGustDirEast"]) == (0.0, -1.0)
    assert (readings["WindDir9amNorth"], readings["WindDir9amEast"]) == (0.707107, 0.707107)
    assert readings["WindDir3pmEast"] is None


def test_tunes_keep_metre_unit_and_key(tmp_path: Path) -> None:
    nottingham = 'X: 1\nT:A\n% Nottingham Music Database\nS:EF\nM:4/4\nK:A\nP:A\nf|"A"ecc c2f|\n\n\n'
    irish = "X:1\nT:B\nZ: id:dc-1\nM:C|\nL:1/8\nK:D Major\n\nGF|DG!\nBG|G2:|!\n\n"
    folder = write(tmp_path, {"nottingham-abc/ABC_cleaned/jigs.abc": nottingham, "irish-abc/irish.abc": irish})
    one, other = (CORPORA[name](folder / name) for name in ("nottingham-abc", "irish-abc"))
    assert texts((*one.training, *one.validation, *one.test)) == ['M:4/4\nK:A\nf|"A"ecc c2f|']
    assert texts((*other.training, *other.validation, *other.test)) == ["M:C|\nL:1/8\nK:D Major\nGF|DG\nBG|G2:|"]
    both = CORPORA["folk-abc"](folder)
    for part in ("training", "validation", "test"):
        assert getattr(both, part) == (*getattr(one, part), *getattr(other, part))


def test_the_last_tenth_of_the_plays_is_for_the_test(tmp_path: Path) -> None:
    text = "".join(chr(ord("a") + n % 26) for n in range(199)) + "\n"
    splits = CORPORA["tinyshakespeare"](write(tmp_path, {"input.txt": text}))
    assert texts(splits.training) == [text[:80], text[90:180]]
    assert texts((*splits.validation, *splits.test)) == [text[80:90], text[180:]]


def test_sentences_of_the_treebank_keep_their_order(tmp_path: Path) -> None:
    files = {f"ptb.{part}.txt": f" {part} <unk> \n second N \n" for part in ("train", "valid", "test")}
    assert texts(CORPORA["ptb"](write(tmp_path, files)).validation) == ["valid <unk>", "second N"]


def test_a_name_of_two_languages_is_in_one_part_with_both_labels(tmp_path: Path) -> None:
    shared = [f"Shared{n}" for n in range(200)]
    files = {"Czech.txt": "\n".join([*shared, "Abl", "Abl"]), "Polish.txt": "\n".join(shared).upper()}
    splits = CORPORA["names"](write(tmp_path, files))
    parts = [splits.training, splits.validation, splits.test]
    assert sum(map(len, parts)) == 401
    for part in parts:
        labels = [example.label for example in part if isinstance(example, LabelledText) and example.text != "Abl"]
        assert labels.count("Czech") == labels.count("Polish") > 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("names", r"expected files LANGUAGE\.txt of the corpus, found none", id="names"),
        pytest.param("nottingham-abc", r"ABC_cleaned: expected \.abc files of the corpus, found none", id="nottingham"),
        pytest.param("ptb", r"ptb\.train\.txt: expected a file of the corpus", id="ptb"),
        pytest.param("weather-aus", r"weatherAUS\.csv: expected a file of the corpus", id="weather"),
    ],
)
def test_an_empty_folder_is_named(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        CORPORA[name](tmp_path)
