"""The runs of a comparison: how far each is, and the command that takes it on from there."""

import json
import re
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from seqlab.comparing.plan import Plan
from seqlab.comparing.pool import BEGUN
from seqlab.files import write_text
from seqlab.runs import Run

Status = Literal["finished", "diverged", "failed", "unfinished"]
DIVERGED = re.compile(r"the loss is (nan|-?inf|not finite)|gradient is not finite|is no longer finite")
"""What a fit says when it ends because something is no number."""
ENDED = "nothing is left to do at step"
"""What a fit says that was killed after its last step."""
ERROR = "seqlab fit: error: "
STOPS = (signal.SIGINT, signal.SIGTERM)
"""Signals by which somebody stops a fit, or the comparison of which it is."""


@dataclass(frozen=True)
class Entry:
    """One run of a comparison.

    Args:
        cell: The cell.
        seed: The seed.
        run: Where it is.
        flags: The flags of its fit.
        recipe: The recipe.
    """

    cell: str
    seed: int
    run: Run
    flags: tuple[str, ...]
    recipe: str

    def __str__(self) -> str:
        return f"{self.cell}, seed {self.seed}"

    @property
    def log(self) -> Path:
        """What its fits say."""
        return self.run.path.with_name(f"{self.run.path.name}.log")

    @property
    def note(self) -> Path:
        """What became of it, where that is no summary."""
        return self.run.path.with_name(f"{self.run.path.name}.json")

    def status(self) -> tuple[Status, str]:
        """How far it is, and why it is no further."""
        if self.run.summary.is_file():
            return "finished", ""
        try:
            note = json.loads(self.note.read_text(encoding="utf-8"))
            return note["status"], note["reason"]
        except (OSError, ValueError, KeyError, TypeError):  # none, or not one of ours
            return "unfinished", ""

    def write_note(self, status: Status, reason: str) -> None:
        """Remembers what became of it."""
        write_text(self.note, json.dumps({"status": status, "reason": reason}, ensure_ascii=False) + "\n")

    def arguments(self) -> list[str]:
        """What comes after ``seqlab``: a fit that begins, or that goes on exactly from the last checkpoint."""
        if self.run.is_resumable():
            return ["fit", "--run", str(self.run), "--resume"]
        again = ["--overwrite"] if self.run.config.is_file() else []  # it was killed before its first checkpoint
        return ["fit", "--recipe", self.recipe, "--run", str(self.run), *again, *self.flags]

    def command(self) -> list[str]:
        """The same as a process of this interpreter."""
        return [sys.executable, "-m", "seqlab", *self.arguments()]

    def holder(self) -> str | None:
        """The process that fits it now; None if there is none."""
        import fcntl

        try:
            with open(self.run.path / ".lock", "r+", encoding="utf-8") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except OSError:
                    return file.read().strip() or "unknown"
        except OSError:  # nobody has begun it
            return None
        return None

    def judge(self, code: int) -> tuple[Status, str]:
        """What became of it, by how its fit ended; remembered where it is not to be tried again.

        Args:
            code: The exit code of the process, negative for a signal.
        """
        if code == 0 and self.run.summary.is_file():
            return "finished", ""
        if code < 0 or code >= 128:
            number = -code if code < 0 else code - 128
            return "unfinished", "stopped" if number in STOPS else f"ended by signal {number}"
        said = last_words(self.log)
        if ENDED in said:
            status: Status = "finished"
        else:
            status = "diverged" if DIVERGED.search(said) else "failed"
        reason = "" if status == "finished" else said or f"its fit ended with code {code}, see {self.log}"
        self.write_note(status, reason)
        return status, reason


def has_failed(log: Path) -> bool:
    """Whether the last line of a log is the error that a fit ended with."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return bool(lines) and lines[-1].startswith(ERROR)


def last_words(log: Path) -> str:
    """The error that the last process of a log told, or else its last line."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    first = max((number for number, line in enumerate(lines, 1) if line.startswith(BEGUN)), default=0)
    lines = [line.strip() for line in lines[first:] if line.strip()]
    errors = [line.removeprefix(ERROR) for line in lines if line.startswith(ERROR)]
    return (errors or lines or [""])[-1]


def entries(plan: Plan, out: Path) -> list[Entry]:
    """All runs of a comparison: seed by seed, so that every cell has a score early on."""
    return [
        Entry(cell, seed, plan.run(out, cell, seed), tuple(plan.flags(cell, seed)), plan.asked.recipe)
        for seed in plan.asked.seeds
        for cell in plan.asked.cells
    ]
