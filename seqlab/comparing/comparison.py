"""A comparison from its plan to its results."""

import json
import logging
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from seqlab.comparing.curves import draw_curves
from seqlab.comparing.jobs import write_jobs
from seqlab.comparing.plan import RESULTS, Plan, counted
from seqlab.comparing.pool import Job, Pool
from seqlab.comparing.results import collect
from seqlab.comparing.runs import Entry, entries, has_failed
from seqlab.comparing.scoring import scoring_jobs
from seqlab.comparing.tables import markdown, run_rows, terminal
from seqlab.comparing.view import View
from seqlab.evaluation.tables import written
from seqlab.files import write_text
from seqlab.terminal import columns

log = logging.getLogger("seqlab")


def compare(
    plan: Plan,
    out: Path,
    *,
    tell: Callable[[list[str]], None],
    workers: int = 1,
    jobs: str | None = None,
    retry: bool = False,
) -> int:
    """Trains what is still to be trained, scores it, and writes and tells the results.

    Args:
        plan: The plan, which the directory holds.
        out: The directory.
        tell: Called with the lines of the results, when they are written.
        workers: Processes at a time.
        jobs: ``slurm`` or ``commands``: write what is to be trained, and train nothing.
        retry: Whether runs that failed or diverged are tried again.

    Returns:
        0, 1 if a run has not finished, or for a signal 128 and its number.
    """
    every = entries(plan, out)
    if retry:
        for entry in every:
            if entry.status()[0] in ("failed", "diverged"):
                entry.note.unlink(missing_ok=True)
    todo = [entry for entry in every if entry.status()[0] == "unfinished"]
    if jobs is None:
        stopped = _train(plan, every, todo, workers)
    else:
        _note_failures(todo)
        stopped = 0
        unfinished = [entry for entry in todo if entry.status()[0] == "unfinished"]
        todo = [entry for entry in unfinished if entry.holder() is None]
        if todo:
            log.info("%s to be done: %s", _are(len(todo)), write_jobs(jobs, todo, out))
        if running := len(unfinished) - len(todo):
            log.info("%s running", _are(running))
    stopped = stopped or _score(plan, every, out, workers)
    if stopped:
        again = shlex.join(["seqlab", "compare", "--out", str(out)])
        log.info("%s: go on with: %s", signal.Signals(stopped).name, again)
        return 128 + stopped
    results = collect(plan, every, out)
    if any(run["status"] != "unfinished" for cell in results["cells"] for run in cell["runs"]):
        paths = write_results(results, every, out)
        tell([*terminal(results, columns(sys.stdout)), "", *written(paths)])
    return int(any(run["status"] != "finished" for cell in results["cells"] for run in cell["runs"]) and jobs is None)


def write_results(results: dict[str, Any], every: Sequence[Entry], out: Path) -> list[Path]:
    """Writes the results as JSON, CSV and Markdown, and draws the learning curves; returns the files."""
    pictures = draw_curves(every, results, out)
    texts = {
        RESULTS: json.dumps(results, indent=2, ensure_ascii=False) + "\n",
        "results.csv": run_rows(results),
        "results.md": markdown(results, [picture.name for picture in pictures]),
    }
    for name, text in texts.items():
        write_text(out / name, text)
    return [*(out / name for name in texts), *pictures]


def _are(number: int) -> str:
    return f"{counted(number, 'runs')} {'is' if number == 1 else 'are'}"


def _train(plan: Plan, every: Sequence[Entry], todo: Sequence[Entry], workers: int) -> int:
    """Runs the fits; returns the signal that ended them, or 0."""
    steps = {seed: _steps(plan, seed) for seed in plan.asked.seeds}
    view = View(len(every), len(every) - len(todo), plan.monitor, steps)
    if len(todo) < len(every):
        ended = len(every) - len(todo)
        view.say(f"{ended} of {counted(len(every), 'runs')} {'has' if ended == 1 else 'have'} ended before")

    def job(entry: Entry) -> Job:
        return Job(
            str(entry),
            entry.command,
            entry.log,
            lambda code: view.end(entry, *entry.judge(code)),
            lambda: view.begin(entry),
            entry.holder,
            lambda: entry.status()[0] == "unfinished",
        )

    def wait(job: Job, holder: str) -> None:
        view.say(f"{job.name}: process {holder} trains it; waiting for that")

    try:
        with Pool(workers, view.poll, wait) as pool:
            pool.run([job(entry) for entry in todo])
    finally:
        view.close()
    return pool.stopped_by


def _steps(plan: Plan, seed: int) -> int:
    """Optimizer steps of a run; 0 if that is open."""
    flags = plan.ends[seed]
    if "--trainer.max_steps" in flags:
        return max(0, int(flags[flags.index("--trainer.max_steps") + 1]))
    return int(plan.budget.get("steps", 0))


def _score(plan: Plan, every: Sequence[Entry], out: Path, workers: int) -> int:
    """Scores the runs that have finished; returns the signal that ended it, or 0."""
    finished = [entry for entry in every if entry.status()[0] == "finished"]
    with Pool(workers) as pool:
        pool.run(scoring_jobs(finished, plan.split, out, log.info))
    return pool.stopped_by


def _note_failures(todo: Sequence[Entry]) -> None:
    """Remembers which runs of a job array failed, by the logs that they left."""
    for entry in todo:
        if has_failed(entry.log) and entry.holder() is None:
            entry.judge(2)
