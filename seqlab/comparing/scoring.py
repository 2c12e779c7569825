"""The scores of the finished runs, by processes of ``seqlab evaluate``."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from seqlab.comparing.pool import Job
from seqlab.comparing.runs import Entry, last_words
from seqlab.errors import UserError
from seqlab.evaluation.records import read_records, sha256

TESTS = "significance.json"
"""What evaluate wrote of the runs of one seed beside each other."""
ERROR = "seqlab evaluate: error: "


def scoring_jobs(finished: Sequence[Entry], split: str, out: Path, done: Callable[[str], None]) -> list[Job]:
    """What is still to be done to know the scores of finished runs.

    Each run is scored by itself. Runs of one seed, though, are scored together by one process, which tests them on the
    very same sentences.

    Args:
        finished: The runs, those of the first cell first.
        split: What they are scored on.
        out: Directory of the comparison.
        done: Called with a line when a run is scored.

    Raises:
        UserError: While a job ends: it could not score its run.
    """
    together = len({entry.seed for entry in finished}) == 1 and len(finished) > 1
    groups = [list(finished)] if together else [[entry] for entry in finished]
    return [_job(group, split, out, done) for group in groups if not _is_scored(group, split, out)]


def _job(group: Sequence[Entry], split: str, out: Path, done: Callable[[str], None]) -> Job:
    runs = [str(entry.run) for entry in group]
    more = ["--out", str(out / TESTS)] if len(group) > 1 else []
    name = ", ".join(map(str, group)) if len(group) == 1 else f"{len(group)} runs"
    log = group[0].log if len(group) == 1 else out / "significance.log"

    def ended(code: int) -> None:
        if code == 0:
            done(f"{name}: scored on {split}")
        elif 0 < code < 128:
            raise UserError(f"{name} could not be scored: {last_words(log).removeprefix(ERROR)} (see {log})")

    command = [sys.executable, "-m", "seqlab", "evaluate", *runs, "--split", split, *more]
    return Job(f"scoring {name}", lambda: command, log, ended)


def _is_scored(group: Sequence[Entry], split: str, out: Path) -> bool:
    """Whether the scores of runs are known, of the checkpoints that they have now."""
    if len(group) > 1:
        known = read_tests(out).get("runs", {})
        if not all(known.get(str(entry.run), {}).get("checkpoint") == _of(entry, split) for entry in group):
            return False
    return all(_of(entry, split).get("sha256") == sha256(entry.run.checkpoint()) for entry in group)


def _of(entry: Entry, split: str) -> dict[str, Any]:
    """Which checkpoint the scores of a run are of."""
    return read_records(entry.run).get(split, {}).get("checkpoint", {})


def read_tests(out: Path) -> dict[str, Any]:
    """What evaluate wrote of runs beside each other; nothing if it did not."""
    try:
        return json.loads((out / TESTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
