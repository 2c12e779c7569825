"""The engines: different ways to compute the same recurrence.

========  ====================================================================================================
engine    how
========  ====================================================================================================
plain     a loop over whole cell steps in pure autograd: the specification, differentiable twice
deferred  input product and readout once for all steps, one weight gradient for all steps after the loop
factored  as deferred, and the derivatives of all steps' pointwise part at once: few operations per step
sequence  the cell's own parallel form
native    torch's own kernel (oneDNN, cuDNN), where the cell computes exactly what it does
========  ====================================================================================================

Every engine has the signature ``(cell, x_TBI, state, between) -> (output_TBO, states, final)``: the outputs, the state
parts after each step ``[T, B, S]`` (empty where the engine cannot tell), and the state after the last step. Only the
loops, ``plain`` and ``deferred``, can change the state between two steps.
"""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from seqlab.cells.base import RecurrentCell, State
from seqlab.recurrence.between import Between
from seqlab.recurrence.deferred import autocast, deferred_gradients
from seqlab.recurrence.factored import factored_states

EngineOutput = tuple[Tensor, State, State]
Engine = Callable[[RecurrentCell, Tensor, State, Between | None], EngineOutput]


def plain(cell: RecurrentCell, x_TBI: Tensor, state: State, between: Between | None = None) -> EngineOutput:
    """The naive loop over :meth:`~seqlab.cells.base.RecurrentCell.step` and its two neighbours."""
    outputs, history = [], []
    for t, x_BI in enumerate(x_TBI):
        before = between.before(t, state) if between else state
        state = cell.step(cell.project(x_BI), before)
        if between:
            state = between.after(t, before, state)
        outputs.append(cell.readout(x_BI, before, state))
        history.append(state)
    return torch.stack(outputs), _stack(history), state


def deferred(cell: RecurrentCell, x_TBI: Tensor, state: State, between: Between | None = None) -> EngineOutput:
    """Projects all inputs at once, loops over the recurrence alone, reads all outputs at once."""
    gx_TBG, initial, history = cell.project(x_TBI), state, []
    with deferred_gradients(cell):
        for t, gx_BG in enumerate(gx_TBG.unbind(0)):
            before = between.before(t, state) if between else state
            state = cell.step(gx_BG, before)
            if between:
                state = between.after(t, before, state)
            history.append(state)
    return _read_all(cell, x_TBI, initial, _stack(history), between)


def factored(cell: RecurrentCell, x_TBI: Tensor, state: State, between: Between | None = None) -> EngineOutput:
    """Runs the recurrence outside autograd; see :mod:`seqlab.recurrence.factored`."""
    return _read_all(cell, x_TBI, state, factored_states(cell, cell.project(x_TBI), state))


def sequence(cell: RecurrentCell, x_TBI: Tensor, state: State, between: Between | None = None) -> EngineOutput:
    """Calls the cell's own :meth:`~seqlab.cells.base.RecurrentCell.sequence`."""
    return _read_all(cell, x_TBI, state, tuple(cell.sequence(cell.project(x_TBI), state)))


def native(cell: RecurrentCell, x_TBI: Tensor, state: State, between: Between | None = None) -> EngineOutput:
    """Calls torch's kernel with the cell's own weights, which have its layout."""
    assert cell.native_kernel is not None
    weights = [cell.input.weight, cell.recurrent.weight, cell.input.bias, cell.recurrent.bias]
    if cell.native_kernel == "lstm":
        if (projection := getattr(cell, "project_output", None)) is not None:
            weights.append(projection.weight)
        hidden = [part[None] for part in state]
        if x_TBI.device.type == "cpu" and autocast(x_TBI[:0]).dtype == torch.float16:
            return _lstm_in_single(x_TBI, hidden, weights, cell.training)
        h_TBH, h, c = _lstm(x_TBI, hidden, weights, cell.training)
        return h_TBH, (), (h[0], c[0])
    kernel = getattr(torch._VF, cell.native_kernel)
    h_TBH, h = kernel(x_TBI, state[0][None], weights, True, 1, 0.0, cell.training, False, False)
    return h_TBH, (h_TBH,), (h[0],)


ENGINES: dict[str, Engine] = {
    "plain": plain,
    "deferred": deferred,
    "factored": factored,
    "sequence": sequence,
    "native": native,
}


def _lstm(x_TBI: Tensor, hidden: list[Tensor], weights: list[Tensor], training: bool) -> tuple[Tensor, ...]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "LSTM with projections is not supported with oneDNN")
        results: tuple[Tensor, ...] = torch._VF.lstm(x_TBI, hidden, weights, True, 1, 0.0, training, False, False)
    return results


def _lstm_in_single(x_TBI: Tensor, hidden: list[Tensor], weights: list[Tensor], training: bool) -> EngineOutput:
    """The kernel in float32, with results in float16: few processors have an LSTM of oneDNN in float16."""
    with torch.autocast("cpu", enabled=False):
        wide = [[part.float() for part in parts] for parts in (hidden, weights)]
        h_TBH, h, c = (part.half() for part in _lstm(x_TBI.float(), wide[0], wide[1], training))
    return h_TBH, (), (h[0], c[0])


def _read_all(
    cell: RecurrentCell, x_TBI: Tensor, initial: State, parts_TBS: State, between: Between | None = None
) -> EngineOutput:
    """The outputs of all steps from the states after each, with these states and the last of them."""
    final = tuple(part[-1] for part in parts_TBS)
    if type(cell).readout is RecurrentCell.readout:
        return parts_TBS[0], parts_TBS, final
    previous_TBS = tuple(torch.cat([first[None], part[:-1]]) for first, part in zip(initial, parts_TBS, strict=True))
    if between:
        previous_TBS = between.before_all(previous_TBS)
    return cell.readout(x_TBI, previous_TBS, parts_TBS), parts_TBS, final


def _stack(history: list[State]) -> State:
    """States of T steps, parts ``[B, S]``, to parts ``[T, B, S]``."""
    parts: Any = zip(*history, strict=True)
    return tuple(torch.stack(part) for part in parts)
