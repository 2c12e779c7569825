"""The results of a comparison for people: on a terminal, as Markdown and as CSV."""

import csv
import io
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from seqlab.comparing.plan import counted
from seqlab.evaluation.comparison import LEVEL
from seqlab.evaluation.tables import Column, blocks
from seqlab.score_text import score_text
from seqlab.terminal import folded

WIDTH, LONGEST_CELL = 112, 28
MEBIBYTE = 1 << 20
RUN_COLUMNS = (
    *("cell", "seed", "status", "reason", "parameters", "steps", "seconds", "training_seconds", "tokens_per_second"),
    *("peak_memory_bytes", "path"),
)


def terminal(results: Mapping[str, Any], room: int | None = None) -> list[str]:
    """The table for a terminal: scores, then cost, then what is to be said of them.

    Args:
        results: The results.
        room: Columns of the terminal; None for none, whose tables are of 112 and whose other lines are whole.
    """
    lines = [*folded(headline(results), room, clauses=True), ""]
    for columns in (scores_columns(results), cost_columns(results)):
        lines += [*blocks(columns, min(WIDTH, room or WIDTH)), ""]
    return [*lines, *(part for note in notes(results) for part in folded(note, room, clauses=True))]


def markdown(results: Mapping[str, Any], pictures: Sequence[str] = ()) -> str:
    """The same as Markdown, with the learning curves and how to do it again."""
    lines = [f"# {headline(results)}", ""]
    for columns in (scores_columns(results), cost_columns(results)):
        rows = list(zip(*([name, *cells] for name, cells in _flat(columns)), strict=True))
        rows.insert(1, ("---",) * len(rows[0]))
        lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows] + [""]
    lines += [f"* {note}" for note in notes(results)] + [""]
    lines += [part for picture in pictures for part in (f"![learning curves]({picture})", "")]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return "\n".join([*lines, f"Versions: {versions}.", "", f"    {results['command']}", ""])


def run_rows(results: Mapping[str, Any]) -> str:
    """A line for each run, as CSV: what it cost, and every score."""
    runs = [{"cell": cell["cell"], **run} for cell in results["cells"] for run in cell["runs"]]
    scores = list(dict.fromkeys(name for run in runs for name in run["scores"]))
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([*RUN_COLUMNS, *scores])
    for run in runs:
        writer.writerow([*(run[name] for name in RUN_COLUMNS), *(run["scores"].get(name) for name in scores)])
    return text.getvalue()


def headline(results: Mapping[str, Any]) -> str:
    """What was compared, in a line."""
    number = [counted(len(results[name]), name) for name in ("cells", "seeds")]
    budget = [counted(value, name) for name, value in results["budget"].items()]
    size = "the recipe's sizes" if results["parameters"] is None else counted(results["parameters"], "parameters")
    return f"{results['recipe']}: {', '.join([*number, *budget, size])}, scored on {results['split']}"


def shown_scores(results: Mapping[str, Any]) -> list[str]:
    """The scores that tables show: the recipe's own, on what was scored in the end, the one that chose first."""
    first = results["monitor"].partition("/")[2]
    ordered = sorted(results["metrics"], key=lambda name: name != first)
    return [f"{results['split']}/{name}" for name in ordered]


def scores_columns(results: Mapping[str, Any]) -> list[list[Column]]:
    """The cells with their scores, and where there are several how each stands to the first; columns that belong
    together stand in one list."""
    cells = results["cells"]
    seeds = [[run for run in cell["runs"] if run["status"] == "finished"] for cell in cells]
    told = [f"{len(done)}" if len(done) == len(results["seeds"]) else f"{len(done)} of {len(results['seeds'])}"
            for done in seeds]  # fmt: skip
    columns: list[list[Column]] = [[_names(results)], [("seeds", told)]]
    for name in shown_scores(results):
        scores = [cell["scores"].get(name) for cell in cells]
        values = [score_text(score["mean"], score["half_width"]) if score else "-" for score in scores]
        tested = [("p", [_p(score) for score in scores])] if len(cells) > 1 else []
        columns.append([(name.partition("/")[2], values), *tested])
    return columns


def cost_columns(results: Mapping[str, Any]) -> list[list[Column]]:
    """The cells with what they cost: means over the finished seeds, of memory the most."""
    cells = results["cells"]
    sizes = [
        ", ".join(
            f"{name.removeprefix('model.').removesuffix('_size')} {size}" for name, size in cell["settings"].items()
        )
        for cell in cells
    ]
    unit = results["unit"].rpartition(" ")[2]
    return [
        [_names(results)],
        [("parameters", [f"{cell['parameters']:,}" if cell["parameters"] else "-" for cell in cells])],
        [("sizes", sizes)],
        [("steps", [_mean(cell, "steps", "{:,.0f}") for cell in cells])],
        [(f"{unit}/s", [_mean(cell, "tokens_per_second", "{:,.0f}") for cell in cells])],
        [("memory", [_memory(cell) for cell in cells])],
        [("time", [_mean(cell, "seconds", "{:,.0f} s") for cell in cells])],
    ]


def notes(results: Mapping[str, Any]) -> list[str]:
    """How to read the tables, and what became of runs that did not finish."""
    lines = []
    if len(results["cells"]) > 1:
        lines.append(f"p: {results['test']} against {results['cells'][0]['cell']}; * is below {LEVEL}")
    if len(results["seeds"]) > 1:
        lines.append("±: 95 % interval of the mean over seeds, Student's t")
    lines.append("memory: the most of any run; speed and time: means, validations included in time alone")
    for cell in results["cells"]:
        for run in cell["runs"]:
            if run["status"] != "finished":
                lines.append(
                    f"{cell['cell']}, seed {run['seed']}: {run['status']}{run['reason'] and ': '}{run['reason']}"
                )
    return lines


def _names(results: Mapping[str, Any]) -> Column:
    return "cell", [
        name if len(name) <= LONGEST_CELL else f"{name[: LONGEST_CELL - 1]}…"
        for name in (cell["cell"] for cell in results["cells"])
    ]


def _p(score: Mapping[str, Any] | None) -> str:
    if score is None or score["p"] is None:
        return ""
    return f"{score['p']:.4f}{' *' if score['p'] < LEVEL else ''}"


def _mean(cell: Mapping[str, Any], what: str, spelling: str) -> str:
    found = [run[what] for run in cell["runs"] if run[what] is not None]
    return spelling.format(fmean(found)) if found else "-"


def _memory(cell: Mapping[str, Any]) -> str:
    found = [run["peak_memory_bytes"] for run in cell["runs"] if run["peak_memory_bytes"] is not None]
    return f"{max(found) / MEBIBYTE:,.0f} MiB" if found else "-"


def _flat(columns: Sequence[Sequence[Column]]) -> list[Column]:
    return [column for group in columns for column in group]
