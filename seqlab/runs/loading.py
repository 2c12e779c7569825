"""The task of a run: made anew from its configuration, with what a checkpoint saved of it."""

from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqlab.errors import UserError
from seqlab.runs.directory import Run

if TYPE_CHECKING:
    from seqlab.config import Settings
    from seqlab.tasks.base import Task
    from seqlab.training.initial_weights import Source


def load(run: str | Path, device: str | None = None) -> "Task":
    """The trained task of a run or of an export, ready to use.

    Args:
        run: Directory of the run, or what ``seqlab export`` made of it.
        device: Where to put the model, such as ``cpu`` or ``cuda``; a GPU where there is one if None.

    Returns:
        The task in evaluation mode, with its tokenizers; of translation it goes on with
        ``seqlab.load("runs/x").translate(["A sentence."])``.

    Raises:
        UserError: It is no path, there is no such run, it has no checkpoint, or the checkpoint does not fit its
            configuration.
    """
    if not isinstance(run, str | PathLike):
        raise UserError(f"seqlab.load takes the directory of a run, as in seqlab.load('runs/x'), not {run!r}")
    task, _, _ = restore(Run(run))
    return task.to(device or default_device())


def default_device() -> str:
    """A GPU where there is one, else the CPU."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def restore(run: Run, settings: "Settings | None" = None) -> tuple["Task", Any, dict[str, Any]]:
    """A run's task to be used, with averages of weights where there are any, its data module, and its checkpoint."""
    from seqlab.training.averaging import use_averages

    settings = settings or run.settings()
    path, checkpoint = run.load()
    task, data = rebuild(settings, checkpoint, path)
    use_averages(task, checkpoint)
    return task.eval(), data, checkpoint


def read_source(name: str) -> "Source":
    """What another run has to start from.

    Args:
        name: The run, of which :meth:`Run.checkpoint <seqlab.runs.directory.Run.checkpoint>` is read, or the file of a
            checkpoint.

    Raises:
        UserError: It is no run, it has no checkpoint, or the checkpoint cannot be read.
    """
    import yaml

    from seqlab.specs import flat
    from seqlab.training.checkpoints import load_checkpoint
    from seqlab.training.initial_weights import Source

    checkpoint = load_checkpoint(Path(name) if Path(name).is_file() else Run(name).checkpoint())
    return Source(name, checkpoint, flat(yaml.safe_load(checkpoint["seqlab"]["config"])))


def rebuild(settings: "Settings", checkpoint: dict[str, Any], path: Path) -> tuple["Task", Any]:
    """The task and data module of a configuration, with what a checkpoint saved of them, raw weights among it.

    Raises:
        UserError: The checkpoint was saved with another configuration.
    """
    from seqlab.training.initial_weights import first_few, misfits
    from seqlab.training.untrusted import Bounded

    data = settings.make_data()
    try:
        _give_state(data, checkpoint[type(data).__qualname__], path)
        with Bounded(checkpoint["state_dict"], path):
            task = settings.make_task(data)
        if wrong := misfits(task.state_dict(), checkpoint["state_dict"]):
            raise UserError(
                f"{path} does not fit its own tokenizer or the configuration: {first_few(wrong)}{_saver(checkpoint)}"
            )
        task.load_state_dict(checkpoint["state_dict"])
    except (KeyError, RuntimeError) as error:
        reason = f"it holds no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise UserError(f"{path} does not fit the configuration: {reason}{_saver(checkpoint)}") from error
    return task, data


def _saver(checkpoint: dict[str, Any]) -> str:
    """Of which version of seqlab a checkpoint is, if it is another one."""
    saved, here = checkpoint["seqlab"].get("version"), version("seqlab")
    return "" if saved in (here, None) else f" (it is of seqlab {saved}, and this is {here})"


def _give_state(data: Any, state: Any, path: Path) -> None:
    """Gives a data module what a checkpoint saved of it.

    Raises:
        UserError: It is of a wrong type, or damaged.
        KeyError: It lacks something.
    """
    try:
        data.load_state_dict(state)
    except (TypeError, ValueError, AttributeError, RuntimeError, RecursionError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: what it saved of the data cannot be read: {reason}") from error
