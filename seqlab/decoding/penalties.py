"""What beam search ranks hypotheses by besides their log-probability.

Shape suffixes: B = sentences, K = hypotheses of one sentence, S = source steps.
"""

import torch
from torch import Tensor

from seqlab.decoding.search import Search
from seqlab.decoding.stepper import AttentiveState, S
from seqlab.errors import UserError


def length_normalizer(search: Search, length: int) -> float:
    """lp(y) of an output of some length, which counts the end of sentence; see :mod:`~seqlab.decoding.search`."""
    base = float(length) if search.length_normalization == "average" else (5 + length) / 6
    return base**search.length_penalty


def with_coverage(state: S) -> S:
    """The state before the first step, from which on attention is summed up.

    Raises:
        UserError: It is that of a model without attention.
    """
    if not isinstance(state, AttentiveState):
        raise UserError("coverage_penalty needs a model with attention, but this one has none; leave it out")
    return state.with_coverage()


def coverage_penalties(weight: float, state: AttentiveState) -> Tensor:
    """``weight * sum_i log(min(c_i, 1))`` for every hypothesis ``[B, K]``, where c_i is how much it has attended to
    source token i (Wu et al. 2016, equation 14)."""
    sums_RS, padding_BS = state.coverage()
    sums_BKS = sums_RS.unflatten(0, (len(padding_BS), -1))
    # A weight that has become 0 by rounding must not take a hypothesis out of the search.
    logs_BKS = sums_BKS.clamp(torch.finfo(sums_BKS.dtype).tiny, 1).log()
    return weight * logs_BKS.masked_fill(padding_BS[:, None], 0).sum(-1)
