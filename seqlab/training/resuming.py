"""To go on with a run: from which of its last two checkpoints, and with logs that end where that does."""

import errno
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch

from seqlab.errors import UserError
from seqlab.files import put_copy, remove_unfinished
from seqlab.training.checkpoints import LAST, PREVIOUS, load_checkpoint
from seqlab.training.events import trim_events


class Resumed(NamedTuple):
    """What a run goes on from."""

    path: Path
    checkpoint: dict[str, Any]
    flaw: str | None = None
    """What is wrong with the last checkpoint, if this is the one before."""

    @property
    def step(self) -> int:
        """The optimizer step that it was saved after."""
        return self.checkpoint["global_step"]

    def notes(self) -> list[str]:
        """What whoever resumes should know, a line each: that this is not the last one, or not of these versions."""
        record = self.checkpoint["seqlab"]
        here = {"seqlab": version("seqlab"), "torch": str(torch.__version__)}
        saved = {"seqlab": record.get("version"), "torch": record.get("torch")}
        other = [name for name in here if saved[name] not in (here[name], None)]
        lines = [] if self.flaw is None else [f"{self.flaw}; going on from {self.path}, of step {self.step:,}"]
        if other:
            before, now = (" and ".join(f"{name} {of[name]}" for name in other) for of in (saved, here))
            lines.append(
                f"{self.path} was saved by {before}, and this is {now}: it may not end as it would have, bit for bit"
            )
        return lines


def load_last(folder: Path, *, mmap: bool = False) -> Resumed:
    """Reads the last checkpoint, or the one before where the last one is gone or damaged.

    One that is whole, but does not go with the run, is no reason to take another.

    Args:
        folder: Folder of the checkpoints.
        mmap: As for :func:`~seqlab.training.checkpoints.load_checkpoint`; then not all damage is found.

    Raises:
        UserError: Neither can be read, or the system does not let this process read the last one.
    """
    last, previous = folder / LAST, folder / PREVIOUS
    try:
        return Resumed(last, load_checkpoint(last, mmap=mmap))
    except UserError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno != errno.EIO:
            raise
        flaw = str(error)
    try:
        return Resumed(previous, load_checkpoint(previous, mmap=mmap), flaw)
    except UserError as error:
        raise UserError(f"{flaw}; {error}: there is nothing to go on from; start over with --overwrite") from error


def take_up(resumed: Resumed, folder: Path, logs: Path) -> None:
    """Puts a run on disk back to where it goes on from; to be called by the one process that holds the run.

    What killed processes left behind goes, what TensorBoard was told of later steps goes, and a damaged last
    checkpoint gives its place to the one before: else that would be replaced by it at the next writing.

    Args:
        resumed: What :func:`load_last` found.
        folder: Folder of the checkpoints.
        logs: Folder of the logs.

    Raises:
        UserError: Another process has gone on with the run since.
    """
    if resumed.flaw is None and load_last(folder, mmap=True).step != resumed.step:
        raise UserError(f"another process has just written {resumed.path}: try again")
    for place in (folder, logs):
        remove_unfinished(place)
    if resumed.flaw is not None:
        put_copy(resumed.path, folder / LAST)
    trim_events(logs, resumed.step)
