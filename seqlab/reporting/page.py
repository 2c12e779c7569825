"""A report as a page: what it is made of, and how that becomes one HTML file."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.resources import files
from typing import Any, ClassVar

from jinja2 import Environment, StrictUndefined

from seqlab.reporting.pictures import Picture

TEMPLATES = files("seqlab") / "templates" / "report"
NOT_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
"""Characters that HTML has no place for, such as those that steer a terminal."""
PIECES = re.compile(r"(?<=[:=/,_|])")
"""Where a long name may be broken."""


@dataclass(frozen=True)
class Table:
    """Rows of cells; the first of each is its header.

    Args:
        caption: What it is.
        head: The names of the columns.
        rows: The rows.
        text: Whether the cells are text, which may be folded, and not numbers.
        strong: The row and column of each cell that stands out.
    """

    kind: ClassVar = "table"
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    text: bool = False
    strong: frozenset[tuple[int, int]] = frozenset()


@dataclass(frozen=True)
class Samples:
    """Groups of texts beside each other, each with its label, such as a sentence and its translations."""

    kind: ClassVar = "samples"
    caption: str
    groups: Sequence[Sequence[tuple[str, str]]]


@dataclass(frozen=True)
class Pictures:
    """Pictures beside each other where there is room, else one below the other."""

    kind: ClassVar = "pictures"
    pictures: Sequence[Picture]


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    kind: ClassVar = "text"
    text: str


@dataclass(frozen=True)
class Notes:
    """Lines on how to read what stands above them."""

    kind: ClassVar = "notes"
    lines: Sequence[str]


@dataclass(frozen=True)
class Code:
    """Text as it stands in a file or a terminal."""

    kind: ClassVar = "code"
    label: str
    text: str


@dataclass(frozen=True)
class Missing:
    """What is not there, and the words of the command that makes it."""

    kind: ClassVar = "missing"
    text: str
    command: Sequence[object] = ()


Block = Table | Samples | Pictures | Text | Notes | Code | Missing


@dataclass(frozen=True)
class Section:
    """A part of the page under a heading."""

    title: str
    blocks: Sequence[Block]

    @property
    def anchor(self) -> str:
        """Its name in links."""
        return re.sub(r"\W+", "-", self.title.lower()).strip("-")


@dataclass(frozen=True)
class Page:
    """A whole report.

    Args:
        title: What it is of.
        summary: What came out, in a sentence.
        facts: What it is of, in more words: names and values.
        sections: The rest.
    """

    title: str
    summary: str
    facts: Sequence[tuple[str, str]] = field(default_factory=list)
    sections: Sequence[Section] = field(default_factory=list)

    def html(self) -> str:
        """The page as one file, which loads nothing and runs nothing. All of its text is escaped."""
        environment = Environment(
            autoescape=True,
            undefined=StrictUndefined,
            finalize=_printable,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        environment.filters |= {"pieces": PIECES.split, "spelled": spelled}
        template, style = (
            (TEMPLATES / f"{name}.template").read_text(encoding="utf-8") for name in ("page.html", "style.css")
        )
        return environment.from_string(template).render(page=self, style=style, version=version("seqlab"))


def spelled(words: Sequence[object]) -> str:
    """A command as it is typed."""
    return shlex.join(map(str, words))


def _printable(value: Any) -> Any:
    """A text without characters that HTML has no place for."""
    return NOT_TEXT.sub("\ufffd", value) if isinstance(value, str) and not hasattr(value, "__html__") else value
