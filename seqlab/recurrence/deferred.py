"""One weight gradient for a whole sequence instead of one for each step.

Autograd would compute ``dW += dy_t^T x_t`` at every step: T products of B rows each. Here each step's backward only keeps
its ``x_t`` and ``dy_t``; when all steps are through, one product of T x B rows gives the whole gradient. It is faster,
and in bfloat16 more exact, since nothing is rounded between steps.

The order is autograd's own: every step's product takes a token that the weight's collector made, so the collector's
backward runs after all of theirs.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional


@contextmanager
def deferred_gradients(module: nn.Module) -> Iterator[None]:
    """Within it, every ``nn.Linear`` of the module defers its weight's gradient to the end of the backward pass."""
    patched = []
    if torch.is_grad_enabled():
        patched = [
            layer for layer in module.modules() if type(layer) is nn.Linear and layer.weight.requires_grad
        ]
    try:
        for layer in patched:
            layer.forward = _DeferredLinear(layer)  # type: ignore[method-assign]
        yield
    finally:
        for layer in patched:
            del layer.forward


class _DeferredLinear:
    """Stands in for a linear layer's ``forward`` during one sequence."""

    def __init__(self, layer: nn.Linear):
        self.inputs: list[Tensor] = []
        self.gradients: list[Tensor] = []
        self.weight, self.bias = _autocast(layer.weight.detach()), None
        if layer.bias is not None:
            self.bias = _autocast(layer.bias.detach())
        self.token = _Collect.apply(layer.weight, layer.bias, self)

    def __call__(self, x: Tensor) -> Tensor:
        return _Product.apply(_autocast(x), self.token, self)


class _Product(torch.autograd.Function):
    """``x W^T + b``, whose backward keeps what the weight's gradient will need."""

    @staticmethod
    def forward(ctx, x: Tensor, token: Tensor, linear: _DeferredLinear) -> Tensor:
        ctx.linear = linear
        ctx.save_for_backward(x)
        return functional.linear(x, linear.weight, linear.bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy: Tensor):
        (x,) = ctx.saved_tensors
        ctx.linear.inputs.append(x.flatten(0, -2))
        ctx.linear.gradients.append(dy.flatten(0, -2))
        return dy @ ctx.linear.weight, dy.new_zeros(()), None


class _Collect(torch.autograd.Function):
    """A token for one layer; its backward runs once every use of the token has been through."""

    @staticmethod
    def forward(ctx, weight: Tensor, bias: Tensor | None, linear: _DeferredLinear) -> Tensor:
        ctx.linear = linear
        return weight.new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx, _: Tensor):
        linear = ctx.linear
        x, dy = torch.cat(linear.inputs), torch.cat(linear.gradients)
        linear.inputs.clear()  # a second backward over the same graph fills them anew
        linear.gradients.clear()
        return dy.t() @ x, dy.sum(0) if linear.bias is not None else None, None


def _autocast(x: Tensor) -> Tensor:
    """Casts as ``nn.functional.linear`` would under autocast, once instead of at every step."""
    device = x.device.type
    return x.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else x


