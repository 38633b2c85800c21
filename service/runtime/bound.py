"""A decoding step whose state and sources stay where the graph runs: token ids go in, logits come out.

The seam for engines on a GPU, where moving sources of several MB at every token would cost more than the step. Rows and
padded time are fixed, and so is every address, as the capture of a CUDA graph needs it.
"""

import math

import numpy as np
import onnxruntime

from service.bundle.manifest import Graph
from service.runtime.session import Array, GraphSession

STATE, NEXT_STATE, TOKENS = "state", "next_state", "token_ids"
SOURCE_TENSORS = frozenset({"keys", "values", "attention"})
"""Tensors whose second dimension is the padded time of the sources."""


class BoundStep:
    """A step graph (`step` or `decoder_step`) over a fixed number of rows.

    Two buffers hold the state: each step reads one and writes the other. All rows run at every step; those that nobody
    uses cost time and change nothing, because rows do not see one another.

    Args:
        session: the graph.
        rows: how many rows every step runs.
        time_bucket: sources are padded to a multiple of this, so that few different shapes occur.
    """

    def __init__(self, session: GraphSession, *, rows: int, time_bucket: int = 64) -> None:
        self._session = session
        self._rows = rows
        self._time_bucket = time_bucket
        self._padded_time = 0
        self._values: dict[str, onnxruntime.OrtValue] = {}
        self._bindings: list[onnxruntime.IOBinding] = []
        self._turn = 0

    @property
    def padded_time(self) -> int:
        """Padded time of the sources; 0 for a graph without sources."""
        return self._padded_time

    @property
    def state(self) -> Array:
        """[rows, state_size], copied from where it lives."""
        return np.array(self._values[(STATE, NEXT_STATE)[self._turn]].numpy())

    @property
    def row_count(self) -> int:
        """How many rows every step runs."""
        return self._rows

    def fill(self, state: Array, *source: Array) -> None:
        """Replace what is kept, when rows join or leave.

        Args:
            state: [rows, state_size], float32.
            source: keys and values, [rows, time, width], float32, and lengths, [rows], int64, as the graph asks.
        """
        time = max((array.shape[1] for array in source if array.ndim == 3), default=0)
        padded = math.ceil(time / self._time_bucket) * self._time_bucket
        if not self._bindings or padded != self._padded_time:
            self._allocate(padded)
        self.fill_state(state)
        names = [tensor.name for tensor in self._session.graph.inputs if tensor.name not in {TOKENS, STATE}]
        for name, array in zip(names, source, strict=True):
            self._values[name].update_inplace(self._fitted(array))

    def fill_state(self, state: Array) -> None:
        """Replace the state alone, [rows, state_size]; sources stay as they are."""
        self._turn = 0
        self._values[STATE].update_inplace(np.ascontiguousarray(state))

    def __call__(self, token_ids: Array) -> tuple[Array, ...]:
        """Read one token per row, `token_ids` [rows]: every output but the state, copied, in manifest order."""
        self._values[TOKENS].update_inplace(np.ascontiguousarray(token_ids))
        self._session.run_bound(self._bindings[self._turn])
        self._turn = 1 - self._turn
        outputs = [tensor.name for tensor in self._session.graph.outputs if tensor.name != NEXT_STATE]
        return tuple(np.array(self._values[name].numpy()) for name in outputs)

    def _fitted(self, array: Array) -> Array:
        """An array with its time padded by zeros."""
        if array.ndim < 3:
            return np.ascontiguousarray(array)
        padded = np.zeros((array.shape[0], self._padded_time, array.shape[2]), dtype=array.dtype)
        padded[:, : array.shape[1]] = array
        return padded

    def _allocate(self, padded_time: int) -> None:
        """Reserve every tensor for a padded time, and bind them for both turns of the state."""
        self._padded_time = padded_time
        graph: Graph = self._session.graph
        for tensor in (*graph.inputs, *graph.outputs):
            sizes = [self._size_of(tensor.name, axis, size) for axis, size in enumerate(tensor.shape)]
            self._values[tensor.name] = onnxruntime.OrtValue.ortvalue_from_shape_and_type(
                sizes, np.dtype(tensor.dtype), self._session.device, 0
            )
        self._bindings = [self._bind(STATE, NEXT_STATE), self._bind(NEXT_STATE, STATE)]

    def _size_of(self, name: str, axis: int, size: int | str) -> int:
        if isinstance(size, int):
            return size
        return self._padded_time if axis == 1 and name in SOURCE_TENSORS else self._rows

    def _bind(self, read: str, written: str) -> onnxruntime.IOBinding:
        binding = self._session.new_binding()
        for tensor in self._session.graph.inputs:
            binding.bind_ortvalue_input(tensor.name, self._values[read if tensor.name == STATE else tensor.name])
        for tensor in self._session.graph.outputs:
            name = written if tensor.name == NEXT_STATE else tensor.name
            binding.bind_ortvalue_output(tensor.name, self._values[name])
        return binding
