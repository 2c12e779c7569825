"""What a fit says when it begins and ends."""

import itertools
import json
import logging
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping, Timer

from seqlab.files import write_text
from seqlab.score_text import score_text
from seqlab.terminal import columns
from seqlab.training.curves import draw_curves
from seqlab.training.freezing import trained_parameters
from seqlab.training.logs import read_rows
from seqlab.training.throughput import Throughput

log = logging.getLogger("seqlab")

EXAMPLES = 3
"""Of those a task shows: more would push what follows off the screen."""


def describe_model(task: Any) -> str:
    """One line on a task: its class, its cells, its number of parameters."""
    sides = "".join(f", {side} {origin}" for side, origin in task.cell_origins().items())
    total, trained = count_parameters(task), sum(weight.numel() for weight in trained_parameters(task).values())
    frozen = f" ({total - trained:,} of them frozen)" if trained < total else ""
    return f"model: {type(task).__name__}, {total:,} parameters{frozen}{sides}"


def count_parameters(task: Any) -> int:
    """Number of parameters, shared ones once."""
    return sum(parameter.numel() for parameter in task.parameters())


def peak_memory(device: torch.device) -> int | None:
    """The most bytes so far: of tensors on a GPU, else of the whole process; None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:  # not by getrusage, which counts what the process was before it became this program
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return 1024 * int(status.partition("VmHWM:")[2].split()[0])
    except (OSError, IndexError, ValueError):
        pass
    try:
        from resource import RUSAGE_SELF, getrusage  # not on every system
    except ImportError:
        return None
    return getrusage(RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def write_summary(run: Any, task: Any, data: Any, trainer: Trainer, throughput: Throughput, checkpoint: Any) -> None:
    """Writes ``summary.json`` and ``curves.png``, and prints some examples, places, cost, scores and
    commands to go on with.

    Args:
        run: The :class:`~seqlab.runs.directory.Run`.
        task: The task with its best weights.
        data: Its data module.
        trainer: The trainer, which has ended.
        throughput: The speed of the whole training.
        checkpoint: Which score chose the best checkpoint.
    """
    best = best_row(run, checkpoint.monitor, checkpoint.mode)
    scores = {name: float(value) for name, value in best.items() if name.startswith("val/")}
    cause, ended = ended_by(trainer, checkpoint)
    summary = {
        "ended_by": cause,
        "steps": trainer.global_step,
        "best_step": int(best["step"]) if best else None,
        "scores": scores,
        "signatures": trainer.lightning_module.validation_signatures or task.signatures(),
        "training_seconds": round(throughput.seconds, 1),
        "wall_seconds": round(throughput.wall, 1),
        "tokens_per_second": round(throughput.mean, 1),
        "unit": task.unit,
        "parameters": count_parameters(task),
        "peak_memory_bytes": peak_memory(trainer.strategy.root_device),
        "engines": task.engines(),
    }
    write_text(run.summary, json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    draw_curves(run.metrics, run.curves, f"{run.path.name}: {describe_model(task).removeprefix('model: ')}")
    for line in itertools.islice(task.examples(data), EXAMPLES):
        log.info("%s", line)
    step = best["step"] if best else trainer.global_step
    use = {"translate": " < in.txt", "generate": ' "..."'}
    commands = [f"seqlab {command} {run.typed}{rest}" for command, rest in use.items() if hasattr(task, command)]
    rows = {
        "learning curves": [str(run.curves)],
        "logs": [f"{run.metrics}", f"(tensorboard --logdir {shlex.quote(str(run.logs))})"],
        "ended by": re.split(r" (?=\()", ended),
        "time": [f"{_spelled(throughput.wall)},", f"of which training {_spelled(throughput.seconds)}"],
        "speed": [f"{throughput.mean:,.0f} {task.unit}/s"],
        "best checkpoint": [f"{run.checkpoint()},", f"step {step} of {trainer.global_step}"],
        **{name: [score_text(value) + (" *" if name == checkpoint.monitor else "")] for name, value in scores.items()},
        "next": [f"seqlab evaluate {run.typed}"],
    }
    print("\n".join(closing_table(rows, commands, columns(sys.stdout))))


def closing_table(rows: Mapping[str, Sequence[str]], commands: Sequence[str], room: int | None) -> list[str]:
    """The lines that a fit ends with.

    Args:
        rows: What is told by its name, in parts; those of a row that there is no room for go on lines of their own,
            each whole: a path or a command is there to be copied.
        commands: What else may come next.
        room: Columns; None for any number.
    """
    width = max(map(len, rows)) + 2
    lines = []
    for name, parts in rows.items():
        whole = " ".join(parts)
        fits = room is None or width + len(whole) <= room
        first, *rest = [whole] if fits else parts
        lines += [f"{name:<{width}}{first}", *(f"{'':<{width}}{part}" for part in rest)]
    return [*lines, *(f"{'':<{width}}{command}" for command in commands)]


def ended_by(trainer: Any, checkpoint: Any) -> tuple[str, str]:
    """What ended a fit: the setting, and in words.

    Args:
        trainer: The :class:`~lightning.pytorch.Trainer`, which has ended.
        checkpoint: Which score early stopping listened to.
    """
    stops = [callback for callback in trainer.callbacks if isinstance(callback, EarlyStopping)]
    timers = [callback for callback in trainer.callbacks if isinstance(callback, Timer)]
    if trainer.global_step >= trainer.max_steps > 0:
        return "max_steps", f"trainer.max_steps, {trainer.max_steps:,}"
    if any(stop.stopped_epoch or stop.wait_count >= stop.patience for stop in stops):
        count = max(1, checkpoint.patience)
        waited = f"no better {checkpoint.monitor} in {count} validation{'s' if count > 1 else ''}"
        return "early stopping", f"early stopping: {waited} (checkpoint.patience)"
    if any((timer.time_remaining() or 1) <= 0 for timer in timers):
        return "max_time", "trainer.max_time"
    epochs = trainer.max_epochs
    if epochs is not None and 0 <= epochs <= trainer.current_epoch:
        return "max_epochs", f"trainer.max_epochs, {epochs:,}"
    return "stopped", "a callback of its own"


def _spelled(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return (f"{hours} h " if hours else "") + f"{rest // 60} min" + ("" if hours else f" {rest % 60} s")


def best_row(run: Any, monitor: str, mode: str) -> dict[str, Any]:
    """The first row of the log with the best value of a score; empty if there was no validation."""
    rows = [row for row in read_rows(run.metrics) if monitor in row]
    if not rows:
        return {}
    sign = 1 if mode == "max" else -1
    return max(rows, key=lambda row: sign * float(row[monitor]))
