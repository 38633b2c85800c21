"""Running text for language models: sentences of a newspaper, and plays."""

from itertools import pairwise
from pathlib import Path

from training.data.examples import Origin, PlainText, Splits
from training.data.files.lines import packed_or_not, read_text
from training.data.files.texts import read_text_units


def read_ptb(folder: Path) -> Splits[PlainText]:
    """The Penn Treebank as Mikolov prepared it: lower-cased words of a vocabulary of 10,000, one sentence a line.

    Files `ptb.{train,valid,test}.txt`, packed or not. 42,068 / 3,370 / 3,761 sentences, in the order of the text:
    published perplexities carry the state from one to the next, and count an end mark for each.
    Source: Mikolov et al. 2010; text of the LDC (LDC99T42), which may not be redistributed.

    Raises:
        DataError: a file is missing.
    """
    paths = [packed_or_not(folder, f"ptb.{part}.txt") for part in ("train", "valid", "test")]
    return Splits(*(tuple(read_text_units(path, "lines")) for path in paths))


def read_tinyshakespeare(folder: Path) -> Splits[PlainText]:
    """Parts of Shakespeare's plays, 1,115,394 characters: running texts.

    File `input.txt`, packed or not. The last 10 % are for the test, where others measure their validation loss. Of the
    rest, which they train on, 5 % are for validation, from 40 % on: the play that the test is of begins just before
    it, and a model that has not met its people cannot be compared.
    Source: karpathy/char-rnn; the boundary at 90 % of the characters as in karpathy/nanoGPT.

    Raises:
        DataError: the file is missing.
    """
    path = packed_or_not(folder, "input.txt")
    text = read_text(path)
    bounds = [int(len(text) * share) for share in (0, 0.4, 0.45, 0.9, 1)]
    before, validation, after, test = (
        PlainText(text[start:end], origin=Origin(str(path), text.count("\n", 0, start) + 1))
        for start, end in pairwise(bounds)
    )
    return Splits((before, after), (validation,), (test,))
