"""Perplexity per token."""

import torch
from torch import Tensor

from seqlab.metrics.base import Metric

STEP = 2.0**-30


def total(nll: Tensor) -> Tensor:
    """The sum of token losses in float64; of float32 losses to 2^-30 nats each, so that sums are the same in any order.

    A float32 from 2^-7 on is a multiple of 2^-30, and of such float64 adds up 8 million nats without rounding: on
    however many devices, and in batches of whatever size. Losses that are float64 are left as they are.
    """
    wide = nll.double()
    return wide.sum() if nll.dtype == torch.float64 else (wide / STEP).round().sum() * STEP


class Perplexity(Metric):
    """``exp`` of the mean negative log-likelihood of a token, ends of sentences included, without label smoothing.

    Token losses are float32, their sum is :func:`total`'s. Models with different vocabularies do not compare by it.
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
        self.nll += total(nll)
        self.count += nll.numel()

    def compute(self) -> Tensor:
        """At least 1."""
        return (self.nll / self.count).exp()

    def signature(self) -> str:
        return "per:token|eos:yes|smoothing:no"
