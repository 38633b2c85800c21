"""The seams of the engine: what it needs of a model.   ONNX sessions in production, a few lines in tests."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

IntArray: TypeAlias = npt.NDArray[np.int64]
FloatArray: TypeAlias = npt.NDArray[np.float32]
StepArray: TypeAlias = IntArray | FloatArray
"""The steps of sequences: token ids, or feature values with one more dimension."""

Step: TypeAlias = int | Sequence[float]
"""One step as a plain value: a token id, or the value of every feature."""


class Classify(Protocol):
    """A classifier: whole sequences in, one row of logits each."""

    def __call__(self, token_ids: IntArray, lengths: IntArray) -> FloatArray:
        """Map [rows, time] ids and [rows] lengths to [rows, labels] logits."""
        ...


class Label(Protocol):
    """A labeller: whole sequences in, one row of logits per step."""

    def __call__(self, steps: StepArray, lengths: IntArray) -> FloatArray:
        """Map [rows, time] ids or [rows, time, features] and [rows] lengths to [rows, time, labels] logits."""
        ...


class LanguageSteps(Protocol):
    """A language model: prefill reads a prompt, step reads one token per row."""

    @property
    def reads_by_step(self) -> bool:
        """Whether prompts are read by `step`, a token at a time: `prefill` is not to be called."""
        ...

    @property
    def pad_id(self) -> int:
        """Fills the positions past a prompt's end."""
        ...

    @property
    def bos_id(self) -> int:
        """Begins every prompt."""
        ...

    @property
    def eos_id(self) -> int:
        """Ends a text."""
        ...

    @property
    def state_size(self) -> int:
        """Width of one row of state."""
        ...

    def prefill(self, token_ids: IntArray, lengths: IntArray, state: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Map [rows, time] ids, [rows] lengths and [rows, state] to [rows, vocab] last logits and the new state."""
        ...

    def step(self, token_ids: IntArray, state: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Map [rows] ids and [rows, state] to [rows, vocab] logits and the new state."""
        ...


class EncodedSource(Protocol):
    """A batch of encoded sources. `keys` and `values` are None for a model without attention."""

    @property
    def keys(self) -> FloatArray | None:
        """[rows, time, key]: projected once, not at every step."""
        ...

    @property
    def values(self) -> FloatArray | None:
        """[rows, time, value]."""
        ...

    @property
    def state(self) -> FloatArray:
        """[rows, state]: the decoder's first state."""
        ...


class TranslationSteps(Protocol):
    """An encoder-decoder: encode reads sources, step writes one target token per row."""

    @property
    def source_pad_id(self) -> int:
        """Fills the positions past a source's end."""
        ...

    @property
    def source_eos_id(self) -> int:
        """Ends every source."""
        ...

    @property
    def target_pad_id(self) -> int:
        """Pads targets in training; never produced."""
        ...

    @property
    def bos_id(self) -> int:
        """The decoder's first input."""
        ...

    @property
    def eos_id(self) -> int:
        """Ends a translation."""
        ...

    @property
    def time_multiple(self) -> int:
        """Sources are padded to a multiple of this, so that sums over time are exact."""
        ...

    @property
    def state_size(self) -> int:
        """Width of one row of state."""
        ...

    def encode(self, token_ids: IntArray, lengths: IntArray) -> EncodedSource:
        """Map [rows, time] ids and [rows] lengths to what the decoder needs."""
        ...

    def step(
        self,
        token_ids: IntArray,
        state: FloatArray,
        keys: FloatArray | None,
        values: FloatArray | None,
        lengths: IntArray,
    ) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """Map [rows] ids, state and sources to [rows, vocab] logits, the new state and [rows, time] attention."""
        ...


@dataclass(frozen=True)
class Carried:
    """Where a row of a language model stands between two tokens: all that another engine needs to go on.

    Args:
        state: [state], before `last_id` was read.
        last_id: the token that was written last, which is read next.
        token_count: tokens written so far, by which the next one's random number is found.
        sample: which of the samples of its request it is.
        known_ids: tokens read and written, oldest first, where a rule looks back at them; else none.
    """

    state: FloatArray
    last_id: int
    token_count: int
    sample: int = 0
    known_ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class Started:
    """Rows that have read their prompt or source.

    Args:
        state: [rows, state].
        logits: [rows, vocab] for the first token to produce; None where the first step has yet to make them.
        first_inputs: [rows] ids that the first step reads; ignored where logits are given.
        keys: [rows, time, key] or None.
        values: [rows, time, value] or None.
        lengths: [rows] lengths of the prompts or sources, special tokens included.
        padded_time: the time to which they were padded.
    """

    state: FloatArray
    logits: FloatArray | None
    first_inputs: IntArray
    keys: FloatArray | None
    values: FloatArray | None
    lengths: IntArray
    padded_time: int

    def rows(self, chosen: Sequence[int] | npt.NDArray[np.intp]) -> "Started":
        """Some of the rows, in the order given; these same arrays where that is all of them, as they are."""
        if list(chosen) == list(range(len(self.lengths))):
            return self
        logits, keys, values = (
            None if array is None else array[chosen] for array in (self.logits, self.keys, self.values)
        )
        state, firsts, lengths = self.state[chosen], self.first_inputs[chosen], self.lengths[chosen]
        return Started(state, logits, firsts, keys, values, lengths, self.padded_time)


class RowModel(Protocol):
    """A model whose rows decode side by side, whatever their task."""

    @property
    def eos_id(self) -> int:
        """The token that ends a row."""
        ...

    @property
    def banned_ids(self) -> tuple[int, ...]:
        """Tokens that must never be produced."""
        ...

    @property
    def state_size(self) -> int:
        """Width of one row of state."""
        ...

    @property
    def reads_by_step(self) -> bool:
        """Whether prompts are read by `step`: `start` then runs nothing, and tells what the first step reads."""
        ...

    @property
    def reads_slices(self) -> bool:
        """Whether a sequence may be read in parts, each `start` going on from the state of the one before."""
        ...

    @property
    def time_multiple(self) -> int:
        """`start` pads to a multiple of this."""
        ...

    def start(self, sequences: list[IntArray], carried: Sequence[Carried | None]) -> Started:
        """Read prompts or sources, batched and padded; a prompt after what its row has `carried`, if it has."""
        ...

    def moved(self, *, sources: bool) -> None:
        """Be told that the rows' state is not what the last step gave, and whether their sources have changed, too."""
        ...

    def step(
        self,
        token_ids: IntArray,
        state: FloatArray,
        keys: FloatArray | None,
        values: FloatArray | None,
        lengths: IntArray,
    ) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """One token per row; shapes as in `TranslationSteps.step`."""
        ...
