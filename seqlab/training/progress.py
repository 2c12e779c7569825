"""What a person sees while a model trains: a bar with loss, speed and last scores, and a line for each validation."""

import math
import sys
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from tqdm import tqdm

from seqlab.training.logs import MetricsLog, Throughput


class Progress(Callback):
    """One bar over all optimizer steps, on stderr. Without a terminal there are only the lines of the validations.

    Args:
        throughput: Where the speed comes from.
        metrics: Where the training loss comes from.
        monitor: The score that decides which checkpoint is the best; lines that improve it are marked.
        mode: ``max`` if more of it is better, else ``min``.
    """

    def __init__(self, throughput: Throughput, metrics: MetricsLog, monitor: str, mode: str):
        self.throughput, self.metrics = throughput, metrics
        self.monitor, self.sign = monitor, 1 if mode == "max" else -1
        self._bar: tqdm | None = None
        self._best = float("-inf")

    def state_dict(self) -> dict[str, Any]:
        return {"best": self._best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._best = state_dict["best"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            self._bar = tqdm(
                total=trainer.max_steps if trainer.max_steps > 0 else None,
                initial=trainer.global_step,
                desc="training",
                unit="step",
                dynamic_ncols=True,
                disable=not sys.stderr.isatty(),
                bar_format="{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]",
            )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._bar is None or self._bar.disable or trainer.global_step == self._bar.n:
            return
        shown = {"loss": f"{self.metrics.loss:.3f}"} if math.isfinite(self.metrics.loss) else {}
        shown[f"{_unit(pl_module)}/s"] = f"{self.throughput.recent:,.0f}"
        if self.monitor in trainer.callback_metrics:
            shown[self.monitor] = score_text(float(trainer.callback_metrics[self.monitor]))
        self._bar.set_postfix(shown, refresh=False)
        self._bar.update(trainer.global_step - self._bar.n)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._bar is not None and not trainer.sanity_checking:
            self._bar.set_description_str("validating")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._bar is None or trainer.sanity_checking:
            return
        self._bar.set_description_str("training")
        values = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
        parts = [f"step {trainer.global_step:>6,}", f"epoch {trainer.current_epoch:>3}"]
        parts.append(f"train/loss {self.metrics.recent:6.3f}")
        parts += [f"{name} {score_text(value):>7}" for name, value in values.items()]
        parts.append(f"{self.throughput.recent:,.0f} {_unit(pl_module)}/s")
        if self.monitor in values and self.sign * values[self.monitor] > self._best:
            self._best = self.sign * values[self.monitor]
            parts.append("*")
        self._bar.write("  ".join(parts), file=sys.stderr)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def score_text(value: float) -> str:
    """A score with two decimals, and a small one with as many as show two of its digits."""
    return f"{value:.2f}" if abs(value) >= 0.1 or not value else f"{value:.2g}"


def _unit(task: Any) -> str:
    """What the speed counts: the last word of the task's unit, which leaves more of the line."""
    return task.unit.rpartition(" ")[2]
