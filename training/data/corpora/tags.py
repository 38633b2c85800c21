"""Sentences with a tag for each word: parts of speech, and names of people, places and things."""

from pathlib import Path

from training.data.examples import Splits, TaggedTokens
from training.data.files.conll import ConllColumns, read_conll
from training.data.files.lines import packed_or_not


def read_ud_english_ewt(folder: Path) -> Splits[TaggedTokens]:
    """English web text with universal parts of speech (UPOS, 17 tags).

    Files `en_ewt-ud-{train,dev,test}.conllu`, packed or not. 12,544 / 2,001 / 2,077 sentences.
    Source: Silveira et al. 2014; Universal Dependencies English Web Treebank, CC BY-SA 4.0.

    Raises:
        DataError: a file is missing, or a line is not CoNLL-U.
    """
    columns = ConllColumns(token=2, tag=4, word_id=1)
    return _read(folder, [f"en_ewt-ud-{part}.conllu" for part in ("train", "dev", "test")], columns)


def read_wnut17(folder: Path) -> Splits[TaggedTokens]:
    """Posts with the names in them, many of which are rare: BIO tags of six kinds.

    Files `wnut17train.conll`, `emerging.dev.conll`, `emerging.test.annotated`. 3,394 / 1,009 / 1,287 sentences.
    Source: Derczynski et al. 2017, WNUT 2017 shared task, CC BY 4.0.

    Raises:
        DataError: a file is missing, or a line is not `TOKEN<tab>TAG`.
    """
    names = ["wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated"]
    return _read(folder, names, ConllColumns(token=1, tag=2))


def _read(folder: Path, names: list[str], columns: ConllColumns) -> Splits[TaggedTokens]:
    return Splits(*(tuple(read_conll(packed_or_not(folder, name), columns)) for name in names))
