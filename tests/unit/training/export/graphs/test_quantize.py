"""Weights as 7-bit integers."""

import numpy as np
import pytest

from training.export.graphs.quantize import ACTIVATION_LIMIT, WEIGHT_LIMIT, ZERO_POINT, quantise_rows


def test_no_weight_moves_by_more_than_half_its_rows_scale() -> None:
    matrix = np.random.default_rng(0).normal(size=(20, 30)).astype(np.float32) * np.logspace(-3, 3, 20)[:, None]
    rows = quantise_rows(matrix.astype(np.float32))
    assert np.abs(rows.values).max(axis=1).tolist() == [WEIGHT_LIMIT] * 20
    assert (np.abs(rows.values * rows.scales - matrix) <= 0.5001 * rows.scales).all()


def test_a_row_of_zeros_stays_zero() -> None:
    rows = quantise_rows(np.zeros((2, 3), dtype=np.float32))
    assert not rows.values.any()
    assert np.isfinite(rows.scales).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        quantise_rows(np.array([[1.0, value]], dtype=np.float32))


def test_two_products_fit_sixteen_bits_so_that_no_cpu_saturates() -> None:
    assert np.iinfo(np.int16).max >= 2 * (ZERO_POINT + ACTIVATION_LIMIT) * WEIGHT_LIMIT
    assert ZERO_POINT - ACTIVATION_LIMIT >= 0
    assert np.iinfo(np.int16).max < 2 * 255 * 127  # eight bits would not fit
