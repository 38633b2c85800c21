"""Sentences in columns: CoNLL-U with its comments and ids, and plain columns."""

from collections.abc import Callable

import pytest

from training.data.examples import AnySplits, TaggedTokens
from training.errors import DataError

Read = Callable[..., AnySplits]
FILES = {"training": "a", "validation": "a", "test": "a"}

CONLLU = """# sent_id = 1
# text = Vámonos al 10 000
1-2\tVámonos\t_\t_
1\tVamos\tir\tVERB
2\tnos\tnosotros\tPRON
3-4\tal\t_\t_
3\ta\ta\tADP
4\tel\tel\tDET
4.1\tempty\tempty\tX
5\t10 000\t10 000\tNUM

# sent_id = 2
1\t#\t#\tSYM
"""


def test_conllu_is_read_without_comments_multiword_lines_and_empty_nodes(read: Read) -> None:
    splits = read({"a": CONLLU}, format="conll", token_column=2, tag_column=4, id_column=1, **FILES)
    assert splits.training == (
        TaggedTokens(("Vamos", "nos", "a", "el", "10 000"), ("VERB", "PRON", "ADP", "DET", "NUM")),
        TaggedTokens(("#",), ("SYM",)),
    )
    assert str(splits.training[0].origin).endswith("a, line 4")
    assert str(splits.training[1].origin).endswith("a, line 13")


def test_without_ids_a_hash_is_a_token_and_blanks_or_tabs_separate(read: Read) -> None:
    text = "-DOCSTART- -X- O\n\n# NN O\nEU NNP B-ORG\n\t\t\n\n#tag\tNN\tO\n"
    splits = read({"a": text}, format="conll", token_column=1, tag_column=3, **FILES)
    assert splits.training == (TaggedTokens(("#", "EU"), ("O", "B-ORG")), TaggedTokens(("#tag",), ("O",)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("a\tO\nb\n", "a, line 2: expected at least 2 columns, found 1 in 'b'", id="no tag"),
        pytest.param(
            "a\tO\nb\tO\tx\n", "a, line 2: expected 2 columns as in the lines before it, found 3", id="ragged"
        ),
        pytest.param("a\tO\nb\t\n", "a, line 2: expected a tag in column 2, found none", id="empty tag"),
        pytest.param("a\tO\n\t O\n", "a, line 2: expected a token in column 1, found none", id="empty token"),
    ],
)
def test_a_wrong_line_is_named(read: Read, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read({"a": text}, format="conll", token_column=1, tag_column=2, **FILES)


def test_a_tag_that_training_lacks_is_refused(read: Read) -> None:
    files = {"a": "x\tO\n", "b": "x\tO\n\ny\tO\nz\tB-x\n"}
    message = "b, line 3: expected a label .* found 'B-x' at step 2 in the test part"
    with pytest.raises(DataError, match=message):
        read(files, format="conll", token_column=1, tag_column=2, training="a", validation="a", test="b")
