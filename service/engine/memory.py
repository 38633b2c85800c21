"""Encoded sources of the running rows, kept contiguous so that a step reads them without a copy."""

import numpy as np

from service.engine.steps import FloatArray, IntArray


class SourceMemory:
    """Keys and values of up to `capacity` rows; rows 0 to `count - 1` are in use.

    Time is as long as the longest source in use, which its encoder has already padded to the model's multiple.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._lengths = np.ones(capacity, dtype=np.int64)
        self._padded = np.zeros(capacity, dtype=np.int64)
        self._keys: FloatArray | None = None  # [capacity, time, key]
        self._values: FloatArray | None = None  # [capacity, time, value]

    def put(self, row: int, keys: FloatArray, values: FloatArray, length: int) -> None:
        """Store one source ([time, key], [time, value]) as row `row`, which is the last in use."""
        time = keys.shape[0]
        self._lengths[row], self._padded[row] = length, time
        self._keys = self._fitted(self._keys, row, keys)
        self._values = self._fitted(self._values, row, values)

    def _fitted(self, stored: FloatArray | None, row: int, added: FloatArray) -> FloatArray:
        time = int(self._padded[: row + 1].max())
        if stored is None or stored.shape[1] != time:
            fresh = np.zeros((self._capacity, time, added.shape[1]), dtype=np.float32)
            if stored is not None:
                shared = min(time, stored.shape[1])
                fresh[:row, :shared] = stored[:row, :shared]
            stored = fresh
        stored[row, : len(added)] = added
        stored[row, len(added) :] = 0.0
        return stored

    def move(self, source: int, target: int) -> None:
        """Copy row `source` over row `target`."""
        self._lengths[target], self._padded[target] = self._lengths[source], self._padded[source]
        if self._keys is not None and self._values is not None:
            self._keys[target] = self._keys[source]
            self._values[target] = self._values[source]

    def first(self, count: int) -> tuple[FloatArray | None, FloatArray | None, IntArray]:
        """Keys, values and lengths of rows 0 to `count - 1`, as views."""
        if self._keys is None or self._values is None:
            return None, None, self._lengths[:count]
        return self._keys[:count], self._values[:count], self._lengths[:count]
