"""What all pictures share: colours, line styles and markers, and the legend below the panels."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's colours, which colour-blind readers tell apart."""
BLUE, ORANGE = COLOURS[:2]
STYLES = ("-", "--", "-.", ":")
MARKERS = "osD^vPX"
MOST_COLUMNS = 4


def literal(text: str) -> str:
    """A text that matplotlib shows as it is, and does not read as a formula: a folder may be called ``a$b$``."""
    return text.replace("$", r"\$")


def legend_below(figure: "Figure", panels: "Iterable[Axes]", columns: int = MOST_COLUMNS) -> None:
    """One legend for all panels, below them; each label once, and none where there is none."""
    handles: dict[str, Any] = {}
    for axes in panels:
        handles |= {text: line for line, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    if handles:
        figure.legend(
            handles.values(),
            [literal(text) for text in handles],
            loc="outside lower center",
            ncols=min(columns, len(handles)),
            frameon=False,
            fontsize=9,
        )
