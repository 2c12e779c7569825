"""What came of a comparison, as ``results.json`` holds it."""

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import Any

from seqlab.comparing.plan import RESULTS, Plan
from seqlab.comparing.runs import Entry
from seqlab.comparing.scoring import read_tests
from seqlab.comparing.statistics import welch
from seqlab.errors import UserError
from seqlab.evaluation.records import read_records
from seqlab.metrics.significance import over_seeds
from seqlab.training.checkpoints import load_checkpoint
from seqlab.training.summary import best_row

FORMAT = 1


def collect(plan: Plan, entries: Sequence[Entry], out: Path) -> dict[str, Any]:
    """All that is known of the runs, and what follows for the cells.

    Args:
        plan: The plan.
        entries: Its runs.
        out: Directory of the comparison.
    """
    tests = _tests(out)
    cells: list[dict[str, Any]] = []
    for cell in plan.asked.cells:
        own = [entry for entry in entries if entry.cell == cell]
        runs = [_run(entry, plan, out) for entry in own]
        cells.append(
            {
                "cell": cell,
                "label": cell,
                "settings": plan.sizes[cell],
                "parameters": next((run["parameters"] for run in runs if run["parameters"]), None),
                "runs": runs,
            }
        )
    for found in cells:
        found["scores"] = {
            name: _score(name, found, cells[0], tests)
            for name in dict.fromkeys(name for run in found["runs"] for name in run["scores"])
        }
    return {
        "format": FORMAT,
        "recipe": plan.asked.recipe,
        "monitor": plan.monitor,
        "mode": plan.mode,
        "metrics": plan.metrics,
        "split": plan.split,
        "unit": plan.unit,
        "seeds": list(plan.asked.seeds),
        "budget": plan.budget,
        "parameters": plan.asked.parameters,
        "test": test_told(plan),
        "cells": cells,
        "versions": _versions(entries, plan.split),
        "command": plan.asked.command(out),
    }


def test_told(plan: Plan) -> str:
    """Which test the p-values are of."""
    return "Welch's t-test over seeds" if len(plan.asked.seeds) > 1 else f"paired bootstrap on {plan.split}"


def _run(entry: Entry, plan: Plan, out: Path) -> dict[str, Any]:
    status, reason = entry.status()
    measured = _measured(entry, plan) if status == "finished" else {}
    return {
        "seed": entry.seed,
        "path": entry.run.path.relative_to(out).as_posix(),
        "status": status,
        "reason": reason,
        "scores": {**measured.get("scores", {}), **_scores(entry, plan.split)} if status == "finished" else {},
        "steps": measured.get("steps"),
        "seconds": measured.get("wall_seconds"),
        "training_seconds": measured.get("training_seconds"),
        "tokens_per_second": measured.get("tokens_per_second"),
        "peak_memory_bytes": measured.get("peak_memory_bytes"),
        "parameters": measured.get("parameters"),
    }


def _measured(entry: Entry, plan: Plan) -> dict[str, Any]:
    """What the fit of a finished run measured: by its summary, or where it was killed before it wrote one, by its last
    checkpoint."""
    if entry.run.summary.is_file():
        return json.loads(entry.run.summary.read_text(encoding="utf-8"))
    content = load_checkpoint(entry.run.last, mmap=True)
    best = best_row(entry.run, plan.monitor, plan.mode)
    states: dict[str, dict[str, Any]] = content["callbacks"]
    speed = next((state for name, state in states.items() if name.startswith("Throughput")), {})
    seconds = speed.get("seconds", 0.0)
    return {
        "steps": content["global_step"],
        "wall_seconds": round(speed.get("wall", seconds), 1),
        "training_seconds": round(seconds, 1),
        "tokens_per_second": round(speed["tokens"] / seconds, 1) if seconds else None,
        "scores": {name: float(value) for name, value in best.items() if name.startswith("val/")},
    }


def _scores(entry: Entry, split: str) -> dict[str, float]:
    """The scores of the best checkpoint, with its split in front."""
    record = read_records(entry.run).get(split, {"scores": {}})
    return {f"{split}/{name}": score["value"] for name, score in record["scores"].items()}


def _tests(out: Path) -> dict[str, dict[str, float | None]]:
    """By score and run the p-values that evaluate found against the first run."""
    found = read_tests(out)
    return {
        f"{found['label']}/{name}": {run: result["p_value"] for run, result in tested["runs"].items()}
        for name, tested in found.get("tests", {}).items()
    }


def _score(
    name: str,
    cell: Mapping[str, Any],
    first: Mapping[str, Any],
    tests: Mapping[str, Mapping[str, float | None]],
) -> dict[str, Any]:
    """A cell's score over its seeds, beside that of the first cell."""
    values, base = ([run["scores"][name] for run in each["runs"] if name in run["scores"]] for each in (cell, first))
    compared = cell is not first and bool(base)
    p_value = welch(base, values) if compared else None
    if compared and len(values) == len(base) == len(cell["runs"]) == 1:
        path = cell["runs"][0]["path"]
        p_value = next((p for run, p in tests.get(name, {}).items() if Path(run).as_posix().endswith(path)), None)
    return {
        "mean": fmean(values),
        "half_width": over_seeds(values).half_width if len(values) > 1 else None,
        "values": values,
        "p": p_value,
        "difference": fmean(values) - fmean(base) if compared else None,
    }


def _versions(entries: Sequence[Entry], split: str) -> dict[str, str]:
    """Of all that the scores depend on."""
    found = {"seqlab": version("seqlab"), "torch": version("torch")}
    for entry in entries:
        found |= read_records(entry.run).get(split, {}).get("versions", {}) if entry.run.config.is_file() else {}
    return found


def read_results(out: Path) -> dict[str, Any]:
    """What a comparison has left.

    Raises:
        UserError: There is none, or it cannot be read.
    """
    path = out / RESULTS
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{out} holds no results of a comparison ({path.name}): run seqlab compare first") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path} is no result of this version of seqlab")
    return content
