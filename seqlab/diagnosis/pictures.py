"""The four pictures of a diagnosis."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from seqlab.diagnosis.panels import Panel, banded, by_layer, draw, frame_distances, in_one, numbers, panels_of
from seqlab.plots import COLOURS, STYLES, literal

GREY = "#DDDDDD"
PICTURES = ("gradients.png", "jacobian.png", "saturation.png", "states.png")
MOST_PANELS = 12
"""Of several runs, gates and states have a panel for each layer of each; the runs have pictures of their own."""


def draw_all(report: Mapping[str, Any], folder: Path, heading: str) -> list[Path]:
    """Draws ``gradients.png``, ``jacobian.png``, ``saturation.png`` and ``states.png``.

    One that would show nothing is left out, and an old one of its name removed; so are the last two where several runs
    have more than :data:`MOST_PANELS` layers together.

    Args:
        report: What was measured.
        folder: Where to.
        heading: What it was measured of.

    Returns:
        The pictures.
    """
    together = panels = panels_of(report)
    if "cells" in report:
        together = in_one(panels)
    elif "runs" in report:
        together, panels = by_layer(report), panels if len(panels) <= MOST_PANELS else []
    makers = ((_gradients, together), (_jacobian, together), (_saturation, panels), (_states, panels))
    pictures = []
    for name, (maker, shown) in zip(PICTURES, makers, strict=True):
        picture = folder / name
        if maker(shown, picture, heading):
            pictures.append(picture)
        else:
            picture.unlink(missing_ok=True)
    return pictures


def _gradients(panels: list[Panel], picture: Path, heading: str) -> bool:
    def fill(axis: Any, panel: Panel) -> None:
        lowest = 1.0
        for series in panel.series:
            curve = series.measured["gradient"]["relative"]
            banded(axis, range(len(curve["median"])), curve, series)
            lowest = min([lowest, *(value for value in curve["low"] if value)])
        frame_distances(axis, lowest)

    panels = [panel for panel in panels if any(each.measured["gradient"]["rows"] for each in panel.series)]
    if panels:
        labels = ("steps back from the loss", "gradient by the state")
        draw(panels, picture, f"{heading}: gradient by the state, as a share of that at the loss", fill, labels=labels)
    return bool(panels)


def _jacobian(panels: list[Panel], picture: Path, heading: str) -> bool:
    def fill(axis: Any, panel: Panel) -> None:
        for series in panel.series:
            if spectrum := (series.measured["jacobian"] or {}).get("spectrum"):
                banded(axis, spectrum["rank"], spectrum, series)
        axis.axhline(1, color="black", linewidth=0.8, linestyle=":")
        axis.set_ylim(bottom=max(1e-6, axis.get_ylim()[0]))

    panels = [panel for panel in panels if any(each.measured["jacobian"] for each in panel.series)]
    if panels:
        labels = ("rank, from the largest to the smallest", "singular value")
        draw(panels, picture, f"{heading}: singular values of a step's Jacobian", fill, labels=labels)
    return bool(panels)


def _saturation(panels: list[Panel], picture: Path, heading: str) -> bool:
    def fill(axis: Any, panel: Panel) -> None:
        names = list(dict.fromkeys(gate["name"] for each in panel.series for gate in each.measured["saturation"]))
        count, ticks, texts = len(panel.series), [], []
        for number, series in enumerate(panel.series):
            gates = {gate["name"]: gate for gate in series.measured["saturation"]}
            for place, name in enumerate(names):
                y = place * (count + 0.6) + number
                left, right = ((gates[name][side] if name in gates else 0) for side in ("left", "right"))
                faded = 1.0 if not number else 0.55
                axis.barh(y, 1, color=GREY, height=0.85)
                axis.barh(y, left, color=COLOURS[0], height=0.85, alpha=faded, label=_left(number, panel))
                axis.barh(y, right, left=1 - right, color=COLOURS[1], height=0.85, alpha=faded, label=_right(number))
                ticks.append(y)
                texts.append(literal(f"{name} {series.label}".rstrip()))
        axis.set_yticks(ticks, texts)
        axis.set_ylim(bars - 0.7, -0.7)
        axis.set_xlim(0, 1)
        axis.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")

    panels = [panel for panel in panels if any(each.measured["saturation"] for each in panel.series)]
    if panels:
        bars = max(_lowest_bar(panel) for panel in panels)
        height = 1.2 + 0.24 * bars
        draw(
            panels, picture, f"{heading}: saturation of the gates", fill, height=height, labels=("share of values", "")
        )
    return bool(panels)


def _lowest_bar(panel: Panel) -> float:
    gates = {gate["name"] for each in panel.series for gate in each.measured["saturation"]}
    return len(gates) * (len(panel.series) + 0.6)


def _left(number: int, panel: Panel) -> str | None:
    return "saturated on the left: sigmoid < 0.1, tanh < -0.9, relu 0" if not number else None


def _right(number: int) -> str | None:
    return "on the right: sigmoid > 0.9, tanh > 0.9" if not number else None


def _states(panels: list[Panel], picture: Path, heading: str) -> bool:
    def fill(axis: Any, panel: Panel) -> None:
        values = []
        for series in panel.series:
            states = series.measured["states"]
            for place, (name, part) in enumerate(states["parts"].items()):
                values.append(numbers(part))
                axis.plot(
                    states["step"],
                    values[-1],
                    color=COLOURS[place % len(COLOURS)],
                    linestyle=series.style if series.label else STYLES[place % len(STYLES)],
                    linewidth=1.6,
                    label=f"{name}, {series.label}" if series.label else name,
                )
        axis.set_xscale("log")
        shown = np.concatenate([*values, [np.nan]])
        shown = shown[~np.isnan(shown)]
        if shown.size and shown.max() > 20 * shown.min():
            axis.set_yscale("log")
        else:
            axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)

    panels = [panel for panel in panels if any(each.measured["states"]["step"] for each in panel.series)]
    if panels:
        labels = ("step of a long input", "root mean square of the state")
        draw(panels, picture, f"{heading}: states over long inputs", fill, labels=labels)
    return bool(panels)
