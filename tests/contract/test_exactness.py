"""Invariant 1 on the trained models' weights: an answer is the same, bit for bit, alone, batched, padded or joined.

In fp32 and in the int8 that is published. The negative control is ONNX Runtime's stock dynamic quantisation, which
shares one activation scale across the batch: the same checks must find it out.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from service.bundle.store import OpenedBundle, open_bundle
from service.engine.batches import pad
from service.engine.requests import DecodeOptions, DecodeRequest
from service.errors import BundleError
from service.runtime.models import ClassifierModel, LanguageModel, load_model
from service.serving.engines.engine_loop import decoding_rows
from service.serving.engines.exactness import RecordingLoop, bits_of, differences, prove_exact
from tests.bundles import tiny_bundle
from tests.stock import stock_quantised
from tests.trained import exported_in_both, trained_bundle

SAMPLES = (
    *("sample-sentiment", "sample-melody", "sample-en-it"),
    *("sample-tags", "sample-rain", "sample-clue", "sample-clue-one-direction"),
)
PRECISIONS = ("fp32", "int8")


@pytest.fixture(scope="module")
def bundles() -> Mapping[str, OpenedBundle]:
    return {name: open_bundle(trained_bundle(name)) for name in SAMPLES}


@pytest.fixture(scope="module")
def both_precisions(bundles: Mapping[str, OpenedBundle]) -> Mapping[str, OpenedBundle]:
    """The trained weights exported anew, with both variants."""
    return {name: exported_in_both(name) for name in bundles}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", SAMPLES)
def test_no_bit_of_an_answer_depends_on_its_neighbours(
    both_precisions: Mapping[str, OpenedBundle], name: str, precision: str
) -> None:
    assert differences(load_model(both_precisions[name], precision=precision)) == 0


def test_int8_is_another_computation_than_fp32(both_precisions: Mapping[str, OpenedBundle]) -> None:
    """Else the int8 half of the test above would show nothing."""
    token_ids, lengths = pad([np.arange(4, 24, dtype=np.int64)], 0)
    models = [load_model(both_precisions["sample-sentiment"], precision=precision) for precision in PRECISIONS]
    fp32, int8 = (model.classify(token_ids, lengths) for model in models if isinstance(model, ClassifierModel))
    assert 0 < np.abs(fp32 - int8).max() < 0.5


@pytest.mark.parametrize("name", SAMPLES)
def test_stock_dynamic_quantisation_is_found_out(
    bundles: Mapping[str, OpenedBundle], name: str, tmp_path: Path
) -> None:
    model = load_model(bundles[name])
    assert differences(stock_quantised(bundles[name], model, tmp_path)) > 0


TINY_LABELLERS = pytest.mark.parametrize(
    ("task", "plain"),
    [
        pytest.param("labelling", False, id="words, one direction"),
        pytest.param("labelling", True, id="words, both directions"),
        pytest.param("labelling-features", False, id="features, one direction"),
        pytest.param("labelling-features", True, id="features, both directions"),
    ],
)


def tiny_labeller(task: str, *, plain: bool) -> OpenedBundle:
    manifest, files = tiny_bundle(task, plain=plain)
    return OpenedBundle(Path("anywhere"), manifest, "digest", files)


@TINY_LABELLERS
def test_no_bit_of_a_label_depends_on_the_neighbours(task: str, plain: bool) -> None:
    assert differences(load_model(tiny_labeller(task, plain=plain))) == 0


@TINY_LABELLERS
def test_stock_dynamic_quantisation_of_a_labeller_is_found_out(task: str, plain: bool, tmp_path: Path) -> None:
    bundle = tiny_labeller(task, plain=plain)
    stock = stock_quantised(bundle, load_model(bundle), tmp_path)
    assert differences(stock) > 0
    with pytest.raises(BundleError, match=r"^mine: not exact: \d+ of 96 answers alone differ from those in a crowd"):
        prove_exact(stock, where="mine")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_prompt_read_by_the_engine_equals_the_same_prompt_read_step_by_step(
    both_precisions: Mapping[str, OpenedBundle], precision: str
) -> None:
    model = load_model(both_precisions["sample-melody"], precision=precision)
    assert isinstance(model, LanguageModel)
    assert model.reads_by_step is (precision == "int8")
    prompt = np.arange(4, 24, dtype=np.int64)
    loop = RecordingLoop(decoding_rows(model), capacity=3)
    loop.join([DecodeRequest(1, prompt, DecodeOptions(2)), DecodeRequest(2, prompt[:5], DecodeOptions(30))])
    while loop.count:
        loop.step()
    state = np.zeros((1, model.state_size), dtype=np.float32)
    for token in [model.bos_id, *prompt]:
        logits, state = model.step(np.array([token]), state)
    assert loop.traces[1][0] == bits_of(logits[0])
