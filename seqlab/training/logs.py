"""The log of a run: one CSV file with a row for every logged step and every validation."""

import csv
import io
import math
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from seqlab.files import write_text
from seqlab.training.throughput import Throughput

Row = dict[str, str | float]
MEASURED = frozenset({"seconds", "tokens/s"})
"""Columns that measure time: all others are a function of settings, data and seed."""


class MetricsLog(Callback):
    """Appends to ``metrics.csv``: mean training loss, rate and speed every few steps, the scores of each validation.

    The loss is that of the tokens of all devices. Batches whose loss is not finite are no part of it; what becomes of
    their steps is the affair of :class:`~seqlab.training.guards.Guard`.

    ``seconds`` is :attr:`Throughput.wall <seqlab.training.throughput.Throughput.wall>`, the time trained so far.

    When a run is taken up from a checkpoint, rows go that were written after it, since what they tell happens again.
    A file without ``seconds``, of an older version, stays so: when its rows were written is not known.

    Args:
        path: The file.
        throughput: Where the speed comes from.
        every_n_steps: Optimizer steps between two rows of training.
    """

    def __init__(self, path: Path, throughput: Throughput, every_n_steps: int):
        self.path, self.throughput, self.every_n_steps = path, throughput, max(1, every_n_steps)
        self.loss = float("nan")
        """Training loss per token over the steps of the last row."""
        self._columns: list[str] = []
        self._timed = True
        self._logged = self._rank = 0
        self._sums = torch.zeros(2, dtype=torch.double)
        """The loss and the tokens on this device since the last row."""
        self._so_far = float("nan")
        self._rows: int | None = None
        """Rows of the file; None before the first is written, and of a checkpoint that does not say."""

    @property
    def recent(self) -> float:
        """:attr:`loss`, or before the first row that of all steps before the last validation."""
        return self._so_far if math.isnan(self.loss) else self.loss

    def state_dict(self) -> dict[str, Any]:
        """The loss since the last row, so that the next one is as it would have been, and how many rows there are."""
        return {"loss": self.loss, "sums": [self._sums.tolist()], "rows": self._rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up a saved state."""
        self.loss, self._rows = state_dict["loss"], state_dict.get("rows")
        # An older checkpoint has those of the first device alone.
        sums = state_dict["sums"] if "sums" in state_dict else [[state_dict["sum"], state_dict["tokens"]]]
        self._sums = torch.tensor(sums[self._rank % len(sums)], dtype=torch.double)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if trainer.world_size > 1:  # each device goes on with its own, lest a sum be rounded otherwise
            sums = torch.zeros(trainer.world_size, 2, dtype=self._sums.dtype, device=trainer.strategy.root_device)
            sums[trainer.global_rank] = self._sums
            checkpoint["callbacks"][self.state_key]["sums"] = trainer.strategy.reduce(sums, reduce_op="sum").tolist()

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self._rank = trainer.global_rank  # before the state is loaded

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._logged = trainer.global_step
        if trainer.is_global_zero:
            # By their number too: a validation between accumulated batches is told under the step before.
            rows = read_rows(self.path)[: self._rows]
            rows = [row for row in rows if float(row["step"]) <= trainer.global_step]
            self._timed = not rows or any("seconds" in row for row in rows)
            self._rewrite(rows)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        loss = trainer.callback_metrics["train/loss"]
        loss = (
            loss.cpu() if loss.device.type == "mps" else loss
        ).double()  # without waiting for a GPU that has doubles
        sums = batch.tokens * torch.stack([loss, torch.ones_like(loss)])
        self._sums = self._sums.to(loss.device) + sums.where(loss.isfinite(), 0)
        if step == self._logged or step % self.every_n_steps:
            return
        self.loss = self._mean(trainer)
        self._logged, self._sums = step, torch.zeros_like(self._sums)
        logged = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("train/")}
        self._append(
            trainer,
            {
                **logged,
                "train/loss": self.loss,
                "lr": trainer.optimizers[0].param_groups[0]["lr"],
                "tokens/s": round(self.throughput.recent, 1),
            },
        )

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking:
            return
        if math.isnan(self.loss):
            self._so_far = self._mean(trainer)
        scores = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
        self._append(trainer, scores)

    def _mean(self, trainer: Trainer) -> float:
        """The loss per token of all devices since the last row."""
        sums = self._sums.clone()
        if trainer.world_size > 1:
            sums = trainer.strategy.reduce(sums.to(trainer.strategy.root_device), reduce_op="sum")
        loss, tokens = sums.tolist()
        return loss / tokens if tokens else float("nan")

    def _append(self, trainer: Trainer, values: dict[str, float]) -> None:
        if not trainer.is_global_zero:
            return
        seconds = {"seconds": round(self.throughput.wall, 1)} if self._timed else {}
        row: Row = {"step": trainer.global_step, "epoch": trainer.current_epoch, **seconds, **values}
        if not set(row) <= set(self._columns):
            self._rewrite([*read_rows(self.path), row])
        else:
            with self.path.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, self._columns).writerow(row)
            self._rows = (self._rows or 0) + 1

    def _rewrite(self, rows: list[Row]) -> None:
        first = ["step", "epoch", *(["seconds"] if self._timed else [])]
        self._columns = list(dict.fromkeys([*first, *(name for row in rows for name in row)]))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self._columns)
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.path, text.getvalue())
        self._rows = len(rows)


def read_rows(path: Path) -> list[Row]:
    """The rows of a metrics file, none if there is no file; empty fields are left out."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [{name: value for name, value in row.items() if value} for row in csv.DictReader(file)]
