"""State tokens of requests: who may have some, what those given hold, and those to be given.   Knows no queue."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from service.bundle.manifest import Generation, Labelling, TaskSpec, text_specs
from service.errors import InvalidArgumentError, StateKeysMissingError, StateNotCarriedError
from service.serving.api import LabelledSequence, ModelInfo
from service.serving.options import GenerateOptions
from service.state.contents import (
    STATE_DTYPE,
    SequenceState,
    TextState,
    decoded_sequence,
    decoded_text,
    encoded,
)
from service.state.requests import SequenceStates
from service.state.tokens import Origin, StateTokens

MOST_STATE_BYTES = 2_000_000
"""Largest states of one answer in sum: with as many labels as it may bring, that is what any client receives."""


def carried_state_size(spec: TaskSpec) -> int | None:
    """How many numbers a model carries from one request to the next; None: none, or its method has no use for them."""
    return spec.state_size if isinstance(spec, Generation | Labelling) else None


@dataclass(frozen=True)
class ModelStates:
    """State tokens of one model.

    Args:
        tokens: signs and opens them.
        origin: what they are bound to.
        state_size: how many numbers the model carries.
        vocabulary_size: how many tokens it has; 0 for one that reads no text.
    """

    tokens: StateTokens
    origin: Origin
    state_size: int
    vocabulary_size: int

    def issue(self, content: TextState | SequenceState) -> bytes:
        """The token of a state."""
        return self.tokens.issue(self.origin, encoded(content))

    def text(self, token: bytes, *, allow_inexact: bool) -> TextState:
        """Where a text stands.

        Raises:
            ServiceError: the token is refused; `StateTokens.open` tells when.
        """
        field = "state_token"
        raw = self.tokens.open(token, self.origin, field=field, allow_inexact=allow_inexact)
        return decoded_text(raw, state_size=self.state_size, vocabulary_size=self.vocabulary_size, field=field)

    def sequences(self, asked: SequenceStates) -> list[bytes]:
        """The states that sequences begin with; nothing for one that begins anew.

        Raises:
            ServiceError: a token is refused.
        """
        return [
            self._sequence(token, f"sequences[{index}].state_token", allow_inexact=asked.allow_inexact)
            for index, token in enumerate(asked.tokens)
        ]

    def _sequence(self, token: bytes, field: str, *, allow_inexact: bool) -> bytes:
        if not token:
            return b""
        raw = self.tokens.open(token, self.origin, field=field, allow_inexact=allow_inexact)
        return decoded_sequence(raw, state_size=self.state_size, field=field).state

    def check_size(self, count: int, field: str) -> None:
        """Refuse to give more states than a client could receive.

        Raises:
            InvalidArgumentError: names the field and the limit.
        """
        most = MOST_STATE_BYTES // (STATE_DTYPE.itemsize * self.state_size)
        if count > most:
            raise InvalidArgumentError(
                f"{field} asks for {count} states of {self.state_size} numbers each, at most {most} of them are sent",
                field=field,
                state_count=count,
                limit=most,
            )


@dataclass(frozen=True)
class SequenceCarrier:
    """The states that the sequences of a request begin with, one each or none at all, and what signs their last."""

    begin: Sequence[bytes] = ()
    issue: Callable[[SequenceState], bytes] | None = None

    def added(self, found: tuple[LabelledSequence, ...], states: Sequence[bytes]) -> tuple[LabelledSequence, ...]:
        """Labelled sequences with the tokens of the states that they ended with, if these were asked for."""
        if self.issue is None:
            return found
        pairs = zip(found, states, strict=True)
        return tuple(replace(one, state_token=self.issue(SequenceState(state))) for one, state in pairs)


class StateDesk:
    """What becomes of the state tokens that a request brings and wants.

    Args:
        tokens: signs and opens tokens; None: this server has no keys.
    """

    def __init__(self, tokens: StateTokens | None) -> None:
        self._tokens = tokens

    def text(
        self, info: ModelInfo, spec: TaskSpec, options: GenerateOptions
    ) -> tuple[TextState | None, Callable[[TextState], bytes] | None]:
        """Where the text stands that a generation goes on with, and what signs where it will stand; None, if neither.

        Raises:
            ServiceError: the model or the server has no state tokens, or the one given is refused.
        """
        resumption = options.resumption
        if resumption is None and not options.include_state_token:
            return None, None
        states = self._of(info, spec)
        states.check_size(1, "include_state_token")
        resumed = None if resumption is None else states.text(resumption.token, allow_inexact=resumption.allow_inexact)
        return resumed, states.issue if options.include_state_token else None

    def sequences(self, info: ModelInfo, spec: TaskSpec, asked: SequenceStates, count: int) -> SequenceCarrier:
        """What `count` sequences begin with, and what signs where they end.

        Raises:
            ServiceError: the model or the server has no state tokens, or one that is given is refused.
        """
        if not (asked.tokens or asked.include):
            return SequenceCarrier()
        states = self._of(info, spec)
        if asked.include:
            states.check_size(count, "include_state_token")
        return SequenceCarrier(states.sequences(asked), states.issue if asked.include else None)

    def _of(self, info: ModelInfo, spec: TaskSpec) -> ModelStates:
        """State tokens of a model, if it carries state and this server has keys."""
        size = carried_state_size(spec)
        if size is None:
            raise StateNotCarriedError(
                f"model {info.name}@{info.version} carries no state from one request to the next: it reads sequences "
                "in both directions, so that the end of one must be known at its beginning",
                field="model",
                model=info.name,
            )
        if self._tokens is None:
            raise StateKeysMissingError(
                "this server issues and takes no state tokens: it was started without state_keys (--state-keys FILE) "
                "and without ephemeral_state_key",
                setting="state_keys",
            )
        texts = text_specs(spec)
        vocabulary_size = texts[0].vocabulary_size if texts else 0
        return ModelStates(self._tokens, Origin(info.digest, info.numerics_class), size, vocabulary_size)
