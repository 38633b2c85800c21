"""How long each part takes, roughly, from the number of its measurements.   Measures nothing."""

from collections.abc import Mapping
from dataclasses import dataclass

TURN_SECONDS = 2.0
"""Of a measurement, beside the seconds that count: processes start and connect, and half a second passes uncounted."""
START_SECONDS = 3.0
"""From a server's start to ready, and its end."""


@dataclass(frozen=True)
class Effort:
    """What a part does, with all peers installed.

    Attributes:
        tries: measurements before the rounds, which are shorter.
        each_round: measurements of a round.
        starts: of servers, and what takes as long; slow ones count for several.
        most_rounds: however many are asked for.
    """

    tries: int
    each_round: int
    starts: int
    most_rounds: int = 1000

    def seconds(self, *, rounds: int, counted: float, tried: float) -> float:
        """What to expect.

        Args:
            rounds: of each contender.
            counted: seconds of a measurement.
            tried: seconds of a try.
        """
        measured = min(rounds, self.most_rounds) * self.each_round * (counted + TURN_SECONDS)
        return measured + self.tries * (tried + TURN_SECONDS) + self.starts * START_SECONDS


EFFORTS: Mapping[str, Effort] = {
    "floor": Effort(tries=0, each_round=4, starts=8),
    "translation": Effort(tries=76, each_round=27, starts=75),  # 40 of the starts are torch, which compiles
    "modes": Effort(tries=68, each_round=20, starts=21),
    "classification": Effort(tries=69, each_round=28, starts=55),  # 20 of them torch, which compiles
    "generation": Effort(tries=67, each_round=26, starts=64),  # 25 of them torch; and the samples' reference
    "startup": Effort(tries=0, each_round=4, starts=3),
    "toolkits": Effort(tries=16, each_round=9, starts=20),
    "growth": Effort(tries=0, each_round=44, starts=77, most_rounds=3),  # 17 of them references
    "bounds": Effort(tries=97, each_round=84, starts=86, most_rounds=3),  # 5 of them the samples' reference
    "costs": Effort(tries=0, each_round=11, starts=13, most_rounds=1),  # a graph's profile takes as long as some starts
}


def minutes(seconds: float) -> str:
    """For people."""
    return f"{seconds / 60:.1f} min"
