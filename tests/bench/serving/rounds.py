"""Contenders take turns, round by round, so that a machine whose speed drifts treats all alike.   Knows no server."""

import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import psutil

from tests.bench.serving.figures import Sample, median, values_of

FAILURES = (RuntimeError, OSError, subprocess.SubprocessError, psutil.Error)
"""What a contender that does not run ends in."""


@dataclass(frozen=True)
class Contender:
    """Somebody who is measured.

    Attributes:
        title: for the table.
        measure: one round.
        exact: every answer must be the reference's, else the bench fails.
        is_peer: whoever does not run has an empty row with the reason; a contender of our own fails the bench.
    """

    title: str
    measure: Callable[[], Sample]
    exact: bool = False
    is_peer: bool = False


@dataclass
class Measured:
    """Every round of those that ran, in the order of the table, and of the others why not."""

    samples: dict[str, list[Sample]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)

    def median(self, title: str, name: str = "items_per_second") -> float:
        """The median of a figure of a contender."""
        return median(values_of(self.samples[title], name))


@dataclass
class Tries:
    """Settings that were tried before the rounds.

    Attributes:
        measured: all of them.
        by: the figure that they are chosen by; of one in ms the lowest is the best.
    """

    measured: Measured = field(default_factory=Measured)
    by: str = "items_per_second"

    def add(self, measured: Measured) -> None:
        """Settings that were measured after the others."""
        self.measured.samples |= measured.samples
        self.measured.absent |= measured.absent

    def in_order(self) -> list[str]:
        """Those that ran, the best first."""
        found = self.measured.samples
        return sorted(
            found, key=lambda title: self.measured.median(title, self.by), reverse=not self.by.endswith("_ms")
        )

    def best(self) -> str:
        """Who is the best.   Raises RuntimeError with a reason if none of them ran."""
        if not self.measured.samples:
            raise RuntimeError(next(iter(self.measured.absent.values()), "nothing was tried"))
        return self.in_order()[0]


class WrongAnswerError(Exception):
    """An exact contender gave an answer that is not the reference's."""


def take_turns(contenders: Sequence[Contender], rounds: int) -> Measured:
    """Measure everybody in every round.

    Raises:
        WrongAnswerError: an exact contender was not.
        RuntimeError: a contender of our own failed.
    """
    measured, going = Measured(), list(contenders)
    for number in range(rounds):
        for contender in tuple(going):
            try:
                sample = contender.measure()
                _check(contender, sample)
            except FAILURES as error:
                if not contender.is_peer:
                    raise
                going.remove(contender)
                measured.samples.pop(contender.title, None)
                measured.absent[contender.title] = why_absent(error)
                continue
            measured.samples.setdefault(contender.title, []).append(sample)
            _tell(f"{number + 1}/{rounds} {contender.title}: {sample.items_per_second:,.0f} texts/s")
    order = [contender.title for contender in contenders if contender.title in measured.samples]
    measured.samples = {title: measured.samples[title] for title in order}
    return measured


def why_absent(error: Exception) -> str:
    """The last line of what went wrong, fit for a table."""
    text = str(getattr(error, "stderr", "") or error).strip()
    last = text.splitlines()[-1].strip() if text else type(error).__name__
    return last.replace("|", "/")[:300]


def _check(contender: Contender, sample: Sample) -> None:
    if contender.exact and math.isnan(sample.agreement):
        raise RuntimeError(f"{contender.title}: no text was answered to its end within a round; measure for longer")
    if contender.exact and sample.agreement < 1:
        wrong = f"{1 - sample.agreement:.3%} of the answers differ from the reference"
        raise WrongAnswerError(f"{contender.title}: {wrong}")
    if not (sample.items_per_second or sample.tokens_per_second):
        raise RuntimeError(f"{contender.title}: no answer within a round; measure for longer")


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
