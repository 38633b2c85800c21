"""From the outputs at all times of a row to one vector: how a classifier sums up what it has read."""

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from training.settings.model import PoolingKind

POOLED_PARTS: Mapping[PoolingKind, tuple[PoolingKind, ...]] = MappingProxyType(
    {"last": ("last",), "max": ("max",), "mean": ("mean",), "concat": ("last", "max", "mean")}
)
"""What each kind puts side by side."""


def pool(kind: PoolingKind, outputs: Tensor, last: Tensor, lengths: Tensor) -> Tensor:
    """Sum up each row.

    Args:
        kind: `last`: the output at the end (backwards: at the begin). `max`, `mean`: over the real times, feature by
            feature. `concat`: all three.
        outputs: [rows, time, features], zero past a row's length.
        last: [rows, features].
        lengths: [rows], at least 1.

    Returns:
        [rows, parts * features], where `parts` is the length of `POOLED_PARTS[kind]`.

    Source: Howard & Ruder 2018, arXiv:1801.06146, section 3.3 (concat pooling).
    """
    pooled = {"last": last}
    if kind in {"max", "concat"}:
        padding = torch.arange(outputs.shape[1], device=outputs.device) >= lengths[:, None]  # [rows, time]
        pooled["max"] = outputs.masked_fill(padding[:, :, None], torch.finfo(outputs.dtype).min).amax(dim=1)
    if kind in {"mean", "concat"}:
        pooled["mean"] = outputs.sum(dim=1) / lengths[:, None]
    return torch.cat([pooled[part] for part in POOLED_PARTS[kind]], dim=1)
