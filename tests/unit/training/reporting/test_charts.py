"""Pictures over one axis: drawn, and different where the numbers are."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from training.reporting.charts import (
    draw_averages,
    draw_calibration,
    draw_curves,
    draw_length_bleu,
    draw_lengths,
    draw_place_losses,
)
from training.reporting.measures import LengthBleu, PlaceLoss
from training.run.checkpoint import Epoch
from training.scoring.calibration import Calibration

Decode = Callable[[bytes], npt.NDArray[np.float32]]
NAN = float("nan")


def curves(*values: float) -> bytes:
    epochs = [Epoch(number, 1 / number, value, 1.0) for number, value in enumerate(values, start=1)]
    return draw_curves(epochs, best=1, metric="validation BLEU")


def lengths(*training: int) -> bytes:
    parts = {"training": np.array(training), "test": np.array([5])}
    return draw_lengths(parts, limit=100, unit="tokens")


def calibration(*accuracy: float) -> bytes:
    edges, counts, confidence = np.array([0.0, 0.5, 1.0]), np.array([0, 3]), np.array([NAN, 0.8])
    return draw_calibration(Calibration(edges, counts, confidence, np.array(accuracy), 0.1))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(curves(1.0, 2.0), curves(2.0, 1.0), id="curves"),
        pytest.param(curves(1.0), curves(1.0, 1.0), id="curves of one epoch and of two"),
        pytest.param(lengths(5, 5), lengths(5, 9), id="lengths"),
        pytest.param(lengths(5, 100_000), lengths(5, 9), id="lengths, one far out"),
        pytest.param(calibration(NAN, 0.5), calibration(NAN, 0.9), id="calibration with an empty bin"),
        pytest.param(
            draw_place_losses([PlaceLoss(0, 4, 1.0, 9), PlaceLoss(5, 8, 2.0, 7)]),
            draw_place_losses([PlaceLoss(0, 4, 2.0, 9), PlaceLoss(5, 8, 1.0, 7)]),
            id="loss by place",
        ),
        pytest.param(
            draw_length_bleu([LengthBleu(1, 5, 30.0, 4), LengthBleu(6, 9, 20.0, 4)]),
            draw_length_bleu([LengthBleu(1, 5, 20.0, 4), LengthBleu(6, 9, 30.0, 4)]),
            id="BLEU by length",
        ),
        pytest.param(
            draw_averages({"forget gate": np.array([0.1, 0.9])}, ["a", "b"]),
            draw_averages({"forget gate": np.array([0.9, 0.1])}, ["a", "b"]),
            id="averages",
        ),
    ],
)
def test_other_numbers_make_another_picture(one: bytes, other: bytes, decode_png: Decode) -> None:
    first, second = decode_png(one), decode_png(other)
    assert first[..., :3].std() > 0.02
    assert not np.array_equal(first, second)
