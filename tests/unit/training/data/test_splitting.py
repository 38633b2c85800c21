"""Setting examples apart by a hash of what they say."""

import pytest

from training.data.examples import LabelledText, PlainText, TaggedTokens, TextPair
from training.data.splitting import keys_of, split_by_hash, without_shared


def test_the_order_of_the_file_is_kept() -> None:
    texts = [PlainText(f"text {number}") for number in range(500)]
    splits = split_by_hash(texts, validation=0.1, test=0.1)
    for part in (splits.training, splits.validation, splits.test):
        assert list(part) == sorted(part, key=lambda text: int(text.text.split()[1]))
    assert 25 < len(splits.validation) < 80
    assert 25 < len(splits.test) < 80


def test_nothing_is_set_apart_unless_asked() -> None:
    texts = [PlainText(f"text {number}") for number in range(100)]
    assert split_by_hash(texts).training == tuple(texts)


def test_more_test_examples_take_none_from_validation_into_training() -> None:
    texts = [PlainText(f"text {number}") for number in range(500)]
    small, large = (split_by_hash(texts, test=share) for share in (0.1, 0.2))
    assert set(small.test) <= set(large.test)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(LabelledText("A fine film.", "good"), LabelledText("a fine, film", "bad"), id="labelled"),
        pytest.param(TextPair("Hi.", "Ciao!"), TextPair("Hello", "ciao"), id="targets"),
        pytest.param(TaggedTokens(("A", "b", "."), ("X",) * 3), TaggedTokens(("a", "b"), ("Y",) * 2), id="tokens"),
    ],
)
def test_what_says_the_same_shares_a_key(one: LabelledText, other: LabelledText) -> None:
    assert set(keys_of(one)) & set(keys_of(other))
    assert without_shared([one], [other]) == ()


def test_what_shares_nothing_stays() -> None:
    pairs = [TextPair("a", "x"), TextPair("b", "y")]
    assert without_shared(pairs, [TextPair("x", "a"), TextPair("c", "y")]) == (pairs[0],)
