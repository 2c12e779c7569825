"""Perplexity per token."""

import torch
from torch import Tensor

from seqlab.metrics.base import Metric


class Perplexity(Metric):
    """``exp`` of the mean negative log-likelihood of a token, ends of sentences included, without label smoothing.

    Token losses are float32, their sum is float64. Models with different vocabularies do not compare by it.
    """

    higher_is_better = False
    of_the_test_set = ("count",)
    nll: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("nll", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, nll: Tensor, hits: Tensor) -> None:
        """Adds the negative log-likelihoods of some tokens."""
        self.nll += nll.double().sum()
        self.count += nll.numel()

    def compute(self) -> Tensor:
        """At least 1."""
        return (self.nll / self.count).exp()

    def signature(self) -> str:
        return "per:token|eos:yes|smoothing:no"
