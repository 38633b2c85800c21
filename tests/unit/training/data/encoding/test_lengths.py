"""Examples that are too long: counted, refused with their place, or left out and told."""

import logging

import pytest

from service.text.tokenizer import Tokenizer
from training.data.encoding.lengths import lengths_of, refuse_too_long, tell_left_out
from training.data.encoding.tokenization import train_tokenizer
from training.data.examples import (
    AnyExample,
    LabelledSeries,
    LabelledText,
    Origin,
    PlainText,
    Splits,
    TaggedTokens,
    TextPair,
)
from training.errors import DataError
from training.settings.recipe import DataSettings, TokenizerSettings

REFUSE = DataSettings(corpus="any", max_token_count=10, max_output_token_count=4, too_long="refuse")
WORDS = Tokenizer.from_bytes(train_tokenizer(["a b c"], TokenizerSettings(kind="words")))
TOKENIZERS = {"text": WORDS, "words": WORDS, "source": WORDS, "target": WORDS}


@pytest.mark.parametrize(
    ("example", "counts"),
    [
        pytest.param(LabelledText("a b c", "x"), {"text": 3}, id="a text"),
        pytest.param(PlainText("a b c"), {"text": 5}, id="bos and eos of a language model"),
        pytest.param(TextPair("a b c", "a"), {"source": 4, "target": 2}, id="eos of a pair"),
        pytest.param(TaggedTokens(("a", "b c"), ("X", "Y")), {"words": 3}, id="tokens of words"),
        pytest.param(LabelledSeries(((1.0,),), ("x",)), {"steps": 1}, id="steps"),
    ],
)
def test_lengths_count_the_special_tokens_of_the_task(example: AnyExample, counts: dict[str, int]) -> None:
    encode = {side: tokenizer.encode for side, tokenizer in TOKENIZERS.items()}
    assert {length.side: length.token_count for length in lengths_of(example, encode, REFUSE)} == counts


@pytest.mark.parametrize("part", ["training", "validation", "test"])
def test_a_sentence_of_ten_thousand_tokens_is_refused_with_its_place(part: str) -> None:
    fine, endless = LabelledText("a b", "x"), LabelledText("a " * 10_000, "x", origin=Origin("mine.tsv", 7))
    parts = {name: (fine, endless) if name == part else (fine,) for name in ("training", "validation", "test")}
    message = r"mine\.tsv, line 7: expected at most 10 tokens \(data\.max_token_count\) in the text, found 10000"
    with pytest.raises(DataError, match=message):
        refuse_too_long(Splits(**parts), TOKENIZERS, REFUSE)
    refuse_too_long(Splits(**parts), TOKENIZERS, REFUSE.model_copy(update={"too_long": "drop"}))


def test_an_example_of_no_file_is_named_by_its_number() -> None:
    splits = Splits((TextPair("a", "a"), TextPair("a", "a a a a")), (), ())
    message = (
        r"corpus any, training example 2: expected at most 4 tokens \(data\.max_output_token_count\) in the target"
    )
    with pytest.raises(DataError, match=message):
        refuse_too_long(splits, TOKENIZERS, REFUSE)


def test_what_is_left_out_is_told_with_its_count(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        tell_left_out(8, 10, REFUSE)
        tell_left_out(10, 10, REFUSE)
    assert [record.message for record in caplog.records] == [
        "training_examples_left_out too_long_or_empty=2 of=10 max_token_count=10 max_output_token_count=4"
    ]
