"""Mean squared error."""

import torch
from torch import Tensor

from seqlab.metrics.base import Metric


class MeanSquaredError(Metric):
    """Mean of the squared differences of numbers from the true ones, which a task emits as its output ``value``."""

    needs = "value"
    higher_is_better = False
    of_the_test_set = ("count",)
    squares: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("squares", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predicted: Tensor, true: Tensor) -> None:
        """Adds some numbers, of any equal shapes."""
        self.squares += (predicted.double() - true.double()).square().sum()
        self.count += true.numel()

    def compute(self) -> Tensor:
        """At least 0."""
        return self.squares / self.count

    def signature(self) -> str:
        return "per:value"
