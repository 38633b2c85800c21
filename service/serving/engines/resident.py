"""Rows whose state and sources stay on the device between steps, and are sent there anew only when rows have moved.

For models on `cuda`. What the host keeps of the state is a copy that every step brings back: a few KiB a row, which
whoever joins, leaves or is told of is read from and written to.
"""

from collections.abc import Sequence

import numpy as np

from service.engine.steps import Carried, FloatArray, IntArray, RowModel, Started
from service.runtime.bound import BoundStep
from service.runtime.session import Array


class ResidentRows:
    """A row model whose steps run bound.

    Args:
        rows: the model, which reads prompts and sources as ever.
        bound: its step, of as many rows as the loop has.
    """

    def __init__(self, rows: RowModel, bound: BoundStep) -> None:
        self._rows = rows
        self._bound = bound
        self._sources_moved = self._state_moved = True
        self.eos_id = rows.eos_id
        self.banned_ids = rows.banned_ids
        self.state_size = rows.state_size
        self.reads_slices = rows.reads_slices
        self.time_multiple = rows.time_multiple
        self.reads_by_step = rows.reads_by_step

    def start(self, sequences: list[IntArray], carried: Sequence[Carried | None]) -> Started:
        """Read prompts or sources."""
        return self._rows.start(sequences, carried)

    def moved(self, *, sources: bool) -> None:
        """Send the state, or all, before the next step."""
        self._state_moved = True
        self._sources_moved |= sources

    def step(
        self,
        token_ids: IntArray,
        state: FloatArray,
        keys: FloatArray | None,
        values: FloatArray | None,
        lengths: IntArray,
    ) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """One token per row."""
        self._send(state, keys, values, lengths)
        logits, *attention = self._bound(self._all_rows(token_ids))
        count, after = len(token_ids), self._bound.state
        looked = attention[0][:count, : keys.shape[1]] if attention and keys is not None else None
        return logits[:count], after[:count], looked

    def _send(self, state: FloatArray, keys: FloatArray | None, values: FloatArray | None, lengths: IntArray) -> None:
        if self._sources_moved:
            sources: tuple[Array, ...] = () if keys is None or values is None else (keys, values, lengths)
            self._bound.fill(self._all_rows(state), *(self._all_rows(source) for source in sources))
        elif self._state_moved:
            self._bound.fill_state(self._all_rows(state))
        self._sources_moved = self._state_moved = False

    def _all_rows(self, array: Array) -> Array:
        """The array with rows that nobody uses behind it: of ones, which are a token, a length and a state."""
        whole = np.ones((self._bound.row_count, *array.shape[1:]), dtype=array.dtype)
        whole[: len(array)] = array
        return whole
