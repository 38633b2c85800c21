"""One generation, over one call or several: what to ask, and what to do when a call fails.   Does no I/O itself.

A text outlives the server that writes it. Where that is lost, the rest is asked of whoever answers next: from the last
state token that came, or else from the beginning, by the same seed. What had been given out after that place comes
again then, and is dropped; it is the same to the last character, or the stream ends with an error. So it does where
several servers in a row are lost and bring nothing new: it may be this text that ends them.
"""

from dataclasses import replace

import grpc

from seqserve import convert
from seqserve.connection import MAX_ATTEMPTS, Attempts
from seqserve.errors import InternalError, SeqserveError, UnavailableError
from seqserve.results import GeneratedChunk, ModelVersion
from seqserve.v1 import inference_service_pb2 as inference

OF_EACH_REQUEST = frozenset(
    {
        "include_token_scores", "alternative_count", "allow_partial",
        "include_state_token", "state_token_interval", "allow_inexact_state",
    }
)  # fmt: skip
"""Fields that a state token does not carry."""


class Generation:
    """What both kinds of stream keep about a generation.

    Args:
        request: what is asked for.
        timeout_s: seconds until the deadline of the stream as a whole.
        max_attempts: as in Attempts.
    """

    def __init__(
        self, request: inference.GenerateTextRequest, timeout_s: float, max_attempts: int | None = MAX_ATTEMPTS
    ) -> None:
        self.request = request
        self._attempts = Attempts(timeout_s, max_attempts)
        self._call_has_begun = False
        self._goes_on = False
        self._losses_in_vain = 0
        self._model_version: ModelVersion | None = None
        self._seed: int | None = None
        self._next_token_index = 0
        self._state_token: bytes | None = None
        self._text_since = ""
        """What was given out of the text after the place of the state token, or after the beginning."""
        self._text_again = ""
        """What of that is still to come again, and to be dropped."""

    def seconds_left(self) -> float:
        """Time until the stream's deadline, at least 0."""
        return self._attempts.seconds_left()

    def chunk(self, response: inference.GenerateTextResponse) -> GeneratedChunk | None:
        """The next chunk to give out, of a message that came; None if it brought only what was given out before.

        Raises:
            InternalError: the text goes on otherwise than it went before its server was lost.
        """
        self._call_has_begun = True
        chunk = convert.generated_chunk(response)
        new = self._new_part(chunk) if self._goes_on else chunk
        if chunk.model_version is not None:
            self._model_version, self._seed = chunk.model_version, chunk.seed
        self._next_token_index = max(self._next_token_index, chunk.first_token_index + chunk.token_count)
        self._text_since += new.text
        if chunk.state_token is not None:
            self._state_token, self._text_since = chunk.state_token, self._text_again
        if new.text or new.token_count:
            self._losses_in_vain = 0
        brings_nothing = new == GeneratedChunk("", new.first_token_index, 0)
        return None if self._goes_on and brings_nothing else new

    def delay_after(self, error: SeqserveError) -> float | None:
        """Seconds to wait before `request` is sent, or None when `error` is to be raised.

        Once a part of the text has been given out, the request is for the rest.
        """
        if not self._call_has_begun:
            return self._attempts.delay_after(error)
        self._losses_in_vain += 1
        cannot_go_on = self._model_version is None or self.request.sample_count > 1
        if not isinstance(error, UnavailableError) or cannot_go_on or self._losses_in_vain >= MAX_ATTEMPTS:
            return None
        self._call_has_begun, self._goes_on = False, True
        self._text_again = self._text_since
        self.request = self._anew() if self._state_token is None else self._from(self._state_token)
        return 0.0

    def _anew(self) -> inference.GenerateTextRequest:
        """The same again, of the same version and by the same seed, which a state token in the request has in it."""
        request = inference.GenerateTextRequest()
        request.CopyFrom(self.request)
        request.model = str(self._model_version)
        samples = request.temperature > 0 or not request.HasField("temperature")
        if self._seed is not None and samples and not request.state_token:
            request.seed = self._seed
        return request

    def _from(self, state_token: bytes) -> inference.GenerateTextRequest:
        """What comes after a state token, of the same version and as it was asked for."""
        kept = {field.name: value for field, value in self.request.ListFields() if field.name in OF_EACH_REQUEST}
        return inference.GenerateTextRequest(model=str(self._model_version), state_token=state_token, **kept)

    def _new_part(self, chunk: GeneratedChunk) -> GeneratedChunk:
        """A chunk without what was given out before: text, tokens, and what stands in a first chunk alone.

        Its state token stays only where that stands after all that was given out.
        """
        length = min(len(chunk.text), len(self._text_again))
        if chunk.text[:length] != self._text_again[:length]:
            raise InternalError(
                "after its server was lost, the text goes on otherwise than before", code=grpc.StatusCode.INTERNAL
            )
        self._text_again = self._text_again[length:]
        dropped = min(chunk.token_count, max(0, self._next_token_index - chunk.first_token_index))
        behind = self._text_again or chunk.first_token_index + chunk.token_count < self._next_token_index
        return replace(
            chunk,
            text=chunk.text[length:],
            first_token_index=chunk.first_token_index + dropped,
            token_count=chunk.token_count - dropped,
            token_scores=chunk.token_scores[dropped:],
            model_version=None,
            seed=None,
            prompt_token_count=None,
            state_token=None if behind else chunk.state_token,
            held_back_text="" if behind else chunk.held_back_text,
        )
