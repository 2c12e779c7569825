"""Kills fits at random moments, resumes them, and compares what they end with to fits that nobody killed, bit for bit.

    python tests/stress/kill_and_resume.py [--points 24] [--seed 1] [--only COMBINATION ...] [--folder DIR]

Every fit is the command in processes of its own; SIGKILL goes to all of them at once, as when a machine is lost. The
moments are drawn over start-up, training, validation, the writing of a checkpoint and the end; in a third of cases the
resumed fit is killed as well. Weights, optimizer, schedule, averages, the state of every callback, the position in the
data, best.ckpt, metrics.csv and summary.json are compared, without what measures time or memory. 24 points take some
20 minutes on one core. Exits with 1 if anything differs, which it names.
"""

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import NamedTuple

from comparing import differences, rows
from fits import COMBINATIONS, write_text

PLACES = ("validation", "mid-epoch", "checkpoint", "epoch's end", "ending", "start-up")
AGAIN = 1 / 3
"""How many of the resumed fits are killed as well."""
TRIES = 3
TIMEOUT = 900.0


class Whole(NamedTuple):
    """A fit that nobody killed."""

    run: Path
    rows: list[dict[str, str]]
    times: list[float]
    """When each row of the log was there, in seconds from the start; last of all summary.json."""

    def candidates(self, place: str) -> list[int]:
        """After how many rows a fit is in a place, until the next row."""
        chosen = []
        for number, (row, following) in enumerate(zip(self.rows, [*self.rows[1:], {}], strict=True), 1):
            if not following:
                here = "ending"
            elif following["train/loss"] == "":
                here = "validation"
            else:
                here = "epoch's end" if following["epoch"] != row["epoch"] else "mid-epoch"
            if place in (here, "checkpoint"):
                chosen.append(number)
        return chosen[:-1] if place == "checkpoint" else chosen


class Fit:
    """The command in a session of its own."""

    def __init__(self, run: Path, flags: list[str]):
        self.run, self.errors = run, run.with_name(f"{run.name}.stderr")
        self.start = time.monotonic()
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "seqlab", "fit", "--run", str(run), *flags],
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )

    def wait_until(self, condition: Callable[[], bool]) -> bool:
        """Waits for a condition; False if the fit ended before."""
        while not condition():
            if self.process.poll() is not None:
                return False
            if time.monotonic() - self.start > TIMEOUT:
                self.kill()
                raise TimeoutError(f"{self.run}: a fit took more than {TIMEOUT:.0f} s\n{self.errors.read_text()}")
            time.sleep(0.001)
        return True

    def logged(self) -> int:
        """Number of rows of the log."""
        try:
            return max(0, (self.run / "logs" / "metrics.csv").read_bytes().count(b"\n") - 1)
        except FileNotFoundError:
            return 0

    def is_writing(self) -> bool:
        """Whether a checkpoint is being written."""
        return any((self.run / "checkpoints").glob(".*"))

    def kill(self) -> None:
        """SIGKILL to the command and all processes that it has started; returns when none is left."""
        try:
            while True:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.poll()
                time.sleep(0.01)
        except ProcessLookupError:
            self.process.wait()

    def end(self) -> int:
        """Waits for its end; returns the exit code."""
        self.wait_until(lambda: False)
        return self.process.returncode


def train_whole(run: Path, flags: list[str]) -> Whole:
    """A fit from beginning to end, with the time of each row of its log."""
    fit, times, ended = Fit(run, flags), [], []

    def note() -> bool:
        now = time.monotonic() - fit.start
        times.extend([now] * (fit.logged() - len(times)))
        ended.extend([now] if (run / "summary.json").exists() and not ended else [])
        return False

    fit.wait_until(note)
    if fit.process.returncode:
        raise SystemExit(f"the fit that nobody killed failed:\n{fit.errors.read_text()}")
    note()
    return Whole(run, rows(run), [*times, ended[0]])


def kill_within(fit: Fit, whole: Whole, place: str, draw: random.Random, before: int = 0) -> bool:
    """Kills a fit at a random moment in a place, after some rows of its log; False if it ended earlier."""
    candidates = [number for number in whole.candidates(place) if number > before]
    if place == "start-up" or not candidates:
        delay, reached = draw.random() * whole.times[0], True
    else:
        number = draw.choice(candidates)
        reached = fit.wait_until(lambda: fit.logged() >= number)
        delay = draw.random() * (whole.times[number] - whole.times[number - 1])
        if place == "checkpoint":
            delay, reached = 0.0, reached and fit.wait_until(fit.is_writing)
    until = time.monotonic() + delay
    reached = reached and fit.wait_until(lambda: time.monotonic() >= until) and fit.process.poll() is None
    fit.kill()
    return reached


def found_in(run: Path, whole: Whole) -> tuple[str, str]:
    """Step and place in which a killed run was, by what it left on the disk."""
    left = rows(run)
    step = left[-1]["step"] if left else "0"
    if any((run / "checkpoints").glob(".*")):
        return step, "writing a checkpoint"
    if not left:
        return step, "start-up"
    known = whole.rows[: len(left) + 1]
    if len(left) >= len(whole.rows):
        return step, "ending" + (", after summary.json" if (run / "summary.json").exists() else "")
    if known[-1]["train/loss"] == "":
        return step, "validation"
    return step, "epoch's end" if known[-1]["epoch"] != known[-2]["epoch"] else "mid-epoch"


def resume(run: Path, flags: list[str]) -> Fit:
    """Goes on with a run as a user would: from its checkpoint, or anew if there is none yet."""
    if any((run / "checkpoints").glob("last*.ckpt")):
        return Fit(run, ["--resume"])
    return Fit(run, [*flags, *(["--overwrite"] if (run / "config.yaml").exists() else [])])


def taken_up(fit: Fit) -> str:
    """The step that a resumed fit says it went on from."""
    said = fit.errors.read_text()
    match = re.search(r"resumed at step ([\d,]+)", said)
    return match[1] if match else "(it had ended)" if "nothing is left to do" in said else "anew"


def kill_and_compare(run: Path, flags: list[str], whole: Whole, place: str, draw: random.Random) -> list[str] | None:
    """One kill point: the cells of its row, of which the last is empty where nothing differs; None if it was missed."""
    fit = Fit(run, flags)
    if not kill_within(fit, whole, place, draw):
        return None
    step, where = found_in(run, whole)
    ended = (run / "summary.json").exists()
    before, fit = fit.logged(), resume(run, flags)
    if draw.random() < AGAIN and before < len(whole.rows) and kill_within(fit, whole, "mid-epoch", draw, before):
        second, where_then = found_in(run, whole)
        step, where = f"{step}, {second}", f"{where}, then {where_then}"
        origin, fit = taken_up(fit), resume(run, flags)
        code = fit.end()
        origin = f"{origin}, {taken_up(fit)}"
    else:
        code = fit.end()
        origin = taken_up(fit)
    if code and not (ended and "nothing is left to do" in fit.errors.read_text()):
        return [step, where, origin, f"exit code {code}: {fit.errors.read_text().strip().splitlines()[-1:]}"]
    told = differences(whole.run, run)
    run.with_name(f"{run.name}.differences").write_text("".join(f"{line}\n" for line in told), encoding="utf-8")
    return [step, where, origin, "; ".join([*told[:2], *([f"and {len(told) - 2} more"] if len(told) > 2 else [])])]


def main() -> int:
    """Prints a table with a line for each kill point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=24, metavar="N", help="kill points (default: 24)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the moments (default: 1)")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=COMBINATIONS,
        default=list(COMBINATIONS),
        metavar="NAME",
        help=f"combinations: {', '.join(COMBINATIONS)}",
    )
    parser.add_argument(
        "--places",
        nargs="+",
        choices=PLACES,
        default=list(PLACES),
        metavar="PLACE",
        help=f"where to kill: {', '.join(PLACES)}",
    )
    parser.add_argument("--folder", type=Path, metavar="DIR", help="keep the runs there (default: a temporary folder)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder)
        return 1 if fail(folder, options) else 0


def fail(folder: Path, options: argparse.Namespace) -> int:
    """Kills as often as asked; returns how many runs differ."""
    draw, begun, wholes, failed, done = random.Random(options.seed), time.monotonic(), {}, 0, 0
    names, places = (draw.sample(part, len(part)) for part in (options.only, options.places))
    print("| fit | killed at step | in | resumed from step | result |\n|---|--:|---|--:|---|")
    for number in count():
        if done >= options.points or number >= TRIES * options.points:
            break
        name, place = names[number % len(names)], places[number % len(places)]
        combination = COMBINATIONS[name]
        flags = combination.argv(folder)
        if name not in wholes:
            wholes[name] = train_whole(folder / f"{name}-whole", flags)
        cells = kill_and_compare(folder / f"{name}-{number}", flags, wholes[name], place, draw)
        if cells is None:
            continue
        done += 1
        failed += bool(cells[-1])
        title = f"{combination.task}: {combination.what}"
        print(f"| {title} | {' | '.join(cells[:-1])} | {cells[-1] or 'bit-equal'} |", flush=True)
    minutes = (time.monotonic() - begun) / 60
    print(f"\n{done - failed} of {done} runs are bit-equal, {len(wholes)} kinds of fits, {minutes:.0f} minutes")
    return failed + (done < options.points)


if __name__ == "__main__":
    sys.exit(main())
