"""What pictures are made of: panels with curves, drawn side by side.

``trained`` has a solid line, ``untrained`` a dashed one; cells that are compared, and runs, have a colour and a line
style each.
"""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from seqlab.diagnosis.gradients import REACH
from seqlab.files import replacing
from seqlab.plots import COLOURS, STYLES, legend_below, literal

WHEN = ("trained", "untrained")
LEAST = 1e-12
"""Gradients below it are left out of a picture, so that others can be told apart."""


class Series(NamedTuple):
    """One of the things that a panel compares."""

    label: str
    measured: Mapping[str, Any]
    colour: Any
    style: str


class Panel(NamedTuple):
    """Axes of a picture."""

    title: str
    series: list[Series]


def panels_of(report: Mapping[str, Any]) -> list[Panel]:
    """A panel for each cell of each run, where ``trained`` and ``untrained`` can be compared."""
    panels = []
    for stack, found in report["stacks"].items():
        for cell in found["cells"]:
            series = [
                Series(when if len(WHEN & cell.keys()) > 1 else "", cell[when], COLOURS[number], STYLES[number])
                for number, when in enumerate(WHEN)
                if when in cell
            ]
            panels.append(Panel(title(stack, cell), series))
    return panels


def title(stack: str, cell: Mapping[str, Any]) -> str:
    """``encoder, layer 1 forward (gru)``, or of one of several runs ``encoder, layer 1 forward: RUN``; of a cell on its
    own, its name."""
    if "run" in cell:
        return f"{stack}, {cell['name']}: {cell['run']}"
    return f"{stack}, {cell['name']} ({cell['cell']})" if stack else str(cell["name"])


def in_one(panels: Sequence[Panel]) -> list[Panel]:
    """Panels of a single curve as one panel of them all, each by its title."""
    series = [
        Series(panel.title, each.measured, *_look(number))
        for number, panel in enumerate(panels)
        for each in panel.series
    ]
    return [Panel("", series)]


def by_layer(report: Mapping[str, Any]) -> list[Panel]:
    """A panel for each layer, with the trained curve of each run that has it; a run looks the same in all of them."""
    looks = {run["name"]: _look(number) for number, run in enumerate(report["runs"])}
    panels: dict[str, Panel] = {}
    for stack, found in report["stacks"].items():
        for cell in found["cells"]:
            name = f"{stack}, {cell['name']}"
            panel = panels.setdefault(name, Panel(name, []))
            panel.series.append(Series(cell["run"], cell["trained"], *looks[cell["run"]]))
    return list(panels.values())


def _look(number: int) -> tuple[str, str]:
    """Colour and line style of one of several: no two of the first 28 have both in common."""
    return COLOURS[number % len(COLOURS)], STYLES[number % len(STYLES)]


def draw(
    panels: Sequence[Panel],
    picture: Path,
    heading: str,
    fill: Callable[[Any, Panel], None],
    *,
    height: float = 3.3,
    labels: tuple[str, str] = ("", ""),
) -> None:
    """Draws panels side by side.

    Args:
        panels: The panels.
        picture: The PNG file to write, whole.
        heading: The title of the picture.
        fill: Draws one panel on its axes.
        height: Height of a panel, in inches.
        labels: What is under each panel, and beside the first of each row.
    """
    import matplotlib  # half a second to import

    matplotlib.use("Agg")
    from matplotlib import pyplot

    columns = min(3, len(panels)) if len(panels) != 4 else 2
    rows = -(-len(panels) // columns)
    wide = 6.8 if len(panels) == 1 else 4.4 * columns
    figure, axes = pyplot.subplots(rows, columns, figsize=(wide, height * rows), squeeze=False, layout="constrained")
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    for number, (axis, panel) in enumerate(zip(axes.flat, panels, strict=False)):
        fill(axis, panel)
        axis.set_title(literal(panel.title), loc="left", fontsize=10)
        axis.set_xlabel(labels[0], fontsize=9)
        axis.set_ylabel(labels[1] if number % columns == 0 else "", fontsize=9)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    legend_below(figure, axes.flat)
    figure.suptitle("\n".join(textwrap.wrap(literal(heading), int(11 * figure.get_figwidth()))), fontsize=11)
    try:
        with replacing(picture) as file:
            figure.savefig(file, format="png", dpi=130)
    finally:
        pyplot.close(figure)


def numbers(values: Sequence[float | None]) -> np.ndarray:
    """Values for a logarithmic axis: NaN for what it has no place for."""
    found = np.array([np.nan if value is None else value for value in values], dtype=float)
    return np.where(found > 0, found, np.nan)


def frame_distances(axis: Any, lowest: float) -> None:
    """The frame of gradients by distance: from the loss on, down to the lowest of them, with a line at the reach."""
    axis.axhline(REACH, color="black", linewidth=0.8, linestyle=":")
    axis.set_ylim(bottom=max(LEAST, 0.5 * lowest))
    axis.set_xlim(left=0)


def banded(axis: Any, x: Sequence[float], curve: Mapping[str, Any], series: Series) -> None:
    """A median in a band from the 10 % to the 90 % quantile, on a logarithmic axis."""
    low, high = numbers(curve["low"]), numbers(curve["high"])
    axis.fill_between(x, low, high, color=series.colour, alpha=0.16, linewidth=0)
    axis.plot(
        x,
        numbers(curve["median"]),
        color=series.colour,
        linestyle=series.style,
        linewidth=1.6,
        label=series.label or None,
    )
    axis.set_yscale("log")
    axis.grid(alpha=0.3)
