"""What the tests of reports share: pictures decoded."""

import io
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from matplotlib.image import imread


@pytest.fixture
def decode_png() -> Callable[[bytes], npt.NDArray[np.float32]]:
    """Pixels [height, width, channels] of a PNG."""

    def decode(png: bytes) -> npt.NDArray[np.float32]:
        return np.asarray(imread(io.BytesIO(png), format="png"), dtype=np.float32)

    return decode
