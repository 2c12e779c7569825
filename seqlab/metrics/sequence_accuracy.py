"""Sequence accuracy."""

from collections.abc import Sequence

import torch
from torch import Tensor

from seqlab.errors import UserError
from seqlab.metrics.base import Metric
from seqlab.metrics.sacrebleu import reference_lists


class SequenceAccuracy(Metric):
    """Share of sentences, in percent, whose output is one of its references, character for character."""

    needs = "text"
    of_the_test_set = ("count",)
    right: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("right", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, hypotheses: list[str], references: Sequence[str | Sequence[str]]) -> None:
        """Adds hypotheses and the references of each: a list of one or more, or text for a list of one.

        Raises:
            UserError: There are not as many lists as hypotheses.
        """
        lists = reference_lists(references)
        if len(lists) != len(hypotheses):
            raise UserError(f"SequenceAccuracy: {len(hypotheses)} hypotheses, but references of {len(lists)}")
        self.right += sum(hypothesis in given for hypothesis, given in zip(hypotheses, lists, strict=True))
        self.count += len(lists)

    def compute(self) -> Tensor:
        """Between 0 and 100."""
        return 100.0 * self.right.double() / self.count

    def signature(self) -> str:
        return "per:sentence|case:mixed|tok:none"
