"""A run on disk: one directory with its configuration, checkpoints, logs, scores and pictures."""

import csv
import logging
import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqlab.errors import UserError
from seqlab.registry import nearest

if TYPE_CHECKING:
    from seqlab.config import Settings

log = logging.getLogger("seqlab")


class Run:
    """The directory of a run; constructing it touches nothing.

    ::

        config.yaml          everything that was set, in full
        checkpoints/         best.ckpt by the validation score, last.ckpt to go on from, previous.ckpt from before it
        model.safetensors    the weights, of an export
        logs/                metrics.csv and TensorBoard's events
        curves.png           the learning curves
        summary.json         what the fit ended with
        scores.json          what evaluate found
        translations/        hypotheses and references, a sentence a line
        diagnosis.json       what diagnose found
        diagnosis/           its pictures, and steps.json of the callback
        report.html          what report wrote

    Args:
        path: The directory.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.config = self.path / "config.yaml"
        self.checkpoints = self.path / "checkpoints"
        self.best = self.checkpoints / "best.ckpt"
        self.last = self.checkpoints / "last.ckpt"
        self.previous = self.checkpoints / "previous.ckpt"
        self.exported = self.path / "model.safetensors"
        self.logs = self.path / "logs"
        self.metrics = self.logs / "metrics.csv"
        self.curves = self.path / "curves.png"
        self.summary = self.path / "summary.json"
        self.scores = self.path / "scores.json"
        self.translations = self.path / "translations"

    def __str__(self) -> str:
        return str(self.path)

    @property
    def typed(self) -> str:
        """The directory as one types it in a shell, for commands to be copied."""
        return shlex.quote(str(self.path))

    def check_free(self, *, resume: bool, overwrite: bool) -> None:
        """Makes sure that a fit may write here.

        Raises:
            UserError: There is something here and neither flag says what to do with it; there is nothing to resume; or
                what should be overwritten is not a run.
        """
        if os.path.lexists(self.path) and not self.path.is_dir():
            what = "a file" if self.path.exists() else f"a link to {os.readlink(self.path)}, which leads nowhere"
            raise UserError(f"{self} is {what}: a run is a folder of its own; take another --run DIR")
        occupied = self.path.exists() and any(entry.name != ".lock" for entry in self.path.iterdir())
        if resume:
            if not self.config.is_file():
                raise UserError(f"{self} holds no run to resume (no {self.config.name})")
            if not self.is_resumable():
                raise UserError(f"{self} has no checkpoint to resume from; start over with --overwrite")
        elif occupied and not overwrite:
            raise UserError(
                f"{self} is not empty: --resume goes on with its run, --overwrite replaces it, --run DIR takes another"
            )
        elif occupied and not self.config.is_file():
            raise UserError(
                f"{self} is not a run (no {self.config.name}), so --overwrite leaves it alone; take another --run DIR"
            )

    def is_resumable(self) -> bool:
        """Whether there is a checkpoint to go on from, whole or not."""
        return self.last.is_file() or self.previous.is_file()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the run for this process; the system lets go of it when the process ends, however it ends.

        Raises:
            UserError: Another process holds it, or the directory cannot be written.
        """
        import fcntl  # not on every system, and only needed to fit

        try:
            self.path.mkdir(parents=True, exist_ok=True)
            file = open(self.path / ".lock", "a+", encoding="utf-8")  # noqa: SIM115  (held open for the whole run)
        except OSError as error:
            raise UserError(f"cannot write to {self}: {error.strerror}") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                file.seek(0)
                raise UserError(f"{self} is in use by process {file.read().strip() or 'unknown'}") from error
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    def clear(self) -> None:
        """Removes everything but the lock; the configuration goes last, so that a crash leaves what is still a run."""
        entries = [entry for entry in self.path.iterdir() if entry.name != ".lock"]
        for entry in sorted(entries, key=lambda entry: entry == self.config):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def remove(self) -> None:
        """Removes all of it, and the directory where nothing else is in there."""
        self.clear()
        (self.path / ".lock").unlink(missing_ok=True)
        with suppress(OSError):
            self.path.rmdir()

    def _neighbour(self) -> str:
        """A run of nearly this name beside it, as a question; of a link, that it leads nowhere."""
        if self.path.is_symlink() and not self.path.exists():
            return f" but a link to {os.readlink(self.path)}, which leads nowhere"
        beside = self.path.parent
        known = [entry.parent.name for entry in beside.glob("*/config.yaml")] if beside.is_dir() else []
        return nearest(self.path.name, known)

    def settings(self, argv: list[str] | None = None, prog: str = "seqlab") -> "Settings":
        """What the run was configured with, changed by flags.

        Raises:
            UserError: This is no run, what it was trained with is not installed, or a flag is wrong.
        """
        from seqlab.config import parse

        if not self.config.is_file():
            raise UserError(f"{self} is not a run (no {self.config.name}){self._neighbour()}")
        if self.saved():
            self.check_suppliers()
        return parse(self.config, argv or [], prog=prog)

    def check_suppliers(self, checkpoint: Path | None = None) -> None:
        """Makes sure that the plugins of a checkpoint are installed, and warns of other versions.

        To be called before the configuration is parsed, which without them fails in words that help less.

        Args:
            checkpoint: The checkpoint; what :meth:`load` reads if None.

        Raises:
            UserError: One is not installed, or the checkpoint cannot be read.
        """
        from seqlab.suppliers import check_suppliers
        from seqlab.training.checkpoints import load_checkpoint

        content = load_checkpoint(checkpoint, mmap=True) if checkpoint else self.load(mmap=True)[1]
        for line in check_suppliers(str(self), content["seqlab"].get("suppliers", {})):
            if is_first_process():
                log.warning("%s", line)

    def checkpoint(self) -> Path:
        """The best checkpoint, or the last one where no validation has chosen one yet.

        Raises:
            UserError: There is none.
        """
        if not self.config.is_file():
            raise UserError(f"{self} is not a run (no {self.config.name}){self._neighbour()}")
        if saved := self.saved():
            return saved[0]
        raise UserError(
            f"{self} has no checkpoint yet: it ended, or was stopped, before the first one was written "
            f"({self._progress()})"
        )

    def load(self, *, mmap: bool = False) -> tuple[Path, dict[str, Any]]:
        """Reads :meth:`checkpoint`; ``mmap`` is that of :func:`~seqlab.training.checkpoints.load_checkpoint`.

        Raises:
            UserError: There is none, or it cannot be read, and then which other one there is.
        """
        from seqlab.training.checkpoints import load_checkpoint

        path = self.checkpoint()
        try:
            return path, load_checkpoint(path, mmap=mmap)
        except UserError as error:
            others = self.saved()[1:]
            raise UserError(f"{error}; remove it to use {others[0]}" if others else str(error)) from error

    def saved(self) -> list[Path]:
        """What has the run's weights, and is used in this order."""
        return [path for path in (self.best, self.last, self.previous, self.exported) if path.is_file()]

    def _progress(self) -> str:
        """How far a fit got, by its log."""
        try:
            with self.metrics.open(encoding="utf-8", newline="") as file:
                steps = [row["step"] for row in csv.DictReader(file) if row.get("step")]
        except (OSError, ValueError):  # there is none, or it is damaged
            steps = []
        return f"its log ends at step {steps[-1]}" if steps else "it logged no step"


def is_first_process() -> bool:
    """Whether this is the process that owns the run: launchers of several tell the others their rank."""
    return all(os.environ.get(name, "0") == "0" for name in ("LOCAL_RANK", "RANK", "SLURM_PROCID"))
