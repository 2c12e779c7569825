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

from seqlab.cells.base import RecurrentLinear


@contextmanager
def deferred_gradients(module: nn.Module) -> Iterator[None]:
    """Within it, every ``nn.Linear`` of the module defers its weight's gradient to the end of the backward pass."""
    patched = []
    try:
        for layer in module.modules() if torch.is_grad_enabled() else ():
            # A subclass may compute something else, but these two do not.
            if not isinstance(layer, nn.Linear) or type(layer) not in (nn.Linear, RecurrentLinear):
                continue
            if layer.weight.requires_grad:
                vars(layer)["forward"] = DeferredLinear(layer.weight, layer.bias)
                patched.append(layer)
        yield
    finally:
        for layer in patched:
            del layer.forward


class _Record:
    """What the steps of one backward pass leave for the weight's gradient, one row below the other."""

    def __init__(self) -> None:
        self.rows = 0
        self._filled, self._backward = 0, -1
        self._inputs = self._gradients = torch.empty(0)

    def add(self, x: Tensor, dy: Tensor) -> None:
        """Copies the input of a step and the gradient of its product, while they are in the processor's cache."""
        # A pass that needs no weight gradient (autograd.grad of an input alone) never reaches the collector, so what
        # it left must not be taken for a part of the next pass.
        backward = torch._C._current_graph_task_id()
        if backward != self._backward:
            self._filled, self._backward = 0, backward
            self._inputs = x.new_empty(self.rows, x.shape[-1])
            self._gradients = dy.new_empty(self.rows, dy.shape[-1])
        x, dy = x.flatten(0, -2), dy.flatten(0, -2)
        place = slice(self._filled, self._filled + len(x))
        self._inputs[place], self._gradients[place] = x, dy
        self._filled += len(x)

    def take(self) -> tuple[Tensor, Tensor]:
        """All inputs and gradients of this pass; they are kept no longer."""
        taken = self._inputs[: self._filled], self._gradients[: self._filled]
        self._backward, self._inputs, self._gradients = -1, torch.empty(0), torch.empty(0)
        return taken


class DeferredLinear:
    """Stands in for a linear layer's ``forward`` during one sequence."""

    def __init__(self, weight: Tensor, bias: Tensor | None):
        self.weight = autocast(weight.detach())
        self.bias = None if bias is None else autocast(bias.detach())
        self.record = _Record()
        self.token = _Collect.apply(weight, bias, self.record)

    def __call__(self, input: Tensor) -> Tensor:
        self.record.rows += input.shape[:-1].numel()
        return _Product.apply(autocast(input), self.token, self)


class _Product(torch.autograd.Function):
    """``x W^T + b``, whose backward keeps what the weight's gradient will need."""

    @staticmethod
    def forward(ctx, x: Tensor, token: Tensor, linear: DeferredLinear) -> Tensor:
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
        x, dy = ctx.record.take()
        return dy.t() @ x, dy.sum(0) if ctx.has_bias else None, None


def autocast(x: Tensor) -> Tensor:
    """Casts as ``nn.functional.linear`` would under autocast, once instead of at every step."""
    device = x.device.type
    if torch.is_autocast_enabled(device) and x.dtype != torch.float64:
        return x.to(torch.get_autocast_dtype(device))
    return x
