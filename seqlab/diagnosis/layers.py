"""The layers of a stack in evaluation mode, with the loop over a cell's steps left to the caller.

Shape suffixes: T = time steps, B = rows, I = input size, O = output size.
"""

import copy
from collections.abc import Callable

import torch
from torch import Tensor

from seqlab.cells.base import RecurrentCell, State
from seqlab.recurrence.between import Between, make_between
from seqlab.recurrence.normalization import BatchNorm
from seqlab.recurrence.stack import RecurrentStack, StackState
from seqlab.recurrence.unroll import padding, reverse_time

Loop = Callable[[int, RecurrentCell, Tensor, State, Between | None], Tensor]
"""``(number, cell, x_TBI, state, between) -> output_TBO``: runs a cell over inputs in the cell's own order."""


def in_double(stack: RecurrentStack) -> RecurrentStack:
    """A copy of a stack for measurements: in float64, in evaluation mode, without gradients of weights.

    In float64 a gradient that shrinks by half at each step can be followed for a thousand steps.
    """
    copied = copy.deepcopy(stack).requires_grad_(False).eval()
    if next(copied.parameters(), torch.empty(0)).device.type == "mps":  # which has no float64
        copied = copied.cpu()
    return copied.double()


def run_layers(
    stack: RecurrentStack,
    x_TBI: Tensor,
    state: StackState,
    lengths_B: Tensor,
    resets_TB: Tensor | None,
    loop: Loop,
) -> Tensor:
    """What :meth:`RecurrentStack.forward <seqlab.recurrence.stack.RecurrentStack.forward>` computes in evaluation mode.

    Args:
        stack: The stack.
        x_TBI: Inputs, padded on the right.
        state: States before the first step.
        lengths_B: Steps of each row.
        resets_TB: Where a step is the first of a new sequence.
        loop: Runs one cell over all steps. For a cell that runs backwards, inputs come from each row's last real step
            to its first, and outputs are put back.

    Returns:
        Outputs ``[T, B, O]``, zero past each length.
    """
    padding_TB1 = padding(x_TBI, lengths_B)[..., None]
    initial = stack.initial_state(x_TBI.shape[1], x_TBI)
    for index, cell in enumerate(stack.cells):
        assert isinstance(cell, RecurrentCell)
        layer, direction = divmod(index, stack.directions)
        if not direction:
            if layer:
                norm = stack.norms[layer - 1]
                x_TBI = norm(x_TBI, padding_TB1) if isinstance(norm, BatchNorm) else norm(x_TBI)
            outputs = []
        own_TBI = reverse_time(x_TBI, lengths_B) if direction else x_TBI
        resets = own_resets(resets_TB, lengths_B, direction)
        between = make_between(cell, own_TBI, initial=initial[index], resets=resets, zoneout=stack.zoneout)
        output_TBO = loop(index, cell, own_TBI, state[index], between).masked_fill(padding_TB1, 0.0)
        outputs.append(reverse_time(output_TBO, lengths_B) if direction else output_TBO)
        if direction == stack.directions - 1:
            output_TBO = torch.cat(outputs, -1)
            x_TBI = output_TBO + x_TBI.masked_fill(padding_TB1, 0.0) if stack.residual and layer else output_TBO
    return x_TBI


def own_resets(resets_TB: Tensor | None, lengths_B: Tensor, direction: int) -> Tensor | None:
    """Where a new sequence begins in a cell's own order: read backwards, it begins at the end of the one before."""
    if resets_TB is None or not direction:
        return resets_TB
    ends_TB = torch.cat([resets_TB[1:], torch.zeros_like(resets_TB[:1])])
    steps_T1 = torch.arange(1, len(ends_TB) + 1, device=ends_TB.device)[:, None]
    return reverse_time(ends_TB & (steps_T1 < lengths_B), lengths_B)


def one_step(cell: RecurrentCell, x_BI: Tensor, t: int, state: State, between: Between | None) -> tuple[State, State]:
    """The state that step t sees, and the one after it."""
    before = between.before(t, state) if between else state
    after = cell.step(cell.project(x_BI), before)
    return before, between.after(t, before, after) if between else after


def cell_names(stack: RecurrentStack) -> list[str]:
    """``layer 1``, or ``layer 1 forward`` and ``layer 1 backward``."""
    ways = ("",) if stack.directions == 1 else (" forward", " backward")
    return [
        f"layer {index // stack.directions + 1}{ways[index % stack.directions]}" for index in range(len(stack.cells))
    ]
