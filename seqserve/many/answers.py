"""What a caller meets of a run of many inputs: answers, and the pause between inputs.   Sends nothing."""

from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from seqserve.errors import SeqserveError
from seqserve.results import ModelVersion, Timings

Input = TypeVar("Input")
Value = TypeVar("Value")


class Pause(Enum):
    """What an iterable of inputs may give between them, as PAUSE: no more of them for now.

    What came before is sent and answered before the next input is asked for. An iterable that waits itself, for lines
    of a pipe or messages of a socket, gives it when it is about to wait.
    """

    PAUSE = "pause"


PAUSE = Pause.PAUSE


@dataclass(frozen=True)
class Answer(Generic[Input, Value]):
    """The answer to one of many inputs.

    `index` counts the inputs from 0. `model_version` and `timings` are those of the request that brought the answer,
    and so is `seed`, where tokens were sampled; an input that was refused has none of them.
    """

    index: int
    input: Input
    outcome: Value | SeqserveError
    model_version: ModelVersion | None = None
    timings: Timings | None = None
    seed: int | None = None

    @property
    def error(self) -> SeqserveError | None:
        """Why this input was refused, or None."""
        return self.outcome if isinstance(self.outcome, SeqserveError) else None

    @property
    def value(self) -> Value:
        """What was asked for.

        Raises:
            SeqserveError: this input was refused; the others are not affected.
        """
        if isinstance(self.outcome, SeqserveError):
            raise self.outcome
        return self.outcome
