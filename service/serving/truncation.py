"""What becomes of an input that is longer than the model takes: refused, or a part of it is read.   Pure."""

import sys
from collections.abc import Sequence
from enum import Enum
from typing import TypeVar

Item = TypeVar("Item")


class Truncation(Enum):
    """Which part of an input of too many tokens, or rows, is read."""

    REFUSE = "refuse"
    KEEP_BEGINNING = "keep the beginning"
    KEEP_END = "keep the end"

    def accepted(self, limit: int) -> int:
        """The longest input that is not refused, where the model takes `limit`."""
        return limit if self is Truncation.REFUSE else sys.maxsize

    def kept(self, items: Sequence[Item], limit: int) -> Sequence[Item]:
        """The part of an input that is read: at most `limit` items of it."""
        if len(items) <= limit:
            return items
        return items[:limit] if self is Truncation.KEEP_BEGINNING else items[-limit:]
