"""Pictures within a page: drawn here, or taken from files."""

import io
import re
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LARGEST_SVG = 120_000
"""Bytes; what is larger, such as a heatmap of a long sentence, is smaller in pixels."""
SHARP = 160
"""Pixels in an inch of a picture that is drawn in pixels."""
CSS_INCH = 96
PNG, HEAD, END = b"\x89PNG\r\n\x1a\n", 24, b"IEND\xaeB`\x82"
"""What a PNG file begins with, how many bytes tell its size, and what it ends with."""


class Picture(NamedTuple):
    """A picture that is part of the page.

    Args:
        uri: The picture itself, as a data URI.
        alt: What it shows, for those who do not see it.
        caption: What it is.
        width: Width on the page, in CSS pixels.
        height: Height.
    """

    uri: str
    alt: str
    caption: str
    width: int
    height: int


def of_figure(figure: "Figure", alt: str, caption: str) -> Picture:
    """A figure of matplotlib, as SVG or, where that is large, as PNG; the same figure gives the same bytes."""
    from matplotlib import rc_context

    file = io.BytesIO()
    with rc_context({"svg.hashsalt": "seqlab", "svg.fonttype": "path"}):
        figure.savefig(file, format="svg", bbox_inches="tight", pad_inches=0.08, metadata={"Date": None})
    drawn = file.getvalue()
    if len(drawn) > LARGEST_SVG:
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=SHARP, bbox_inches="tight", pad_inches=0.08)
        return _of_png(file.getvalue(), alt, caption, SHARP)
    size = re.search(rb'viewBox="0 0 ([\d.]+) ([\d.]+)"', drawn)
    assert size is not None
    width, height = (round(float(points) * CSS_INCH / 72) for points in size.groups())
    return Picture(_uri("svg+xml", drawn), alt, caption, width, height)


def of_file(path: Path, alt: str, caption: str) -> Picture | None:
    """A PNG file; None where it is none, is cut off, or cannot be read."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if not content.startswith(PNG) or not content.endswith(END) or len(content) < HEAD + len(END):
        return None
    return _of_png(content, alt, caption, 130)


def _of_png(content: bytes, alt: str, caption: str, dpi: int) -> Picture:
    width, height = (
        round(int.from_bytes(content[first : first + 4]) * CSS_INCH / dpi) for first in (HEAD - 8, HEAD - 4)
    )
    return Picture(_uri("png", content), alt, caption, width, height)


def _uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{b64encode(content).decode()}"
