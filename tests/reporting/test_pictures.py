"""Pictures within a page."""

from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from seqlab.reporting.pictures import LARGEST_SVG, PNG, of_figure, of_file


def figure(squares: int) -> Figure:
    """A heatmap of so many squares on each side."""
    drawn = Figure(figsize=(4, 3))
    drawn.add_subplot().pcolormesh(np.arange(squares**2).reshape(squares, squares))
    return drawn


@pytest.mark.parametrize("squares, kind", [(3, "svg+xml"), (90, "png")])
def test_large_ones_are_of_pixels(squares: int, kind: str) -> None:
    picture = of_figure(figure(squares), "alt", "caption")
    head, _, content = picture.uri.partition(",")
    assert head == f"data:image/{kind};base64" and len(b64decode(content)) < LARGEST_SVG
    assert 300 < picture.width < 390 and 200 < picture.height < 300  # of 384 and 288, without their margins
    assert of_figure(figure(squares), "alt", "caption") == picture


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    figure(3).savefig(path, dpi=130)
    picture = of_file(path, "alt", "caption")
    assert picture is not None and (picture.width, picture.height) == (384, 288)
    for content in (b"", PNG, path.read_bytes()[:-5], b"<svg onload='alert(1)'></svg>"):
        path.write_bytes(content)
        assert of_file(path, "alt", "caption") is None
    assert of_file(tmp_path / "none.png", "alt", "caption") is None
