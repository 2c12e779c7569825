"""The metric: how many labels are right."""

import torch
from torch import Tensor

from seqlab import Metric


class LabelAccuracy(Metric):
    """Share of texts, in percent, that are given their true label."""

    needs = "label"
    right: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("right", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predicted: list[str], true: list[str]) -> None:
        self.right += sum(map(str.__eq__, predicted, true))
        self.count += len(true)

    def compute(self) -> Tensor:
        return 100.0 * self.right.double() / self.count

    def signature(self) -> str:
        return "per:text"
