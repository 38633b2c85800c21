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

    def put(self, first: int, keys: FloatArray, values: FloatArray, lengths: IntArray) -> None:
        """Store sources as rows `first` and up, which are the last in use.

        Args:
            first: the row of the first of them.
            keys: [sources, time, key].
            values: [sources, time, value].
            lengths: [sources].
        """
        last = first + len(keys)
        self._lengths[first:last], self._padded[first:last] = lengths, keys.shape[1]
        time = int(self._padded[:last].max())
        self._keys = self._with(self._keys, first, keys, time)
        self._values = self._with(self._values, first, values, time)

    def _with(self, stored: FloatArray | None, first: int, added: FloatArray, time: int) -> FloatArray:
        """What is stored of the rows before `first`, and what is added behind it, all of this time."""
        if stored is None or stored.shape[1] != time:
            stored = self._fitted(stored, first, time, added.shape[2])
        last, own_time = first + len(added), added.shape[1]
        stored[first:last, :own_time] = added
        if own_time < time:
            stored[first:last, own_time:] = 0.0
        return stored

    def _fitted(self, stored: FloatArray | None, count: int, time: int, width: int) -> FloatArray:
        """The first `count` rows with zeros behind their old time, or cut; nobody reads the rows after them."""
        fitted = np.empty((self._capacity, time, width), dtype=np.float32)
        shared = 0 if stored is None else min(time, stored.shape[1])
        if stored is not None:
            fitted[:count, :shared] = stored[:count, :shared]
        fitted[:count, shared:] = 0.0
        return fitted

    def move(self, targets: list[int], sources: list[int]) -> None:
        """Copy rows `sources` over rows `targets`."""
        for target, source in zip(targets, sources, strict=True):
            self._lengths[target], self._padded[target] = self._lengths[source], self._padded[source]
            if self._keys is not None and self._values is not None:
                self._keys[target] = self._keys[source]
                self._values[target] = self._values[source]

    def first(self, count: int) -> tuple[FloatArray | None, FloatArray | None, IntArray]:
        """Keys, values and lengths of rows 0 to `count - 1`, as views."""
        if self._keys is None or self._values is None:
            return None, None, self._lengths[:count]
        return self._keys[:count], self._values[:count], self._lengths[:count]
