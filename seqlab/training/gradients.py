"""What is added to the loss and done to the gradient of every optimizer step."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from seqlab.training.freezing import trained_parameters


def weight_penalty(module: nn.Module, l1: float, l2: float) -> Tensor:
    """``l1 * sum |w| + l2 / 2 * sum w^2`` over the weight matrices of a module that are trained, shared ones once.

    As is usual, biases, gains and other vectors are left out: they are few, and a layer needs them to shift and scale.
    Embeddings are matrices too. The half makes the gradient of the second part l2 w, that of the ``weight_decay`` of
    SGD.

    Args:
        module: The module.
        l1: Weight of the sum of absolute values.
        l2: Weight of half the sum of squares.

    Returns:
        A scalar, in single precision at least.
    """
    total = torch.zeros(())
    for weight in trained_parameters(module).values():
        if weight.ndim > 1:
            wide = weight.to(torch.promote_types(weight.dtype, torch.float32))
            if l1:
                total = total + l1 * wide.abs().sum()
            if l2:
                total = total + l2 / 2 * wide.square().sum()
    return total


@torch.no_grad()
def normalize_gradients(parameters: Iterable[nn.Parameter], norm: float) -> None:
    """Scales gradients, in place, so that all of them together have a Euclidean norm: g <- norm g / ||g||.

    E. Hazan, K. Levy and S. Shalev-Shwartz, "Beyond convexity: stochastic quasi-convex optimization", NeurIPS 2015,
    algorithm 1 (with norm 1). A gradient of zero stays zero.

    Args:
        parameters: Parameters; those without a gradient are left out.
        norm: The norm they get.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if gradients:
        # By the largest first, whose square may be too large or too small for a float.
        largest = torch.stack([gradient.abs().max() for gradient in gradients]).max()
        torch._foreach_mul_(gradients, torch.where(largest > 0, 1 / largest, 0.0))
        length = torch.nn.utils.get_total_norm(gradients)
        torch._foreach_mul_(gradients, torch.where(length > 0, norm / length, 0.0))


def clipped_before_unscaling(optimizer: Optimizer) -> Optimizer:
    """An optimizer whose gradients may be clipped in mixed precision, whether it is fused or not.

    A fused optimizer of torch offers to undo the scale of 16-bit gradients by itself, in its step; the trainer, which
    clips before that, then refuses to clip at all, even where there is no scale as in bfloat16. Without the offer the
    trainer undoes the scale first.
    """
    vars(optimizer)["_step_supports_amp_scaling"] = False
    return optimizer
