"""The engines: different ways to compute the same recurrence.

========  ====================================================================================================
engine    how
========  ====================================================================================================
plain     a loop over whole cell steps in pure autograd: the specification, differentiable twice
deferred  input product and readout once for all steps, one weight gradient for all steps after the loop
native    torch's own kernel (oneDNN, cuDNN), where the cell computes exactly what it does
========  ====================================================================================================

Every engine has the signature ``(cell, x_TBI, state) -> (output_TBO, states, final)``: the outputs, the state parts
after each step ``[T, B, S]`` (empty where the engine cannot tell), and the state after the last step.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from seqlab.cells.base import RecurrentCell, State
from seqlab.errors import UserError
from seqlab.recurrence.deferred import deferred_gradients

EngineOutput = tuple[Tensor, State, State]


def plain(cell: RecurrentCell, x_TBI: Tensor, state: State) -> EngineOutput:
    """The naive loop over :meth:`RecurrentCell.forward`."""
    outputs, history = [], []
    for x_BI in x_TBI:
        output_BO, state = cell(x_BI, state)
        outputs.append(output_BO)
        history.append(state)
    return torch.stack(outputs), _stack(history), state


def deferred(cell: RecurrentCell, x_TBI: Tensor, state: State) -> EngineOutput:
    """Projects all inputs at once, loops over the recurrence alone, reads all outputs at once."""
    gx_TBG, initial, history = cell.project(x_TBI), state, []
    with deferred_gradients(cell):
        for gx_BG in gx_TBG.unbind(0):
            state = cell.step(gx_BG, state)
            history.append(state)
    parts_TBS = _stack(history)
    if type(cell).readout is RecurrentCell.readout:
        return parts_TBS[0], parts_TBS, state
    previous_TBS = tuple(torch.cat([first[None], part[:-1]]) for first, part in zip(initial, parts_TBS, strict=True))
    return cell.readout(x_TBI, previous_TBS, parts_TBS), parts_TBS, state


def native(cell: RecurrentCell, x_TBI: Tensor, state: State) -> EngineOutput:
    """Calls torch's kernel with the cell's own weights, which have its layout."""
    assert cell.native_kernel is not None
    weights = [cell.input.weight, cell.recurrent.weight, cell.input.bias, cell.recurrent.bias]
    if cell.native_kernel == "lstm":
        hidden = [part[None] for part in state]
        h_TBH, h, c = torch._VF.lstm(x_TBI, hidden, weights, True, 1, 0.0, cell.training, False, False)
        return h_TBH, (), (h[0], c[0])
    kernel = getattr(torch._VF, cell.native_kernel)
    h_TBH, h = kernel(x_TBI, state[0][None], weights, True, 1, 0.0, cell.training, False, False)
    return h_TBH, (h_TBH,), (h[0],)


ENGINES: dict[str, Callable[[RecurrentCell, Tensor, State], EngineOutput]] = {
    "plain": plain,
    "deferred": deferred,
    "native": native,
}


def choose_engine(
    cell: RecurrentCell, x_TBI: Tensor, *, last_of_lengths: bool = False, engine: str | None = None
) -> str:
    """The engine that runs a cell, by a fixed table.

    ============================================================  ========  =====================================
    case                                                          engine    why
    ============================================================  ========  =====================================
    one step                                                      plain     nothing to share between steps
    the maths is nn.LSTM's, nn.GRU's or nn.RNN's                  native    its oneDNN and cuDNN kernels are faster
    the same, but an LSTM's c_t is needed in mid-sequence         deferred  torch's kernel does not return it
    all else                                                      deferred
    ============================================================  ========  =====================================

    Args:
        cell: The cell.
        x_TBI: Its inputs.
        last_of_lengths: Whether the state at each row's own length is needed, which torch's LSTM kernel does not
            return.
        engine: Forces an engine.

    Raises:
        UserError: The forced engine is unknown or cannot run this cell this way.
    """
    runs_native = has_native_kernel(cell) and not (last_of_lengths and len(cell.states) > 1)
    if engine is not None:
        if engine not in ENGINES:
            raise UserError(f"no engine named {engine!r} (there are: {', '.join(ENGINES)})")
        if engine == "native" and not runs_native:
            raise UserError(
                f"engine native cannot run {type(cell).__name__} here; leave the choice open or take deferred"
            )
        return engine
    if x_TBI.shape[0] <= 1:
        return "plain"
    return "native" if runs_native else "deferred"


def has_native_kernel(cell: RecurrentCell) -> bool:
    """Whether torch has a kernel for exactly this cell.

    A subclass that overrides the maths inherits the attribute but not the kernel, so the class itself must name it.
    """
    return cell.native_kernel is not None and "native_kernel" in vars(type(cell))


def _stack(history: list[State]) -> State:
    """States of T steps, parts ``[B, S]``, to parts ``[T, B, S]``."""
    parts: Any = zip(*history, strict=True)
    return tuple(torch.stack(part) for part in parts)
