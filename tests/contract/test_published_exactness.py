"""Invariant 1 on the published bundles: the same bits alone, batched, padded, or joined at random times.

In the int8 that is published, and in fp32 made of the same weights. The control is ONNX Runtime's stock dynamic
quantisation of the same weights.

A thousand real inputs are not a thousand whole texts. Of a longer one (a film review) the first 100 steps are read;
where a corpus has fewer test examples (tunes, stations), passages of 64 steps at most from anywhere in them. Of each,
translators and writers decode 16 tokens.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from service.bundle.manifest import Precision
from service.bundle.store import OpenedBundle, open_bundle
from service.engine.steps import Step
from service.runtime.models import LoadedModel, load_model
from service.serving.engines.exactness import differences
from tests.published import each_published_bundle
from tests.published_inputs import real_inputs, written_inputs
from tests.stock import stock_quantised
from training.export.rebuild import publish_rebuilt

PRECISIONS = pytest.mark.parametrize("precision", ["int8", "fp32"])
WRITTEN_COUNT, REAL_COUNT = 60, 1000
MOST_TOKENS = 16
"""Of what is decoded, of each input: as long as most answers to a sentence."""


@pytest.fixture(scope="module", params=each_published_bundle())
def published(request: pytest.FixtureRequest) -> OpenedBundle:
    return open_bundle(request.param)


@pytest.fixture(scope="module")
def in_fp32(published: OpenedBundle, tmp_path_factory: pytest.TempPathFactory) -> OpenedBundle:
    """The bundle's own weights, exported anew."""
    folder = publish_rebuilt(published.path, tmp_path_factory.mktemp("fp32"), precisions=["fp32"])
    return open_bundle(folder)


@pytest.fixture(scope="module")
def models(published: OpenedBundle, in_fp32: OpenedBundle) -> Mapping[Precision, LoadedModel]:
    return {"int8": load_model(published, precision="int8"), "fp32": load_model(in_fp32)}


@pytest.fixture(scope="module")
def real(published: OpenedBundle) -> list[Sequence[Step]]:
    """Sentences, passages of tunes or texts, days of a station: none was trained on."""
    if "SEQSERVE_DATA" not in os.environ:
        pytest.skip("SEQSERVE_DATA names no folder of real corpora")
    return real_inputs(published, Path(os.environ["SEQSERVE_DATA"]), REAL_COUNT)


@PRECISIONS
def test_no_bit_of_an_answer_depends_on_its_neighbours(
    published: OpenedBundle, models: Mapping[Precision, LoadedModel], precision: Precision
) -> None:
    assert differences(models[precision], written_inputs(published, WRITTEN_COUNT), most_tokens=MOST_TOKENS) == 0


@pytest.mark.data
@PRECISIONS
def test_no_bit_of_an_answer_to_a_thousand_real_inputs_depends_on_its_neighbours(
    real: list[Sequence[Step]], models: Mapping[Precision, LoadedModel], precision: Precision
) -> None:
    assert len(real) == REAL_COUNT
    assert differences(models[precision], real, most_tokens=MOST_TOKENS) == 0


def test_stock_dynamic_quantisation_is_found_out(
    published: OpenedBundle, in_fp32: OpenedBundle, tmp_path: Path
) -> None:
    stock = stock_quantised(in_fp32, load_model(in_fp32), tmp_path)
    assert differences(stock, written_inputs(published, WRITTEN_COUNT), most_tokens=MOST_TOKENS) > 0
