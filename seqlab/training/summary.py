"""What a fit says when it begins and ends."""

import json
import logging
from typing import Any

from lightning.pytorch import Trainer

from seqlab.files import write_text
from seqlab.training.curves import draw_curves
from seqlab.training.freezing import trained_parameters
from seqlab.training.logs import Throughput, read_rows

log = logging.getLogger("seqlab")


def describe_model(task: Any) -> str:
    """One line on a task: its class, its cells, its number of parameters."""
    sides = "".join(f", {side} {origin}" for side, origin in task.cell_origins().items())
    total, trained = count_parameters(task), sum(weight.numel() for weight in trained_parameters(task).values())
    frozen = f" ({total - trained:,} of them frozen)" if trained < total else ""
    return f"model: {type(task).__name__}, {total:,} parameters{frozen}{sides}"


def count_parameters(task: Any) -> int:
    """Number of parameters, shared ones once."""
    return sum(parameter.numel() for parameter in task.parameters())


def write_summary(run: Any, task: Any, data: Any, trainer: Trainer, throughput: Throughput, checkpoint: Any) -> None:
    """Writes ``summary.json`` and ``curves.png``, and prints scores, cost, places and some examples.

    Args:
        run: The :class:`~seqlab.runs.Run`.
        task: The task with its best weights.
        data: Its data module.
        trainer: The trainer, which has ended.
        throughput: The speed of the whole training.
        checkpoint: Which score chose the best checkpoint.
    """
    best = best_row(run, checkpoint.monitor, checkpoint.mode)
    scores = {name: float(value) for name, value in best.items() if name.startswith("val/")}
    ended = (
        "max_steps" if trainer.global_step >= trainer.max_steps > 0 else "early stopping or a limit of epochs or time"
    )
    summary = {
        "ended_by": ended,
        "steps": trainer.global_step,
        "best_step": int(best["step"]) if best else None,
        "scores": scores,
        "signatures": trainer.lightning_module.validation_signatures or task.signatures(),
        "training_seconds": round(throughput.seconds, 1),
        "tokens_per_second": round(throughput.mean, 1),
        "parameters": count_parameters(task),
        "engines": task.engines(),
    }
    write_text(run.summary, json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    draw_curves(run.metrics, run.curves, f"{run.path.name}: {describe_model(task).removeprefix('model: ')}")
    for line in task.examples(data):
        log.info("%s", line)
    step = best["step"] if best else trainer.global_step
    minutes, seconds = divmod(round(throughput.seconds), 60)
    rows = {
        "best checkpoint": f"{run.checkpoint()}, step {step} of {trainer.global_step}",
        **{name: f"{value:.2f}" for name, value in scores.items()},
        "ended by": ended,
        "training": f"{minutes} min {seconds} s, {throughput.mean:,.0f} {task.unit}/s",
        "learning curves": str(run.curves),
        "logs": f"{run.metrics} (tensorboard --logdir {run.logs})",
    }
    width = max(map(len, rows))
    print("\n".join(f"{name:<{width}}  {value}" for name, value in rows.items()))


def best_row(run: Any, monitor: str, mode: str) -> dict[str, Any]:
    """The first row of the log with the best value of a score; empty if there was no validation."""
    rows = [row for row in read_rows(run.metrics) if monitor in row]
    if not rows:
        return {}
    sign = 1 if mode == "max" else -1
    return max(rows, key=lambda row: sign * float(row[monitor]))
