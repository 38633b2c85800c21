"""A card in its sections, to replace some of them and keep the others word for word.   Knows no section's content."""

import re
from collections.abc import Sequence
from typing import NamedTuple


class Section(NamedTuple):
    """Of a card.

    Attributes:
        title: without its marks.
        body: what stands below it.
    """

    title: str
    body: str


def split_card(text: str) -> tuple[str, list[Section]]:
    """Return what stands before the first section, and the sections."""
    head, *rest = re.split(r"\n\n(?=## )", text.strip())
    return head, [_section(one) for one in rest]


def join_card(head: str, sections: Sequence[Section]) -> str:
    """Return the text of a card."""
    return "\n\n".join([head, *(f"## {title}\n\n{body}" for title, body in sections)]) + "\n"


def _section(text: str) -> Section:
    title, _, body = text.removeprefix("## ").partition("\n\n")
    return Section(title, body)
