"""A diagnosis on a terminal."""

from collections.abc import Mapping
from typing import Any

from seqlab.diagnosis.panels import WHEN, title

HEAD = ("cell", "weights", "factor", "reach", "gradient", "largest", "median", "most saturated gate")
LEGEND = """\
factor: of the gradient per step back; reach: steps back at which 1 % of it is left, of those measured
largest, median: singular values of a step's Jacobian"""


def rows_of(report: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The table: a row for each cell and its weights."""
    rows: list[tuple[str, ...]] = [HEAD]
    for stack, found in report["stacks"].items():
        for cell in found["cells"]:
            rows += [(title(stack, cell), when, *_figures(cell[when])) for when in WHEN if when in cell]
    return rows


def notes_of(report: Mapping[str, Any]) -> list[str]:
    """What is to be said of single stacks."""
    return [f"{stack}: {found['note']}" for stack, found in report["stacks"].items() if found["note"]]


def _figures(measured: Mapping[str, Any]) -> tuple[str, ...]:
    gradient, jacobian, gates = (measured[name] for name in ("gradient", "jacobian", "saturation"))
    reach = "-" if gradient["reach"] is None else f"{gradient['reach']} of {gradient['steps']}"
    worst = max(gates, key=lambda gate: max(gate["left"], gate["right"]), default=None)
    told = "-"
    if worst is not None:
        share, side = max((worst[side], side) for side in ("left", "right"))
        told = f"{worst['name']}: {100 * share:.0f} % {side}"
    return (
        _number(gradient["factor"]),
        reach,
        gradient["verdict"] or "-",
        _number(jacobian and jacobian["largest"]),
        _number(jacobian and jacobian["median"]),
        told,
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
