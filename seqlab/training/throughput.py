"""The speed of a training, by clocks that stand still where something else is done."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


class Throughput(Callback):
    """Measures target tokens per second of training, from the end of one batch to the end of the next.

    Building batches counts, validations do not, and neither does what is done within :func:`untimed`.
    """

    def __init__(self) -> None:
        self.tokens, self.seconds = 0, 0.0
        self.recent = 0.0
        """Tokens per second over the last moments: an exponential mean with a memory of about 50 batches."""
        self._started, self._before = 0.0, 0.0
        self._begun: float | None = None

    def state_dict(self) -> dict[str, float]:
        """What was measured so far, so that a resumed run goes on adding."""
        return {"tokens": self.tokens, "seconds": self.seconds, "wall": self.wall}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up a saved state."""
        self.tokens, self.seconds = state_dict["tokens"], state_dict["seconds"]
        self._before = state_dict.get("wall", self.seconds)  # which older checkpoints lack

    @property
    def wall(self) -> float:
        """Seconds of the whole training, validations included, without those within :func:`untimed`."""
        return self._before + (0.0 if self._begun is None else time.perf_counter() - self._begun)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._started = self._begun = time.perf_counter()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._before, self._begun = self.wall, None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._started = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.perf_counter()
        tokens, seconds = batch.tokens * trainer.world_size, now - self._started
        self._started = now
        self.tokens += tokens
        self.seconds += seconds
        self.recent = 0.98 * self.recent + 0.02 * tokens / seconds if self.recent else tokens / seconds

    @property
    def mean(self) -> float:
        """Tokens per second of the whole training."""
        return self.tokens / self.seconds if self.seconds else 0.0

    @contextmanager
    def paused(self) -> Iterator[None]:
        """A while that is no part of the training: neither its seconds nor those of the whole go on."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            taken = time.perf_counter() - begun
            self._started += taken
            self._begun = None if self._begun is None else self._begun + taken


@contextmanager
def untimed(trainer: Any) -> Iterator[None]:
    """Work of a callback that is no part of the training that it measures: the clocks of Throughput stand still.

    Args:
        trainer: The :class:`~lightning.pytorch.Trainer`.
    """
    with ExitStack() as stack:
        for callback in trainer.callbacks:
            if isinstance(callback, Throughput):
                stack.enter_context(callback.paused())
        yield
