"""Sums of token losses do not depend on their order, nor on how they were cut into batches and shared out."""

import math

import pytest
import torch

from seqlab.metrics import Perplexity
from seqlab.metrics.perplexity import total


@pytest.fixture
def losses():
    """From 1e-9 to 50: what a model is sure of, and what it never foresaw."""
    draw = torch.Generator().manual_seed(5)
    return 10 ** (torch.rand(5003, generator=draw) * 10.7 - 9)


def in_batches(losses_N, size):
    metric = Perplexity()
    for batch in losses_N.split(size):
        metric.update(batch, batch > 1)
    return metric


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_ranks_and_batches_of_any_size_and_order(losses, ranks):
    whole = in_batches(losses, len(losses)).compute()
    for size in (1, 7, 1000):
        shares = torch.randperm(len(losses), generator=torch.Generator().manual_seed(size)).chunk(ranks)
        metric, *others = (in_batches(losses[share], size) for share in shares)
        for other in others:  # as torchmetrics adds up the states of ranks
            metric.nll, metric.count = metric.nll + other.nll, metric.count + other.count
        assert torch.equal(metric.compute(), whole)


def test_the_sum_is_the_exact_one(losses):
    """To half a step for each loss that is not a multiple of one; a plain sum of float64 depends on the order."""
    odd = int((losses < 2**-7).sum())
    assert 0 < abs(float(total(losses)) - math.fsum(losses.tolist())) <= odd * 2**-31
    large = losses[losses >= 2**-7]
    assert float(total(large)) == math.fsum(large.tolist())
    orders = [losses.double()[torch.randperm(len(losses))] for _ in range(20)]
    assert len({float(order.sum()) for order in orders}) > 1


def test_losses_in_double_precision_are_left_alone():
    losses = torch.tensor([1e-11, 3e-12], dtype=torch.double)
    assert float(total(losses)) == 1e-11 + 3e-12


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_what_is_no_number_stays_so(value):
    assert str(float(in_batches(torch.tensor([0.3, value, 2.0]), 2).compute())) == str(value)
