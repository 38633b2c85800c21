"""What a report is made of: sections of texts, tables and pictures.   Plain values; knows no HTML and no model."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Text:
    """A paragraph; `preformatted` keeps its lines as they are."""

    kind: ClassVar[str] = "text"

    content: str
    preformatted: bool = False


@dataclass(frozen=True)
class Heading:
    """What the blocks after it are about, up to the next heading."""

    kind: ClassVar[str] = "heading"

    content: str


@dataclass(frozen=True)
class Table:
    """Rows under headings, all of them text; `folded` shows its title alone until that is clicked."""

    kind: ClassVar[str] = "table"

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    folded: bool = False


@dataclass(frozen=True)
class Picture:
    """A PNG with a title and a caption that says how to read it."""

    kind: ClassVar[str] = "picture"

    title: str
    caption: str
    png: bytes

    @property
    def source(self) -> str:
        """The picture as a data URI."""
        return f"data:image/png;base64,{b64encode(self.png).decode()}"


Block = Heading | Text | Table | Picture


@dataclass(frozen=True)
class Section:
    """Part of a report, with a heading."""

    title: str
    blocks: Sequence[Block]

    @property
    def anchor(self) -> str:
        """What a link within the page names it by."""
        return "-".join(self.title.lower().split())


@dataclass(frozen=True)
class Report:
    """A whole page."""

    title: str
    subtitle: str
    sections: Sequence[Section]
    footer: str
