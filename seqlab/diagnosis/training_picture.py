"""The gradients of a fit at several optimizer steps, in a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seqlab.diagnosis.panels import Panel, Series, draw, frame_distances, numbers, title
from seqlab.plots import STYLES

PICTURE = "gradients-training.png"


def draw_training(rows: Sequence[Mapping[str, Any]], picture: Path, heading: str) -> None:
    """Draws the median of the gradient by distance, a line for each optimizer step, the later the lighter.

    Args:
        rows: What was measured, by step.
        picture: The PNG file to write.
        heading: What it was measured of.
    """
    from matplotlib import colormaps

    colours = colormaps["viridis"]
    panels: dict[str, Panel] = {}
    for number, row in enumerate(rows):
        shade = colours(0.9 * number / max(1, len(rows) - 1))
        for stack, found in row["stacks"].items():
            for cell in found["cells"]:
                panel = panels.setdefault(title(stack, cell), Panel(title(stack, cell), []))
                style = STYLES[number % len(STYLES)]
                panel.series.append(Series(f"step {row['step']:,}", cell["trained"], shade, style))

    def fill(axis: Any, panel: Panel) -> None:
        lowest = 1.0
        for series in panel.series:
            median = series.measured["gradient"]["relative"]["median"]
            values = numbers(median)
            axis.plot(values, color=series.colour, linestyle=series.style, linewidth=1.6, label=series.label)
            lowest = min([lowest, *(value for value in median if value)])
        axis.set_yscale("log")
        frame_distances(axis, lowest)
        axis.grid(alpha=0.3)

    if panels:
        labels = ("steps back from the loss", "gradient by the state")
        draw(list(panels.values()), picture, f"{heading}: gradient by the state while training", fill, labels=labels)
