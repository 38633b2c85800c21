"""Every error the service raises on purpose: a stable reason and the facts.   Knows no gRPC and no status code.

`service.transport.status` owns the only table from these classes to status codes.
"""

from typing import ClassVar


class ServiceError(Exception):
    """An error with a stable reason, a message for people, and facts for programs.

    Args:
        message: one line: what is wrong, where, and what was expected.
        field: the request field at fault, as the proto spells it (`texts[3]`), or None.
        facts: values that the message mentions, by name.
    """

    reason: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, *, field: str | None = None, **facts: object) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.facts = {name: str(value) for name, value in facts.items()}


class InvalidArgumentError(ServiceError):
    """A field of the request is out of range, missing or contradictory."""

    reason = "INVALID_ARGUMENT"


class UndecodableMessageError(ServiceError):
    """The bytes of a request are not the message that the method takes."""

    reason = "UNDECODABLE_MESSAGE"


class TextTooLongError(ServiceError):
    """A text has more tokens than the model takes, or texts have more characters than are looked at."""

    reason = "TEXT_TOO_LONG"


class SequenceTooLongError(ServiceError):
    """A sequence has more rows than the model takes."""

    reason = "SEQUENCE_TOO_LONG"


class ModelNotFoundError(ServiceError):
    """No model, or no version of it, has this name."""

    reason = "MODEL_NOT_FOUND"


class ModelNotReadyError(ServiceError):
    """The model is known but is not (or not yet, or no longer) able to answer."""

    reason = "MODEL_NOT_READY"


class WrongTaskError(ServiceError):
    """The model does something else than the method asks for."""

    reason = "WRONG_TASK"


class WrongInputError(ServiceError):
    """The model reads words and was given rows of features, or the other way round."""

    reason = "WRONG_INPUT"


class AttentionNotAvailableError(ServiceError):
    """Attention weights were asked of a model that has none."""

    reason = "ATTENTION_NOT_AVAILABLE"


class NotOfferedError(ServiceError):
    """The public protocol has what was asked for, and this server, as it is set, does not."""

    reason = "NOT_OFFERED"


class ShuttingDownError(ServiceError):
    """The server is shutting down and takes no more requests on a stream."""

    reason = "SHUTTING_DOWN"


class StateNotCarriedError(ServiceError):
    """A state token was asked of, or sent to, a model that carries no state from one request to the next."""

    reason = "STATE_NOT_CARRIED"


class StateKeysMissingError(ServiceError):
    """A state token was asked of, or sent to, a server that was given no keys to sign with."""

    reason = "STATE_KEYS_MISSING"


class StateTokenInvalidError(ServiceError):
    """A state token is none, is damaged, or was changed."""

    reason = "STATE_TOKEN_INVALID"


class StateTokenVersionError(ServiceError):
    """A state token is in a format that this server does not read."""

    reason = "STATE_TOKEN_OTHER_VERSION"


class StateTokenKeyError(ServiceError):
    """A state token was signed with a key that this server does not have."""

    reason = "STATE_TOKEN_UNKNOWN_KEY"


class StateTokenExpiredError(ServiceError):
    """A state token is older than its server allowed."""

    reason = "STATE_TOKEN_EXPIRED"


class StateTokenModelError(ServiceError):
    """A state token is of another model, or of another version of it."""

    reason = "STATE_TOKEN_OTHER_MODEL"


class StateTokenNumericsError(ServiceError):
    """A state token is of another numerics class, and the request does not allow inexact state."""

    reason = "STATE_TOKEN_OTHER_NUMERICS"


class QueueFullError(ServiceError):
    """The model's queue has no free place; the caller may try again later."""

    reason = "QUEUE_FULL"


class DeadlineExceededError(ServiceError):
    """The deadline passed before the answer was complete."""

    reason = "DEADLINE_EXCEEDED"


class EngineLostError(ServiceError):
    """The engine died while it worked on the request; a new one is being started."""

    reason = "ENGINE_LOST"


class InferenceFailedError(ServiceError):
    """A graph or a tokenizer failed, or a graph returned values that are not finite."""

    reason = "INFERENCE_FAILED"


class SettingsError(ServiceError):
    """A setting, a port or a folder that the service was given cannot be used."""

    reason = "BAD_SETTINGS"


class BundleError(ServiceError):
    """A bundle breaks a rule of FORMAT.md. The message names the file and the rule."""

    reason = "BAD_BUNDLE"
