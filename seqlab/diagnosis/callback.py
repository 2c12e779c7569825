"""A diagnosis in the course of a fit."""

import json
import logging
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from seqlab.diagnosis.batches import batch_of
from seqlab.diagnosis.measuring import describe
from seqlab.diagnosis.reports import FOLDER, report_of, to_json
from seqlab.diagnosis.tasks import measure_task, trace_task
from seqlab.diagnosis.training_picture import PICTURE, draw_training
from seqlab.errors import UserError
from seqlab.files import write_text
from seqlab.specs import check_range
from seqlab.training.guards import Agreed
from seqlab.training.throughput import untimed

log = logging.getLogger("seqlab")
ROWS = "steps.json"
MOST_STEPS, MOST_ROWS = 10**9, 4096


class Diagnose(Callback):
    """Measures at some optimizer steps of a fit what ``seqlab diagnose`` measures of a run, on the same validation rows
    each time, into ``diagnosis/steps.json`` and ``diagnosis/gradients-training.png`` of the run.

    The fit is what it would be without: weights, random numbers and carried states are left alone. Of several devices
    the first measures, and the weights are those that are trained, not averages of them. Its time is no part of the
    training's, in the log and the summary.

    Args:
        steps: Optimizer steps after which to measure; 0 is before the first.
        rows: Rows of the validation data.

    Raises:
        UserError: There is no step, or a number is out of its range.
    """

    def __init__(self, steps: list[int], rows: int = 16):
        if not steps:
            raise UserError("Diagnose: steps names no optimizer step; give some, such as [0, 100, 1000]")
        for step in steps:
            check_range("Diagnose: a step", step, 0, MOST_STEPS)
        check_range("Diagnose: rows", rows, 1, MOST_ROWS)
        self.steps, self.rows = sorted(set(steps)), rows
        self._batch: Any = None
        self._measured: dict[int, dict[str, Any]] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Makes sure that the fit comes to all steps.

        Raises:
            Agreed: It does not.
        """
        if 0 <= trainer.max_steps < self.steps[-1]:
            raise Agreed(
                f"Diagnose: step {self.steps[-1]:,} never comes, since trainer.max_steps is {trainer.max_steps:,}; "
                "leave it out"
            )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            self._measured = {
                step: row for step, row in read_steps(self._path(trainer)).items() if step <= trainer.global_step
            }
        self._measure(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._measure(trainer, pl_module)

    def _measure(self, trainer: Trainer, task: Any) -> None:
        step = trainer.global_step
        if not trainer.is_global_zero or step not in self.steps or step in self._measured:
            return
        with untimed(trainer):
            self._measure_step(trainer, task, step)

    def _measure_step(self, trainer: Trainer, task: Any, step: int) -> None:
        if self._batch is None:
            data: Any = trainer.datamodule  # type: ignore[attr-defined]
            self._batch = batch_of(data, "val", self.rows)
        try:
            traces = trace_task(task, self._batch)
        except UserError as error:
            log.warning("Diagnose, step %s: %s", f"{step:,}", error)
            self._measured[step] = {}
            return
        stacks = task.stacks()
        found = measure_task(task, traces)
        self._measured[step] = {
            name: describe(stacks[name], each, trained=found[name]) for name, each in traces.items()
        }
        self._write(trainer)

    def _write(self, trainer: Trainer) -> None:
        path = self._path(trainer)
        rows = [{"step": step, "stacks": stacks} for step, stacks in sorted(self._measured.items()) if stacks]
        report = report_of({"split": "val", "rows": self.rows}, {}) | {"steps": rows}
        del report["stacks"]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, to_json(report))
        draw_training(rows, path.parent / PICTURE, path.parent.parent.name)

    @staticmethod
    def _path(trainer: Trainer) -> Path:
        return Path(trainer.default_root_dir) / FOLDER / ROWS


def read_steps(path: Path) -> dict[int, dict[str, Any]]:
    """What was measured so far, by step; nothing if there is no such file, or it is damaged."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["steps"]
        return {int(row["step"]): dict(row["stacks"]) for row in rows}
    except (OSError, ValueError, TypeError, KeyError):
        return {}
