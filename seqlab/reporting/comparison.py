"""The report of a comparison."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from seqlab.comparing.plan import FILE, RESULTS, counted, read_plan
from seqlab.comparing.results import collect, read_results
from seqlab.comparing.runs import entries
from seqlab.comparing.tables import Column, cost_columns, notes, scores_columns, shown_scores
from seqlab.errors import UserError
from seqlab.reporting.curves import comparison_curves
from seqlab.reporting.diagnosis import cells_diagnosis
from seqlab.reporting.files import read_scores
from seqlab.reporting.origins import cells_settings, checkpoints_told, data_told, versions_told
from seqlab.reporting.page import Block, Code, Missing, Notes, Page, Section, Table, spelled
from seqlab.reporting.samples import cells_samples
from seqlab.reporting.sentences import comparison_sentence, ranking
from seqlab.reporting.shapes import RESULTS as SHAPE
from seqlab.reporting.shapes import is_number, misfit
from seqlab.runs import Run
from seqlab.score_text import score_text


def comparison_page(out: Path) -> Page:
    """The report of a comparison.

    Args:
        out: Its directory.

    Raises:
        UserError: Its results, or its plan where there are no results yet, cannot be read.
    """
    results = read_comparison(out)
    runs = {
        cell["cell"]: [Run(out / run["path"]) for run in best_first(results, cell)]
        for cell in results["cells"]
        if cell["runs"]
    }
    chosen = {cell: found[0] for cell, found in runs.items()}
    samples = cells_samples(chosen, results["split"], results["unit"])
    seeds = results["seeds"]
    facts = [
        ("recipe", results["recipe"]),
        ("cells", f"{len(results['cells'])}"),
        ("seeds", ", ".join(map(str, seeds)) if len(seeds) <= 10 else f"{len(seeds)}"),
        ("budget", ", ".join(counted(value, name) for name, value in results["budget"].items())),
        ("parameters", "the recipe's sizes" if results["parameters"] is None else f"{results['parameters']:,} each"),
        ("chosen by", f"{results['monitor']}, {'highest' if results['mode'] == 'max' else 'lowest'}"),
        ("scored on", results["split"]),
    ]
    sections = [
        Section("Results", _tables(results)),
        Section("Learning curves", comparison_curves(results, out)),
        Section("Gradients through time", cells_diagnosis(runs, out)),
        *([Section("Sample outputs", samples)] if samples else []),
        Section("Runs", [_runs(results)]),
        Section("Configuration", cells_settings(chosen)),
        Section("How to reproduce", _origin(results, out, chosen)),
    ]
    title = f"{results['recipe']}: {', '.join(cell['cell'] for cell in results['cells'])}"
    return Page(title, comparison_sentence(results), [fact for fact in facts if fact[1]], sections)


def read_comparison(out: Path) -> dict[str, Any]:
    """The results of a comparison, or where it has written none, what is known of its runs so far.

    Raises:
        UserError: They cannot be read.
    """
    if not (out / RESULTS).is_file() and (out / FILE).is_file():
        plan = read_plan(out)
        return collect(plan, entries(plan, out), out)
    try:
        results = read_results(out)
        wrong = misfit(results, SHAPE) or _untrue(results)
    except RecursionError:  # of brackets without end
        wrong = "nested too deeply"
    if wrong:
        raise UserError(
            f"{out / RESULTS} is damaged ({wrong}): {spelled(['seqlab', 'compare', '--out', out])} writes it again"
        )
    return results


def _untrue(results: Mapping[str, Any]) -> str:
    """What results of the right shape say that no comparison does, in words; empty if nothing.

    A page shows what is in the files that they name, so these lie within the comparison.
    """
    if results["mode"] not in ("max", "min"):
        return "mode is neither max nor min"
    if not re.fullmatch(r"\w[\w-]*", results["split"]):
        return "split is not as expected"
    for cell in results["cells"]:
        for run in cell["runs"]:
            path = PurePath(run["path"])
            if path.is_absolute() or ".." in path.parts or "\0" in run["path"]:
                return f"the path of {cell['cell']}, seed {run['seed']} is none within it"
    return ""


def _tables(results: Mapping[str, Any]) -> list[Block]:
    """Scores and cost of the cells, with the texts that the other tables have."""
    names = [cell["cell"] for cell in results["cells"]]
    score = shown_scores(results)[0]
    means = {cell["cell"]: cell["scores"][score]["mean"] for cell in ranking(results, score)}
    best = [name for name, mean in means.items() if mean == next(iter(means.values()))]
    strong = frozenset((names.index(name), 2) for name in best)  # behind the cell and its seeds
    caption = "Scores, and how each cell stands to the first" if len(names) > 1 else "Scores"
    return [
        _table(caption, names, scores_columns(results), strong),
        _table("Size and cost", names, cost_columns(results)),
        Notes([*notes(results), *(["bold: the best mean of the score that chooses"] if best else [])]),
    ]


def _table(
    caption: str,
    names: Sequence[str],
    columns: Sequence[Sequence[Column]],
    strong: frozenset[tuple[int, int]] = frozenset(),
) -> Table:
    """Columns as a table, with the cells' names in full."""
    flat = [column for group in columns[1:] for column in group]
    rows = list(zip(names, *(cells for _, cells in flat), strict=True))
    return Table(caption, ["cell", *(name for name, _ in flat)], rows, strong=strong)


def best_first(results: Mapping[str, Any], cell: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The runs of a cell, the best score first; behind them those that have none."""
    name = shown_scores(results)[0]
    scored = [run for run in cell["runs"] if is_number(run["scores"].get(name))]
    others = [run for run in cell["runs"] if run not in scored]
    return sorted(scored, key=lambda run: run["scores"][name], reverse=results["mode"] == "max") + others


def _runs(results: Mapping[str, Any]) -> Block:
    """Every run: what became of it, and where it is."""
    name = shown_scores(results)[0]
    rows = [
        [
            f"{cell['cell']}, seed {run['seed']}",
            run["status"],
            score_text(run["scores"][name]) if name in run["scores"] else "-",
            "-" if run["steps"] is None else f"{run['steps']:,}",
            "-" if run["seconds"] is None else f"{run['seconds']:,.0f} s",
            run["path"],
        ]
        for cell in results["cells"]
        for run in cell["runs"]
    ]
    return Table("Every run", ["run", "status", name, "steps", "time", "folder"], rows, text=True)


def _origin(results: Mapping[str, Any], out: Path, chosen: Mapping[str, Run]) -> list[Block]:
    label = results["split"]
    records = {cell: record for cell, run in chosen.items() if (record := read_scores(run).get(label))}
    data = data_told({label: next(iter(records.values()))}) if records else []
    data = data or [Missing("No run has been scored, so there is no checksum of the data")]
    commands = [results["command"], spelled(["seqlab", "report", out])]
    checkpoints = checkpoints_told({f"{cell}, {chosen[cell].path.name}": record for cell, record in records.items()})
    return [
        Code("Commands", "\n".join(commands)),
        *versions_told(results["versions"]),
        *data,
        *checkpoints,
    ]
