"""The samples for labelling: what decides a label is where the sample says it is, and nothing else tells it."""

from collections import Counter
from itertools import pairwise

import pytest

from service.bundle.manifest import check_bio
from service.engine.spans import bio_spans
from service.text.tokenizer import Tokenizer
from tests.trained import ROOT
from training.data.encoding.tokenization import UNKNOWN_ID, train_tokenizer
from training.data.examples import UNLABELLED, LabelledSeries, Splits, TaggedTokens
from training.data.samples import clues, mentions, weather
from training.data.samples.names import FIRST_NAMES, PLACES
from training.settings.recipe import load_recipe

RECIPES = ROOT / "training" / "recipes"


@pytest.fixture(scope="module")
def clue_sample() -> Splits[TaggedTokens]:
    return clues.load()


@pytest.fixture(scope="module")
def mention_sample() -> Splits[TaggedTokens]:
    return mentions.load()


@pytest.fixture(scope="module")
def weather_sample() -> Splits[LabelledSeries]:
    return weather.load()


def clue_of(example: TaggedTokens) -> tuple[int, str]:
    """Where the label is, and which."""
    ((index, tag),) = [(index, tag) for index, tag in enumerate(example.tags) if tag != UNLABELLED]
    return index, tag


def test_only_the_pronoun_has_a_label_and_each_label_half_of_every_part(clue_sample: Splits[TaggedTokens]) -> None:
    for part in (clue_sample.training, clue_sample.validation, clue_sample.test):
        places = [(example.tokens[clue_of(example)[0]].lower(), clue_of(example)[1]) for example in part]
        assert set(Counter(places).values()) == {len(part) // 4}
        assert {word for word, _ in places} == {"he", "she"}


def test_the_words_up_to_the_pronoun_tell_nothing(clue_sample: Splits[TaggedTokens]) -> None:
    """The best guess from them, learnt in training, is right in the test as a coin is, within three deviations."""

    def before(example: TaggedTokens) -> tuple[str, ...]:
        return example.tokens[: clue_of(example)[0] + 1]

    counts: dict[tuple[str, ...], Counter[str]] = {}
    for example in clue_sample.training:
        counts.setdefault(before(example), Counter())[clue_of(example)[1]] += 1
    best = {words: of_words.most_common(1)[0][0] for words, of_words in counts.items()}
    right = sum(best[before(example)] == clue_of(example)[1] for example in clue_sample.test)
    assert abs(right / len(clue_sample.test) - 0.5) < 3 * 0.5 / len(clue_sample.test) ** 0.5


def test_no_name_of_the_test_has_a_token_of_its_own(clue_sample: Splits[TaggedTokens]) -> None:
    settings = load_recipe(RECIPES / "sample-clue.toml").tokenizer
    assert settings is not None
    words = [word for example in clue_sample.training for word in example.tokens]
    tokenizer = Tokenizer.from_bytes(train_tokenizer(words, settings))
    names = {word for example in clue_sample.test for word in example.tokens[1:] if word.istitle()} - {"I"}
    assert len(names) > 1000
    assert {tuple(tokenizer.encode(name)) for name in names} == {(UNKNOWN_ID,)}
    assert tokenizer.encode("he needs to work harder , said about")
    assert UNKNOWN_ID not in tokenizer.encode("he needs to work harder , said about")


def test_the_sentence_of_the_lecture_is_never_shown(clue_sample: Splits[TaggedTokens]) -> None:
    shown = [" ".join(example.tokens) for example in clue_sample.training + clue_sample.validation]
    assert not [text for text in shown if "needs to work harder" in text and "said about" in text]
    assert [text for text in shown if "needs to work harder" in text]


def test_mentions_are_whole_bio_spans_of_three_types(mention_sample: Splits[TaggedTokens]) -> None:
    tags = [example.tags for part in (mention_sample.training, mention_sample.test) for example in part]
    check_bio(sorted({tag for sentence in tags for tag in sentence}))
    types = Counter(span.type for sentence in tags for span in bio_spans(sentence))
    assert set(types) == {"PER", "LOC", "ORG"}
    assert min(types.values()) > 500


def test_a_word_alone_does_not_tell_what_it_names(mention_sample: Splits[TaggedTokens]) -> None:
    tags: dict[str, set[str]] = {}
    for example in mention_sample.training:
        for word, tag in zip(example.tokens, example.tags, strict=True):
            tags.setdefault(word, set()).add(tag)
    for word in set(FIRST_NAMES) & set(PLACES):
        assert {"B-PER", "B-LOC", "B-ORG"} <= tags[word]
    known = set(tags)
    named = [
        word
        for example in mention_sample.test
        for word, tag in zip(example.tokens, example.tags, strict=True)
        if tag != "O"
    ]
    assert 0.2 < sum(word not in known for word in named) / len(named) < 0.7


def test_a_days_label_is_the_next_days_rain_and_readings_are_in_range(weather_sample: Splits[LabelledSeries]) -> None:
    for town in weather_sample.training:
        assert [column.unit for column in town.columns] == ["degC", "%", "m/s"]
        temperatures, humidities, winds = zip(*town.features, strict=True)
        assert -20 < min(temperatures) < max(temperatures) < 45
        assert all(value is None or 20 < value <= 100 for value in humidities)
        assert 0 <= min(winds) < max(winds) < 20
        assert 0.02 < humidities.count(None) / len(humidities) < 0.12
    rain = Counter(label for town in weather_sample.training for label in town.labels)
    assert 0.2 < rain["rain"] / rain.total() < 0.4


def test_how_long_it_has_rained_decides(weather_sample: Splits[LabelledSeries]) -> None:
    """Two days of rain or three: after one, another follows; after three, none."""
    runs = Counter[int]()
    for town in weather_sample.training:
        length = 0
        for before, after in pairwise(town.labels):
            length = length + 1 if before == "rain" else 0
            if length and after == "dry":
                runs[length] += 1
    assert {2, 3} <= set(runs) <= {1, 2, 3}
    assert runs[1] <= len(weather_sample.training)  # only where a town's days begin in the middle of a front


def test_a_town_is_cut_by_time(weather_sample: Splits[LabelledSeries]) -> None:
    parts = (weather_sample.training, weather_sample.validation, weather_sample.test)
    assert [{len(town.labels) for town in part} for part in parts] == [{400}, {100}, {200}]
    assert len({tuple(town.name for town in part) for part in parts}) == 1
