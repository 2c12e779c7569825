"""Two ways to train a model on the same batches, one after the other within a round."""

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from seqlab.benchmarking.measuring import peak_memory


class Contestant(NamedTuple):
    """A model in training."""

    loss: Callable[[Any], Tensor]
    """Mean loss of a batch."""
    model: nn.Module
    optimizer: Optimizer
    clip: float
    """Largest norm of all gradients."""

    def step(self, batch: Any) -> None:
        """One step of training."""
        self.optimizer.zero_grad()
        self.loss(batch).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.optimizer.step()

    def speed(self, batches: list[Any]) -> float:
        """Tokens per second of training on some batches."""
        start = time.perf_counter()
        for batch in batches:
            self.step(batch)
        return sum(batch.tokens for batch in batches) / (time.perf_counter() - start)


def compare(contestants: dict[str, Contestant], batches: Iterator[Any], rounds: int, count: int) -> None:
    """Prints speed and memory of each contestant, and the ratio of speeds of the first to the second.

    Args:
        contestants: Two, by name.
        batches: What both train on, round by round.
        rounds: Rounds, after one to warm up.
        count: Batches of a round.
    """
    speeds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        chosen = list(islice(batches, count))
        for name, contestant in contestants.items():
            speed = contestant.speed(chosen)
            if number:  # the first round warms up
                speeds[name].append(speed)
    batch = next(batches)
    for name, values in speeds.items():
        spread = f"({min(values):,.0f} to {max(values):,.0f})"
        memory = peak_memory(partial(contestants[name].step, batch), torch.device("cpu")) / 2**20
        print(f"{name:<12} {statistics.median(values):8,.0f} tokens/s   {spread:<18}  {memory:7.1f} MiB in a step")
    ratios = [ours / theirs for ours, theirs in zip(*speeds.values(), strict=True)]
    print(f"ratio        {statistics.median(ratios):8.3f}            ({min(ratios):.3f} to {max(ratios):.3f})")
