"""What requests say of state: which tokens they go on from, and whether they want some.   Plain values."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Resumption:
    """An earlier text that a generation goes on with.

    Args:
        token: the state token.
        given: names of the options that the request sets; all others are those of the token.
        allow_inexact: whether a token of another numerics class will do.
    """

    token: bytes
    given: frozenset[str] = frozenset()
    allow_inexact: bool = False


@dataclass(frozen=True)
class SequenceStates:
    """What a labeller's request says of state.

    Args:
        tokens: for each sequence, the state token that it goes on from, or nothing; empty where none does.
        allow_inexact: whether tokens of another numerics class will do.
        include: whether each labelled sequence brings its state token.
    """

    tokens: tuple[bytes, ...] = ()
    allow_inexact: bool = False
    include: bool = False


STATELESS = SequenceStates()
