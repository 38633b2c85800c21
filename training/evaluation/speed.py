"""How fast the service's engine runs a bundle, by itself: no network, no queue.   For comparisons, not for promises."""

import time
from collections.abc import Callable, Sequence, Sized
from functools import partial
from typing import Any

from service.bundle.manifest import FeatureInput
from service.bundle.store import OpenedBundle
from service.engine.offline import classify_all, decode_all, label_all
from service.engine.rows import GenerationRows, TranslationRows
from service.runtime.models import ClassifierModel, LabellerModel, LanguageModel, TranslationModel, load_model
from service.text.tokenizer import Tokenizer
from training.data.encoding.sequences import read_series, read_words
from training.data.encoding.tokenization import encode_long
from training.data.examples import (
    AnyExample,
    AnySplits,
    LabelledSeries,
    LabelledText,
    PlainText,
    TaggedTokens,
    TextPair,
)
from training.data.stable import evenly_spaced
from training.errors import DataError

_EXAMPLE_COUNT = 256
_PROMPT_TOKEN_COUNT, _WRITTEN_TOKEN_COUNT = 20, 100

_Run = Callable[[], Sized]
"""Gives one thing per example, or, of a language model, per token."""


def measure_speed(bundle: OpenedBundle, splits: AnySplits) -> float:
    """Return examples per second, or tokens per second where a model goes on with texts; the best of three runs.

    The examples are at most 256 of the test split, taken at even distances.

    Raises:
        DataError: the examples are for another task.
        BundleError: the bundle is not sound.
    """
    model = load_model(bundle)
    some: Sequence[AnyExample] = evenly_spaced(list(splits.test), _EXAMPLE_COUNT)
    match model:
        case ClassifierModel():
            run = _classification(model, bundle, some)
        case LabellerModel():
            run = _labelling(model, bundle, some)
        case LanguageModel():
            run = _generation(model, bundle, some)
        case TranslationModel():
            run = _translation(model, bundle, some)
    return max(_rate(run) for _ in range(3))


def _rate(run: _Run) -> float:
    start = time.perf_counter()
    count = len(run())
    return count / (time.perf_counter() - start)


def _classification(model: ClassifierModel, bundle: OpenedBundle, examples: Sequence[AnyExample]) -> _Run:
    spec = model.spec
    tokenizer = _tokenizer(bundle, spec.text.tokenizer)
    texts = [tokenizer.encode(one.text)[: spec.max_token_count] for one in examples if isinstance(one, LabelledText)]
    return partial(classify_all, model.classify, _some(texts), pad_id=spec.text.pad_id)


def _labelling(model: LabellerModel, bundle: OpenedBundle, examples: Sequence[AnyExample]) -> _Run:
    spec, reads = model.spec, model.spec.input
    if isinstance(reads, FeatureInput):
        series = [read_series(reads.features, one, "test") for one in examples if isinstance(one, LabelledSeries)]
        rows = [one.steps[: spec.max_token_count] for one in series]
        return partial(label_all, model.label, _some(rows), pad_id=None)
    tokenizer = _tokenizer(bundle, reads.text.tokenizer)
    tagged = [one for one in examples if isinstance(one, TaggedTokens)]
    words = [read_words(tokenizer, reads.label_position, one, "test").steps[: spec.max_token_count] for one in tagged]
    return partial(label_all, model.label, _some(words), pad_id=reads.text.pad_id)


def _generation(model: LanguageModel, bundle: OpenedBundle, examples: Sequence[AnyExample]) -> _Run:
    tokenizer = _tokenizer(bundle, model.spec.text.tokenizer)
    texts = [one.text for one in examples if isinstance(one, PlainText)]
    prompts = [encode_long(tokenizer, text)[:_PROMPT_TOKEN_COUNT] for text in texts]
    rows = GenerationRows(model)

    def write() -> list[int]:
        produced = decode_all(rows, _some(prompts), max_output_token_count=_WRITTEN_TOKEN_COUNT)
        return [token_id for ids in produced for token_id in ids]

    return write


def _translation(model: TranslationModel, bundle: OpenedBundle, examples: Sequence[AnyExample]) -> _Run:
    spec = model.spec
    tokenizer = _tokenizer(bundle, spec.source.tokenizer)
    sources = [
        tokenizer.encode(one.source)[: spec.max_token_count - 1] for one in examples if isinstance(one, TextPair)
    ]
    limit = spec.max_output_token_count
    return partial(decode_all, TranslationRows(model), _some(sources), max_output_token_count=limit)


def _some(rows: Sequence[Any]) -> Sequence[Any]:
    """Token ids or scaled readings of each example, if there is one.

    Raises:
        DataError: there is none.
    """
    if not rows:
        raise DataError("the corpus has no test examples for this bundle")
    return rows


def _tokenizer(bundle: OpenedBundle, name: str) -> Tokenizer:
    return Tokenizer.from_bytes(bundle.files[name])
