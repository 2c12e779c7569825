"""What a person sees while a model trains: a bar with loss, speed and last scores, and a line for each validation."""

import math
import sys
from collections.abc import Sequence
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from tqdm import tqdm

from seqlab.score_text import score_text
from seqlab.terminal import columns, packed
from seqlab.training.logs import MetricsLog
from seqlab.training.throughput import Throughput


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
        shown = [f"loss={self.metrics.loss:.3f}"] if math.isfinite(self.metrics.loss) else []
        shown.append(f"{_unit(pl_module)}/s={self.throughput.recent:,.0f}")
        if self.monitor in trainer.callback_metrics:
            shown.append(f"{self.monitor}={score_text(float(trainer.callback_metrics[self.monitor]))}")
        self._bar.set_postfix_str(beside(self._bar, shown), refresh=False)
        self._bar.update(trainer.global_step - self._bar.n)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._bar is not None and not trainer.sanity_checking:
            self._bar.set_description_str("validating")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._bar is None or trainer.sanity_checking:
            return
        self._bar.set_description_str("training")
        values = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
        state = [f"step {trainer.global_step:>6,}", f"epoch {trainer.current_epoch:>3}"]
        state.append(f"train/loss {self.metrics.recent:6.3f}")
        scores = [f"{name} {score_text(value):>7}" for name, value in values.items()]
        speed, star = f"{self.throughput.recent:,.0f} {_unit(pl_module)}/s", []
        if self.monitor in values and self.sign * values[self.monitor] > self._best:
            self._best = self.sign * values[self.monitor]
            star = ["*"]
        room = columns(sys.stderr)
        lines = ["  ".join([*state, *scores, speed, *star])]
        if room is not None and len(lines[0]) > room:  # what is on the way, then what was reached
            lines = [*packed([*state, speed], room), *packed([*scores, *star], room, "    ")]
        self._bar.write("\n".join(lines), file=sys.stderr)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def beside(bar: tqdm, shown: Sequence[str]) -> str:
    """Of what is to be shown beside a bar as much as its terminal has room for, from the first on."""
    form = bar.format_dict
    room = form["ncols"]
    form |= {"ncols": None, "prefix": "validating"}  # a bar of 10 columns, and the longer of its names
    texts = [", ".join(shown[:count]) for count in range(len(shown), 0, -1)]
    fits = (text for text in texts if not room or len(tqdm.format_meter(**form | {"postfix": text})) < room)
    return next(fits, "")


def _unit(task: Any) -> str:
    """What the speed counts: the last word of the task's unit, which leaves more of the line."""
    return task.unit.rpartition(" ")[2]
