"""What the trainer iterates over, and where it stands."""

from collections.abc import Callable, Iterator
from typing import Any

from seqlab.data.batches import PlannedBatches


class TrainingBatches:
    """The batches of one epoch after the other, resumable by count.

    It is not a ``DataLoader`` on purpose: Lightning then leaves it as it is instead of making another one with a
    sampler of its own. The data module sets the epoch each time it hands it out.

    Args:
        plan: The batches of an epoch.
        workers: Processes that build batches ahead.
        pin_memory: Put batches where a GPU copies them from faster.
    """

    def __init__(self, plan: Callable[[int], PlannedBatches], *, workers: int = 0, pin_memory: bool = False):
        self._plan, self._workers, self._pin_memory = plan, workers, pin_memory
        self._epoch = self._taken = 0
        self._resume = (0, 0)
        self._planned: tuple[int, PlannedBatches] | None = None

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch that the next iteration runs over."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._batches())

    def __iter__(self) -> Iterator[Any]:
        epoch, taken = self._resume
        self._taken = taken if epoch == self._epoch else 0
        for batch in self._batches().load(self._taken, self._workers, self._pin_memory):
            self._taken += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """The epoch, and how many of its batches were handed out."""
        return {"epoch": self._epoch, "taken": self._taken}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """The next iteration over the saved epoch starts after the batches that were handed out."""
        self._resume = self._epoch, self._taken = state["epoch"], state["taken"]

    def _batches(self) -> PlannedBatches:
        if self._planned is None or self._planned[0] != self._epoch:
            self._planned = (self._epoch, self._plan(self._epoch))
        return self._planned[1]
