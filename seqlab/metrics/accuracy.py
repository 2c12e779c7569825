"""Token accuracy, and what any share of right answers has."""

import torch
from torch import Tensor

from seqlab.metrics.base import Metric


class Share(Metric):
    """Share of what was right, in percent; a subclass counts in its ``update``."""

    of_the_test_set = ("count",)
    right: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("right", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def compute(self) -> Tensor:
        """Between 0 and 100."""
        return 100.0 * self.right.double() / self.count


class Accuracy(Share):
    """Share of tokens, in percent, that were the likeliest given the true tokens before them (teacher forcing)."""

    def update(self, nll: Tensor, hits: Tensor) -> None:
        """Adds some tokens."""
        self.right += hits.sum()
        self.count += hits.numel()

    def signature(self) -> str:
        return "per:token|eos:yes|teacher_forcing:yes"
