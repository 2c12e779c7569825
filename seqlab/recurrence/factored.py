"""The recurrence outside autograd, with the derivatives of its pointwise part for many steps at once.

For a cell whose step is one recurrent product and a pointwise ``update``, each unit's new state depends on the previous
step only through its own gates and its own old state. So all derivatives of ``update`` are vectors, and those of all
steps can be had in one batched call after the loop. What is left for the backward loop is, per step, a few products of
vectors and one matrix product, without autograd's bookkeeping; the weight's gradient is one product at the end::

    dgh_t     = sum over parts k of  (d s_t[k] / d gh_t) * ds_t[k]
    ds_{t-1}  = sum over parts k of  (d s_t[k] / d s_{t-1}) * ds_t[k]   (+ W^T dgh_t for the first part)

On a GPU, where a step's time is that of launching its operations, this is what makes a cell of one's own fast.

Shape suffixes: T = time steps, B = rows, G = gates x H, H = hidden size.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from seqlab.cells.base import RecurrentCell, State
from seqlab.recurrence.deferred import autocast

CHUNK = 32
"""Steps whose derivatives are held at once: about a dozen tensors ``[T, B, H]`` of each."""

Update = Callable[[Tensor, Tensor, State], State]


def factored_states(
    cell: RecurrentCell, gx_TBG: Tensor, state: State, *, wrap: Callable[[Update], Update] | None = None
) -> State:
    """The states after every step, parts ``[T, B, H]``.

    Args:
        cell: A cell for which :func:`~seqlab.cells.contract.is_elementwise` holds.
        gx_TBG: Its projected inputs.
        state: The state before the first step.
        wrap: Applied to ``update`` for the forward loop, such as ``torch.compile``.
    """
    outside = {id(parameter) for layer in (cell.input, cell.recurrent) for parameter in layer.parameters()}
    inside = {name: p for name, p in cell.named_parameters() if id(p) not in outside}
    weight, bias = (None if p is None else autocast(p) for p in (cell.recurrent.weight, cell.recurrent.bias))
    loop = _Loop(cell, list(inside), len(state), wrap(cell.update) if wrap else cell.update)
    return _Factored.apply(loop, gx_TBG, weight, bias, *state, *inside.values())


class _Loop:
    """The pointwise part, once as it is and once for its derivatives."""

    def __init__(self, cell: RecurrentCell, names: list[str], parts: int, update: Update):
        self.cell, self.names, self.parts, self.update = _Update(cell), names, parts, update

    def derive(self, gx: Tensor, gh: Tensor, previous: State, parameters: State) -> tuple[State, State]:
        """Fresh inputs of ``update`` for any number of steps, in the order of the arguments, and its results."""
        inputs = tuple(tensor.detach().requires_grad_() for tensor in (gx, gh, *previous, *parameters))
        own = {f"cell.{name}": tensor for name, tensor in zip(self.names, inputs[2 + self.parts :], strict=True)}
        with torch.enable_grad():
            new = torch.func.functional_call(self.cell, own, (*inputs[:2], inputs[2 : 2 + self.parts]))
        return inputs, tuple(new)


class _Update(nn.Module):
    """``update`` as a module's call, so that the weights in it can be replaced by fresh ones."""

    def __init__(self, cell: RecurrentCell):
        super().__init__()
        self.cell = cell

    def forward(self, gx: Tensor, gh: Tensor, state: State) -> State:
        return self.cell.update(gx, gh, state)


class _Factored(torch.autograd.Function):
    """The loop, forwards and backwards."""

    @staticmethod
    def forward(ctx: Any, loop: _Loop, gx_TBG: Tensor, weight: Tensor, bias: Tensor | None, *rest: Tensor) -> State:
        state, history = rest[: loop.parts], []
        gh_TBG = weight.new_empty(*gx_TBG.shape[:2], weight.shape[0])
        for gx_BG, gh_BG in zip(gx_TBG.unbind(0), gh_TBG.unbind(0), strict=True):
            h_BH = state[0].to(weight.dtype)
            if bias is None:
                torch.mm(h_BH, weight.t(), out=gh_BG)
            else:
                torch.addmm(bias, h_BH, weight.t(), out=gh_BG)
            state = tuple(loop.update(gx_BG, gh_BG, state))
            history.append(state)
        states_TBH = tuple(torch.stack(part) for part in zip(*history, strict=True))
        ctx.loop, ctx.has_bias = loop, bias is not None
        ctx.save_for_backward(gx_TBG, gh_TBG, weight, *states_TBH, *rest)
        return states_TBH

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *dstates_TBH: Tensor) -> tuple[Any, ...]:
        loop: _Loop = ctx.loop
        (gx_TBG, gh_TBG, weight), rest = ctx.saved_tensors[:3], ctx.saved_tensors[3:]
        states, initial, parameters = rest[: loop.parts], rest[loop.parts : 2 * loop.parts], rest[2 * loop.parts :]
        previous_TBH = tuple(torch.cat([first[None], part[:-1]]) for first, part in zip(initial, states, strict=True))
        dgx_TBG, dgh_TBG = torch.empty_like(gx_TBG), torch.empty_like(gh_TBG)
        dparameters = [torch.zeros_like(parameter) for parameter in parameters]
        ds = [torch.zeros_like(part[0]) for part in states]
        for first in reversed(range(0, len(gx_TBG), CHUNK)):
            steps = slice(first, first + CHUNK)
            previous = tuple(part[steps] for part in previous_TBH)
            inputs, new = loop.derive(gx_TBG[steps], gh_TBG[steps], previous, parameters)
            jacobians = [_derivatives(part, inputs[1 : 2 + loop.parts]) for part in new]
            totals: list[list[Tensor]] = [[] for _ in states]
            for t in reversed(range(len(new[0]))):
                ds = [part + own[first + t] for part, own in zip(ds, dstates_TBH, strict=True)]
                for total, part in zip(totals, ds, strict=True):
                    total.insert(0, part)
                dgh_BG = dgh_TBG[first + t]
                dgh_BG.copy_(_chain(jacobians, 0, t, ds).expand(-1, dgh_BG.shape[1] // ds[0].shape[1], -1).flatten(1))
                ds = [_chain(jacobians, 1 + j, t, ds).flatten(1).to(part.dtype) for j, part in enumerate(ds)]
                ds[0] = ds[0] + dgh_BG @ weight
            wanted = (inputs[0], *inputs[2 + loop.parts :])
            traced = [(part, torch.stack(total)) for part, total in zip(new, totals, strict=True) if part.requires_grad]
            parts, cotangents = zip(*((part, total.to(part.dtype)) for part, total in traced), strict=True)
            dgx, *dps = torch.autograd.grad(parts, wanted, cotangents, materialize_grads=True)
            dgx_TBG[steps] = dgx
            for dparameter, part in zip(dparameters, dps, strict=True):
                dparameter += part
        dgh = dgh_TBG.flatten(0, 1)
        dweight = dgh.t() @ previous_TBH[0].flatten(0, 1).to(dgh.dtype)
        dstate = [part.to(first.dtype) for part, first in zip(ds, initial, strict=True)]
        return None, dgx_TBG, dweight, dgh.sum(0) if ctx.has_bias else None, *dstate, *dparameters


def _derivatives(part_TBH: Tensor, inputs: State) -> list[Tensor | None]:
    """The derivative of each unit of a new state part by each input, ``[T, B, blocks, H]``; None where it is 0."""
    if not part_TBH.requires_grad:  # detached, or a constant
        return [None] * len(inputs)
    found = torch.autograd.grad(part_TBH, inputs, torch.ones_like(part_TBH), retain_graph=True, allow_unused=True)
    return [None if d is None else d.unflatten(-1, (-1, part_TBH.shape[-1])) for d in found]


def _chain(jacobians: list[list[Tensor | None]], by: int, t: int, ds: list[Tensor]) -> Tensor:
    """The gradient ``[B, blocks, H]`` that reaches one input of step t from the gradients of all new state parts."""
    total: Tensor | None = None
    for jacobian, part_BH in zip(jacobians, ds, strict=True):
        derivative = jacobian[by]
        if derivative is not None:
            d_BKH, part_B1H = derivative[t], part_BH[:, None]
            total = d_BKH * part_B1H if total is None else torch.addcmul(total, d_BKH, part_B1H)
    return torch.zeros_like(ds[0])[:, None] if total is None else total
