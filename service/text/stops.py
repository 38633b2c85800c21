"""Finds where a text that comes in pieces must stop, and lets out nothing that may belong to a stop.   Pure text."""

from collections.abc import Sequence


class StopMatcher:
    """Looks for stop strings in a text, wherever its pieces are cut.

    The text ends before the stop string that is complete first; of several complete at the same character, before the
    longest. What may be the beginning of a stop string is held back until that is decided. A matcher that is made of
    what another `held` goes on where that one is.
    """

    def __init__(self, stops: Sequence[str], held: str = "") -> None:
        self._stops = tuple(stops)
        self._held = held

    @property
    def held(self) -> str:
        """The text that is held back."""
        return self._held

    def push(self, piece: str) -> tuple[str, bool]:
        """Take the next piece; return the text that is now certain, and whether a stop string is complete."""
        text = self._held + piece
        found = [(text.index(stop) + len(stop), -len(stop)) for stop in self._stops if stop in text]
        if found:
            end, length = min(found)
            self._held = ""
            return text[: end + length], True
        held = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held], False

    def finish(self) -> str:
        """The text still held back: no stop string will be complete."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that `stop` begins with, `stop` itself left out."""
    return next((size for size in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:size])), 0)
