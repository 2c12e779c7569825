"""The loss over real tokens only.

Shape suffixes: T = target steps, B = sentences, S = source steps, N = real tokens, E = width of the features, V = size
of the vocabulary.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from seqlab.models.chunked_loss import can_chunk, chunked_cross_entropy


def full_precision(logits: Tensor) -> Tensor:
    """Logits in float32, or float64 if they are: a softmax over a vocabulary needs more than half precision."""
    return logits if logits.dtype.itemsize >= 4 else logits.float()


def real_tokens(features_TBE: Tensor, targets_TB: Tensor, padding: int) -> tuple[Tensor, Tensor]:
    """Drops padding: features ``[N, E]`` and targets ``[N]`` of the real tokens.

    Logits are V / E times as large as features, so padding has to go before the output layer.
    """
    real_TB = targets_TB != padding
    return features_TBE[real_TB], targets_TB[real_TB]


def smoothed_cross_entropy(
    features_NE: Tensor, targets_N: Tensor, output: Callable[[Tensor], Tensor], smoothing: float = 0.0
) -> Tensor:
    """Summed cross-entropy in nats, with label smoothing (Szegedy et al. 2016): the target distribution is
    ``(1 - smoothing) * one_hot + smoothing / V``."""
    if can_chunk(output, features_NE):
        return chunked_cross_entropy(features_NE, targets_N, output, smoothing)
    return functional.cross_entropy(
        full_precision(output(features_NE)), targets_N, label_smoothing=smoothing, reduction="sum"
    )


def token_scores(features_NE: Tensor, targets_N: Tensor, output: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """For each token, its negative log-likelihood in nats ``[N]``, never smoothed, and whether it was the likeliest."""
    logits_NV = full_precision(output(features_NE))
    return functional.cross_entropy(logits_NV, targets_N, reduction="none"), logits_NV.argmax(-1) == targets_N


def coverage_loss(weights_BTS: Tensor, real_TB: Tensor) -> Tensor:
    """How much attention looks again where it has looked before, summed over real target tokens::

        sum over source positions i of min(a_i, c_i)

    where a are the weights of a step and c the sums of those of earlier steps (A. See, P. Liu and C. Manning, "Get to
    the point", ACL 2017, equation 12).

    Args:
        weights_BTS: Attention weights of all steps.
        real_TB: True where a target token is no padding.
    """
    weights_BTS = full_precision(weights_BTS)
    coverage_BTS = torch.cat([torch.zeros_like(weights_BTS[:, :1]), weights_BTS.cumsum(1)[:, :-1]], 1)
    again_BT = torch.minimum(weights_BTS, coverage_BTS).sum(-1)
    return again_BT.masked_fill(~real_TB.t(), 0.0).sum()
