"""One generation, over one call or several: what to ask, and what to do when a call fails.   Does no I/O itself."""

from seqserve import convert
from seqserve.connection import MAX_ATTEMPTS, Attempts
from seqserve.errors import SeqserveError
from seqserve.results import GeneratedChunk
from seqserve.v1 import inference_service_pb2 as inference


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
        self._begun = False

    def seconds_left(self) -> float:
        """Time until the stream's deadline, at least 0."""
        return self._attempts.seconds_left()

    def chunk(self, response: inference.GenerateTextResponse) -> GeneratedChunk:
        """The next chunk, of a message that came."""
        self._begun = True
        return convert.generated_chunk(response)

    def delay_after(self, error: SeqserveError) -> float | None:
        """Seconds to wait before `request` is sent again, or None when `error` is to be raised.

        Once a part of the text has been given out, sending the request again would begin it anew.
        """
        return None if self._begun else self._attempts.delay_after(error)
