"""A bound step gives the same bits as a plain one, whatever the unused rows and the padding hold."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from service.bundle.store import OpenedBundle
from service.errors import InferenceFailedError
from service.runtime.bound import BoundStep
from service.runtime.models import LanguageModel, TranslationModel, load_model
from service.runtime.session import Array, GraphSession
from tests.bundles import tiny_bundle

STEPS = 20
ROWS = 5


@pytest.fixture(scope="module")
def random() -> np.random.Generator:
    return np.random.default_rng(7)


def opened_tiny(task: str, *, plain: bool = False) -> OpenedBundle:
    manifest, files = tiny_bundle(task, plain=plain)
    return OpenedBundle(Path("anywhere"), manifest, "digest", files)


def language_model() -> LanguageModel:
    model = load_model(opened_tiny("generation"))
    assert isinstance(model, LanguageModel)
    return model


def translator(*, plain: bool = False) -> TranslationModel:
    model = load_model(opened_tiny("translation", plain=plain))
    assert isinstance(model, TranslationModel)
    return model


def sources(model: TranslationModel, lengths: Sequence[int]) -> tuple[Array, list[Array]]:
    """State and memory of encoded sources."""
    padded = -(-max(lengths) // model.time_multiple) * model.time_multiple
    token_ids = np.full((len(lengths), padded), model.source_pad_id, dtype=np.int64)
    for row, length in enumerate(lengths):
        token_ids[row, :length] = 4 + (np.arange(length) * (row + 3)) % 20
    counts = np.array(lengths, dtype=np.int64)
    encoded = model.encode(token_ids, counts)
    memory = [] if encoded.keys is None or encoded.values is None else [encoded.keys, encoded.values, counts]
    return encoded.state, memory


def plain_steps(session: GraphSession, state: Array, memory: list[Array], tokens: Array) -> list[tuple[Array, ...]]:
    """Every step's outputs and state, the usual way."""
    trace = []
    for ids in tokens:
        logits, state, *rest = session(ids, state, *memory)
        trace.append((logits, *rest, state))
    return trace


def assert_same_bits(
    bound: BoundStep, trace: list[tuple[Array, ...]], tokens: Array, rows: int, time: int | None = None
) -> None:
    for step, ids in enumerate(tokens):
        outputs = (*bound(ids), bound.state)
        for got, expected in zip(outputs, trace[step], strict=True):
            cut = got[:rows, :time] if got.shape[1:] != expected.shape[1:] else got[:rows]
            assert cut.tobytes() == np.ascontiguousarray(expected[:rows]).tobytes()


def test_a_language_model_steps_alike(random: np.random.Generator) -> None:
    model = language_model()
    tokens = random.integers(4, 20, (STEPS, ROWS))
    state = random.standard_normal((ROWS, model.state_size), dtype=np.float32)
    bound = BoundStep(model.sessions["step"], rows=ROWS)
    bound.fill(state)
    assert bound.padded_time == 0
    assert_same_bits(bound, plain_steps(model.sessions["step"], state, [], tokens), tokens, ROWS)


@pytest.mark.parametrize("time_bucket", [16, 64, 128])
def test_a_translator_steps_alike_in_every_bucket(random: np.random.Generator, time_bucket: int) -> None:
    model = translator()
    tokens = random.integers(4, 20, (STEPS, ROWS))
    state, memory = sources(model, [3, 17, 9, 32, 1])
    bound = BoundStep(model.sessions["decoder_step"], rows=ROWS, time_bucket=time_bucket)
    bound.fill(state, *memory)
    assert bound.padded_time == max(32, time_bucket)
    trace = plain_steps(model.sessions["decoder_step"], state, memory, tokens)
    assert_same_bits(bound, trace, tokens, ROWS, time=memory[0].shape[1])


def test_a_translator_without_attention_steps_alike(random: np.random.Generator) -> None:
    model = translator(plain=True)
    tokens = random.integers(4, 20, (STEPS, ROWS))
    state, memory = sources(model, [3, 17, 9, 32, 1])
    assert memory == []
    bound = BoundStep(model.sessions["decoder_step"], rows=ROWS)
    bound.fill(state)
    assert_same_bits(bound, plain_steps(model.sessions["decoder_step"], state, [], tokens), tokens, ROWS)


def test_unused_rows_change_nothing_for_the_others(random: np.random.Generator) -> None:
    model = translator()
    tokens = random.integers(4, 20, (STEPS, ROWS))
    state, memory = sources(model, [3, 17])
    trace = plain_steps(model.sessions["decoder_step"], state, memory, tokens[:, :2])
    junk = [np.full((ROWS - 2, *array.shape[1:]), 3, dtype=array.dtype) for array in (state, *memory)]
    filled = [np.concatenate(pair) for pair in zip((state, *memory), junk, strict=True)]
    bound = BoundStep(model.sessions["decoder_step"], rows=ROWS)
    bound.fill(*filled)
    assert_same_bits(bound, trace, tokens, rows=2, time=memory[0].shape[1])


def test_rows_may_be_exchanged_after_any_number_of_steps(random: np.random.Generator) -> None:
    model = translator()
    bound = BoundStep(model.sessions["decoder_step"], rows=2, time_bucket=16)
    for lengths, steps in (([3, 9], 3), ([40, 2], 4), ([5, 5], 1)):
        tokens = random.integers(4, 20, (steps, 2))
        state, memory = sources(model, lengths)
        bound.fill(state, *memory)
        trace = plain_steps(model.sessions["decoder_step"], state, memory, tokens)
        assert_same_bits(bound, trace, tokens, 2, time=memory[0].shape[1])


def test_what_a_step_returned_is_not_overwritten_by_the_next() -> None:
    model = language_model()
    bound = BoundStep(model.sessions["step"], rows=1)
    bound.fill(np.zeros((1, model.state_size), dtype=np.float32))
    (first,) = bound(np.array([5]))
    kept = first.copy()
    bound(np.array([6]))
    assert first.tobytes() == kept.tobytes()


def test_a_step_that_fails_names_the_graph() -> None:
    model = language_model()
    bound = BoundStep(model.sessions["step"], rows=1)
    bound.fill(np.zeros((1, model.state_size), dtype=np.float32))
    with pytest.raises(InferenceFailedError, match=r"^step\.fp32\.onnx: "):
        bound(np.array([100_000]))
