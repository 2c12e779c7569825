"""One weight gradient for a whole sequence instead of one for each step.

Autograd would compute ``dW += dy_t^T x_t`` at every step: T products of B rows each. Here each step's backward only
keeps its ``x_t`` and ``dy_t``; when all steps are through, one product of T x B rows gives the whole gradient. It is
faster, and in bfloat16 more exact, since nothing is rounded between steps.

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
    try:
        for layer in module.modules() if torch.is_grad_enabled() else ():
            if type(layer) is nn.Linear and layer.weight.requires_grad:
                layer.forward = _DeferredLinear(layer)  # type: ignore[method-assign]
                patched.append(layer)
        yield
    finally:
        for layer in patched:
            del layer.forward


class _Record:
    """What the steps of one backward pass leave for the weight's gradient."""

    def __init__(self) -> None:
        self.inputs: list[Tensor] = []
        self.gradients: list[Tensor] = []
        self._backward = -1

    def add(self, x: Tensor, dy: Tensor) -> None:
        # A pass that needs no weight gradient (autograd.grad of an input alone) never reaches the collector, so what
        # it left must not be taken for a part of the next pass.
        backward = torch._C._current_graph_task_id()
        if backward != self._backward:
            self.clear()
            self._backward = backward
        self.inputs.append(x.flatten(0, -2))
        self.gradients.append(dy.flatten(0, -2))

    def clear(self) -> None:
        self.inputs.clear()
        self.gradients.clear()


class _DeferredLinear:
    """Stands in for a linear layer's ``forward`` during one sequence."""

    def __init__(self, layer: nn.Linear):
        self.weight = _autocast(layer.weight.detach())
        self.bias = None if layer.bias is None else _autocast(layer.bias.detach())
        self.record = _Record()
        self.token = _Collect.apply(layer.weight, layer.bias, self.record)

    def __call__(self, input: Tensor) -> Tensor:
        return _Product.apply(_autocast(input), self.token, self)


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
        ctx.linear.record.add(x, dy)
        return dy @ ctx.linear.weight, dy.new_zeros(()), None


class _Collect(torch.autograd.Function):
    """A token for one layer; its backward runs once every use of the token has been through."""

    @staticmethod
    def forward(ctx, weight: Tensor, bias: Tensor | None, record: _Record) -> Tensor:
        ctx.record, ctx.has_bias = record, bias is not None
        return weight.new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx, _: Tensor):
        x, dy = torch.cat(ctx.record.inputs), torch.cat(ctx.record.gradients)
        ctx.record.clear()
        return dy.t() @ x, dy.sum(0) if ctx.has_bias else None, None


def _autocast(x: Tensor) -> Tensor:
    """Casts as ``nn.functional.linear`` would under autocast, once instead of at every step."""
    device = x.device.type
    if torch.is_autocast_enabled(device) and x.dtype != torch.float64:
        return x.to(torch.get_autocast_dtype(device))
    return x
