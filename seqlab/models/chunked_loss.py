"""The loss of an output layer without the logits of all tokens at once.

Logits are V / E times as large as features, and a loss reads and writes them many times. Here a few hundred tokens go
through output layer, softmax and gradient while their logits are in the processor's cache, and only the gradients of
features, weight and bias are kept for the backward pass.

Shape suffixes: N = tokens, n = tokens of a chunk, E = width of the features, V = size of the vocabulary.
"""

from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from seqlab.recurrence.deferred import autocast

CHUNK_LOGITS = {"cpu": 1 << 21}
"""Logits of a chunk: 8 MiB in float32 on a CPU; a GPU wants large products."""
OTHER_LOGITS = 1 << 26


def chunked_cross_entropy(features_NE: Tensor, targets_N: Tensor, output: nn.Linear, smoothing: float = 0.0) -> Tensor:
    """``functional.cross_entropy(output(features), targets, label_smoothing=smoothing, reduction="sum")``.

    Softmax and sums are in float32 (or float64); under autocast, products are in its type. Differentiable once.
    """
    loss: Tensor = _ChunkedCrossEntropy.apply(features_NE, targets_N, output.weight, output.bias, smoothing)
    return loss


def can_chunk(output: object, features_NE: Tensor) -> TypeGuard[nn.Linear]:
    """Whether the loss can be computed in chunks: of an ``nn.Linear`` with a bias, where a gradient is wanted.

    Not in float16: the gradient is made before the loss is scaled up, when most of it would be rounded to 0.
    """
    half = torch.float16 in (features_NE.dtype, autocast(features_NE[:0]).dtype)
    return isinstance(output, nn.Linear) and output.bias is not None and torch.is_grad_enabled() and not half


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Computes the gradients along with the loss."""

    @staticmethod
    def forward(
        ctx, features_NE: Tensor, targets_N: Tensor, weight_VE: Tensor, bias_V: Tensor, smoothing: float
    ) -> Tensor:
        inputs_NE, matrix_VE, vocabulary = autocast(features_NE), autocast(weight_VE), len(weight_VE)
        grad_features_NE = torch.empty_like(features_NE)
        wide = torch.promote_types(bias_V.dtype, torch.float32)
        grad_weight_VE, grad_bias_V = (torch.zeros_like(part, dtype=wide) for part in (weight_VE, bias_V))
        total = bias_V.new_zeros((), dtype=wide)
        rows = max(1, CHUNK_LOGITS.get(features_NE.device.type, OTHER_LOGITS) // vocabulary)
        with torch.autocast(features_NE.device.type, enabled=False):
            for first in range(0, len(targets_N), rows):
                x_nE, targets_n1 = inputs_NE[first : first + rows], targets_N[first : first + rows, None]
                logits_nV = (x_nE @ matrix_VE.t()).to(wide).add_(bias_V)
                scores_nV = torch.log_softmax(logits_nV, -1)
                total -= (1 - smoothing) * scores_nV.gather(1, targets_n1).sum()
                if smoothing:
                    total -= smoothing / vocabulary * scores_nV.sum()
                # d loss / d logits = softmax - target distribution
                grad_nV = scores_nV.exp_()
                if smoothing:
                    grad_nV -= smoothing / vocabulary
                grad_nV.scatter_add_(1, targets_n1, grad_nV.new_full(targets_n1.shape, smoothing - 1))
                grad_bias_V += grad_nV.sum(0)
                grad_nV = grad_nV.to(matrix_VE.dtype)
                grad_features_NE[first : first + rows] = grad_nV @ matrix_VE
                if matrix_VE.dtype == grad_weight_VE.dtype:
                    grad_weight_VE.addmm_(grad_nV.t(), x_nE)
                else:
                    grad_weight_VE += grad_nV.t() @ x_nE
        ctx.save_for_backward(grad_features_NE, grad_weight_VE.to(weight_VE.dtype), grad_bias_V.to(bias_V.dtype))
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        features_NE, weight_VE, bias_V = ctx.saved_tensors
        gradients = (part * gradient.to(part.dtype) for part in (features_NE, weight_VE, bias_V))
        grad_features_NE, grad_weight_VE, grad_bias_V = gradients
        return grad_features_NE, None, grad_weight_VE, grad_bias_V, None
