"""On this machine tanh and sigmoid are largest where the ranges of int8 are pinned."""

import numpy as np

from service.runtime import pins


def test_no_number_gives_more_than_the_pinned_units_have() -> None:
    assert pins.pins_hold()


def test_a_pin_elsewhere_would_be_seen() -> None:
    tanh = pins._values("Tanh", (8.0, 10.0), 20.0)
    assert tanh[-1] == 1
    assert tanh.max() == np.float32(1) + 2 * np.finfo(np.float32).eps
