"""A diagnosis on a terminal."""

from collections.abc import Mapping
from typing import Any

from seqlab.diagnosis.panels import WHEN, title
from seqlab.score_text import percent

FIGURES = ("factor", "reach", "left", "gradient", "largest", "median", "most saturated gate")
HEAD = ("cell", "weights", *FIGURES)
LEGEND = """\
factor: of the gradient per step back
reach: steps back at which 1 % of it is left, of those measured
left: of the gradient at the last of those
largest, median: singular values of a step's Jacobian"""

LEAST = 0.005
"""Share of a gate's values below which it is not told to be saturated."""


def rows_of(report: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The table: a row for each cell and its weights; of several runs, a row for each below the name of the layer."""
    if "runs" in report:
        return _rows_of_runs(report)
    rows: list[tuple[str, ...]] = [HEAD]
    for stack, found in report["stacks"].items():
        for cell in found["cells"]:
            rows += [(title(stack, cell), when, *_figures(cell[when])) for when in WHEN if when in cell]
    return rows


def _rows_of_runs(report: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Trained weights alone, which need no column."""
    head = ("trained run", *FIGURES)
    rows: list[tuple[str, ...]] = [head]
    for stack, found in report["stacks"].items():
        layer = ""
        for cell in found["cells"]:
            if cell["name"] != layer:
                layer = cell["name"]
                rows.append((f"{stack}, {layer}", *[""] * (len(head) - 1)))
            rows.append((f"  {cell['run']}", *_figures(cell["trained"])))
    return rows


def notes_of(report: Mapping[str, Any]) -> list[str]:
    """What is to be said of single stacks, and of runs that were measured on other data than the first."""
    first, *others = report.get("runs", [{}])
    differing = [run["name"] for run in others if run["sha256"] != first["sha256"]]
    told = [f"measured on other data than {first['name']}: {', '.join(differing)}"] if differing else []
    return told + [f"{stack}: {found['note']}" for stack, found in report["stacks"].items() if found["note"]]


def measured_with(report: Mapping[str, Any]) -> str:
    """The checkpoint and the rows that a run was measured with."""
    checkpoint = report["checkpoint"]
    return f"{checkpoint['file']} of step {checkpoint['step']:,}, {report['rows']} rows of {report['split']}"


def _figures(measured: Mapping[str, Any]) -> tuple[str, ...]:
    gradient, jacobian, gates = (measured[name] for name in ("gradient", "jacobian", "saturation"))
    reach = "-" if gradient["reach"] is None else f"{gradient['reach']} of {gradient['steps']}"
    worst = max(gates, key=lambda gate: gate["left"] + gate["right"], default=None)
    told = "-"
    if worst is not None:
        shares = [f"{100 * worst[side]:.0f} % {side}" for side in ("left", "right") if worst[side] >= LEAST]
        told = f"{worst['name']}: {', '.join(shares)}" if shares else "none"
    return (
        _number(gradient["factor"]),
        reach,
        "-" if gradient["left"] is None else percent(gradient["left"]),
        gradient["verdict"] or "-",
        _number(jacobian and jacobian["largest"]),
        _number(jacobian and jacobian["median"]),
        told,
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
