"""How the bare loops draw tokens: the limit of a sampling mode must do what the mode says."""

import numpy as np
import pytest

from tests.bench.serving.contenders.bare import choosing
from tests.bench.serving.peers.bare_models import sampled

SHARES = np.array([0.5, 0.3, 0.15, 0.05])


def drawn(**limits: float) -> set[int]:
    """Tokens that come up in many draws from `SHARES`."""
    logits = np.tile(np.log(SHARES[[3, 0, 2, 1]]), (2000, 1)).astype(np.float32)
    return set(SHARES[[3, 0, 2, 1]][sampled(1.0, **limits)(logits)].tolist())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("limits", "kept"),
    [
        pytest.param({}, {0.5, 0.3, 0.15, 0.05}, id="all"),
        pytest.param({"top_k": 2}, {0.5, 0.3}, id="the two likeliest"),
        pytest.param({"top_p": 0.4}, {0.5}, id="the first reaches the mass"),
        pytest.param({"top_p": 0.6}, {0.5, 0.3}, id="the crossing token is kept"),
    ],
)
def test_only_what_a_mode_keeps_is_drawn(limits: dict[str, float], kept: set[float]) -> None:
    assert drawn(**limits) == kept


def test_drawing_follows_the_shares() -> None:
    logits = np.tile(np.log(SHARES), (20_000, 1))
    counts = np.bincount(choosing("sampled")(logits), minlength=4) / 20_000
    assert counts == pytest.approx(SHARES, abs=0.02)
