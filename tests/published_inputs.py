"""What a bundle is asked when its exactness is tested: examples as its graphs take them, real ones or this project's.

Real ones are test examples of the corpus that its card names. They are read as training reads them.
"""

import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from service.bundle.manifest import FeatureInput, Labelling, WordInput, text_specs
from service.bundle.store import CARD_NAME, OpenedBundle
from service.engine.steps import Step
from service.text.tokenizer import Tokenizer
from training.data.encoding.sequences import read_series, read_words
from training.data.encoding.tokenization import encode_long
from training.data.examples import AnyExample, LabelledSeries, LabelledText, PlainText, TaggedTokens, TextPair
from training.data.load import load_corpus

LONGEST = 100
"""Steps at most: of a longer review the beginning is read."""
LONGEST_PASSAGE = 64
_SAMPLES = {
    "classification": "sample-reviews",
    "generation": "sample-melodies",
    "labelling": "sample-mentions",
    "translation": "sample-sentences",
}


def corpus_of(bundle: OpenedBundle) -> str:
    """The corpus that the card names first: the others are those of what it began from."""
    found = re.search(r"^- Corpus `([^`]+)`", bundle.files[CARD_NAME].decode(), re.MULTILINE)
    assert found, f"{bundle.path}: the card names no corpus"
    return found[1]


def real_inputs(bundle: OpenedBundle, data: Path, count: int) -> list[Sequence[Step]]:
    """As many inputs made of test examples; where these are fewer, of passages from anywhere in them."""
    return _inputs(bundle, load_corpus(corpus_of(bundle), data).test, count)


def written_inputs(bundle: OpenedBundle, count: int) -> list[Sequence[Step]]:
    """As many inputs that the project wrote; of readings, numbers around the mean of each."""
    spec = bundle.manifest.spec
    if isinstance(spec, Labelling) and isinstance(spec.input, FeatureInput):
        random, width = np.random.default_rng(3), len(spec.input.features)
        lengths = random.integers(1, LONGEST_PASSAGE, count)
        return [random.normal(0, 1, (length, width)).tolist() for length in lengths]
    return _inputs(bundle, load_corpus(_SAMPLES[spec.task], None).test, count)


def _inputs(bundle: OpenedBundle, examples: Sequence[AnyExample], count: int) -> list[Sequence[Step]]:
    random = np.random.default_rng(3)
    longest = min(LONGEST, bundle.manifest.spec.max_token_count - 1)
    read = _reader(bundle)

    @cache
    def steps(index: int) -> Sequence[Step]:
        return read(examples[index])

    def passage(index: int) -> Sequence[Step]:
        start = int(random.integers(len(steps(index))))
        return steps(index)[start : start + int(random.integers(1, min(longest, LONGEST_PASSAGE) + 1))]

    order = random.permutation(len(examples))
    if len(examples) >= count:
        found = [steps(int(index))[:longest] for index in order[:count]]
    else:
        found = [passage(int(index)) for index in np.resize(order, count)]
    assert all(len(sequence) for sequence in found)
    return found


def _reader(bundle: OpenedBundle) -> Callable[[AnyExample], Sequence[Step]]:
    spec = bundle.manifest.spec
    texts = text_specs(spec)
    tokenizer = Tokenizer.from_bytes(bundle.files[texts[0].tokenizer]) if texts else None

    def read(example: AnyExample) -> Sequence[Step]:
        match example:
            case LabelledSeries() if isinstance(spec, Labelling) and isinstance(spec.input, FeatureInput):
                steps: Sequence[Step] = read_series(spec.input.features, example, "a test series").steps.tolist()  # type: ignore[union-attr]
                return steps
            case TaggedTokens() if tokenizer and isinstance(spec, Labelling) and isinstance(spec.input, WordInput):
                return list(read_words(tokenizer, spec.input.label_position, example, "a test sentence").steps)
            case LabelledText() | PlainText() if tokenizer:
                return encode_long(tokenizer, example.text)
            case TextPair() if tokenizer:
                return tokenizer.encode(example.source)
        raise AssertionError(f"{bundle.path}: {example!r} is no input for {spec.task}")

    return read
