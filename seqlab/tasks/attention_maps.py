"""Where a translation looked: attention as numbers and as a picture.

Shape suffixes: S = source steps, T = target steps, B = sentences.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from seqlab.files import replacing, write_text
from seqlab.models.encoder_decoder import EncoderDecoder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger("seqlab")

CELL, LONGEST_SIDE = 0.25, 60.0
"""Inches of a square's side, and of the picture's, beyond which squares and letters get smaller."""
LONGEST_LABEL = 30
FONT, NO_GLYPH, SPACE = "DejaVu Sans", "□", "␣"
"""matplotlib brings the font along; it has both characters."""


@dataclass(frozen=True)
class AttentionMap:
    """The attention of one translation."""

    source: list[str]
    """Source pieces, the end of sentence last."""
    target: list[str]
    """Target pieces, the end of sentence last."""
    weights: list[list[float]]
    """For each target piece how much the model looked at each source piece to predict it; a row sums to 1."""
    source_text: str
    text: str
    """The translation."""
    score: float
    """Its score in the search."""

    def write(self, folder: Path, number: int) -> None:
        """Writes ``NUMBER.json`` and ``NUMBER.png``, such as ``000007.png``.

        Args:
            folder: Where.
            number: Number of the sentence.
        """
        numbers, picture = (folder / f"{number:06d}.{suffix}" for suffix in ("json", "png"))
        write_text(numbers, json.dumps({"sentence": number, **asdict(self)}, ensure_ascii=False) + "\n")
        self.draw(picture, f"sentence {number}")

    def draw(self, picture: Path, title: str) -> None:
        """Draws a heatmap into a PNG file; see :meth:`figure`."""
        with replacing(picture) as file:
            self.figure(title).savefig(file, format="png", dpi=130, bbox_inches="tight", pad_inches=0.1)

    def figure(self, title: str) -> "Figure":
        """A heatmap with a row for each target piece and a column for each source piece.

        The darker a square the larger the weight, on one scale from 0 to 1 in all pictures.
        """
        from matplotlib.figure import Figure  # half a second to import, and only needed here

        rows, columns = len(self.target), len(self.source)
        cell = min(CELL, LONGEST_SIDE / max(rows, columns))
        width, height = cell * columns, cell * rows
        # The axes fill the figure; what stands around them is made room for when it is saved.
        figure = Figure(figsize=(width, height))
        axes = figure.add_axes((0, 0, 1, 1))
        mesh = axes.pcolormesh(self.weights, cmap="Blues", vmin=0, vmax=1, edgecolors="#e4e4e4", linewidth=0.4)
        axes.invert_yaxis()
        labels, fonts = readable([*self.source, *self.target])
        style: dict[str, Any] = {"fontfamily": fonts, "fontsize": 36 * cell, "parse_math": False}
        axes.set_xticks([column + 0.5 for column in range(columns)])
        axes.set_xticklabels(labels[:columns], rotation=60, ha="left", rotation_mode="anchor", **style)
        axes.set_yticks([row + 0.5 for row in range(rows)], labels[columns:], **style)
        axes.tick_params(length=0, top=True, bottom=False, labeltop=True, labelbottom=False)
        axes.spines[:].set_color("#999999")
        axes.set_xlabel("source", fontsize=9)
        axes.set_ylabel("translation", fontsize=9)
        axes.set_title(title, loc="left", fontsize=10)
        length = min(2.0, height)
        bar = figure.add_axes(((width + 0.15) / width, (height - length) / height, 0.1 / width, length / height))
        figure.colorbar(mesh, cax=bar, ticks=[0, 0.5, 1]).ax.tick_params(labelsize=8, length=2)
        return figure


@torch.no_grad()
def mean_attention(
    networks: Sequence[EncoderDecoder], source_SB: Tensor, lengths_B: Tensor, given_TB: Tensor
) -> Tensor:
    """Attention weights ``[B, T, S]`` of given target tokens, the mean over models.

    Args:
        networks: The models, in evaluation mode, each with attention.
        source_SB: The sources, each closed by EOS.
        lengths_B: Their lengths.
        given_TB: The targets, each opened by BOS.
    """
    found = [network.decoder.decode(given_TB, network.start(source_SB, lengths_B)).weights_BTS for network in networks]
    return torch.stack([weights_BTS for weights_BTS in found if weights_BTS is not None]).mean(0)


# --------------------------------------------------------------------------------------------------------------- labels


def readable(pieces: Sequence[str]) -> tuple[list[str], list[str]]:
    """Pieces as labels and the fonts to write them in: spaces are seen, long ones are cut, and a character that no
    installed font has is a box."""
    shown = [piece if len(piece) <= LONGEST_LABEL else piece[: LONGEST_LABEL - 1] + "…" for piece in pieces]
    characters = frozenset("".join(shown))
    fonts, missing = _fonts_for(frozenset(ord(character) for character in characters if character.isprintable()))
    if missing:
        _tell_of_boxes()
    labels = {
        character: character if character.isprintable() and ord(character) not in missing else NO_GLYPH
        for character in characters
    }
    labels[" "] = SPACE
    return ["".join(labels[character] for character in piece) for piece in shown], fonts


@cache
def _fonts_for(characters: frozenset[int]) -> tuple[list[str], frozenset[int]]:
    """Names of fonts, matplotlib's own first and then those that have most of what is missing, and what none has."""
    from matplotlib.font_manager import FontProperties, findfont

    missing = characters - _glyphs(findfont(FontProperties(FONT)))
    fonts = [FONT]
    while missing:
        found, name = max(((len(missing & _glyphs(path)), name) for name, path in _installed()), default=(0, ""))
        if not found:
            break
        fonts.append(name)
        missing -= _glyphs(dict(_installed())[name])
    return fonts, missing


@cache
def _installed() -> list[tuple[str, str]]:
    """Names and files of the fonts that text can be written in, each in its regular weight."""
    from matplotlib.font_manager import FontProperties, findfont, fontManager

    # Those of formulas have other characters where text has letters, and the last resort has nothing but boxes.
    names = {font.name for font in fontManager.ttflist if not font.name.startswith(("cm", "STIX", "Last Resort"))}
    return [(name, findfont(FontProperties(name))) for name in sorted(names)]


@cache
def _glyphs(path: str) -> frozenset[int]:
    """The characters of a font; none of one that cannot be read or be drawn at any size."""
    from matplotlib.font_manager import get_font

    try:
        font = get_font(path)
    except (OSError, RuntimeError):
        return frozenset()
    return frozenset(font.get_charmap()) if font.scalable else frozenset()


@cache
def _tell_of_boxes() -> None:
    log.info("no installed font has some characters of the text: pictures show %s in their place", NO_GLYPH)
