"""Which engine runs a cell: a fixed table, so that the same run takes the same engine on every day."""

from typing import NamedTuple

import torch
from torch import Tensor

from seqlab.cells.base import RecurrentCell
from seqlab.cells.contract import is_elementwise
from seqlab.errors import UserError
from seqlab.recurrence.engines import ENGINES


class Choice(NamedTuple):
    """An engine and why it was chosen."""

    engine: str
    why: str


def choose_engine(
    cell: RecurrentCell,
    x_TBI: Tensor,
    *,
    last_of_lengths: bool = False,
    between: bool = False,
    engine: str | None = None,
) -> str:
    """The engine that runs a cell, by the first line of a fixed table that fits.

    ========================================================  ========  ============================================
    case                                                      engine    why
    ========================================================  ========  ============================================
    it is forced                                              itself
    one step                                                  plain     nothing to share between steps
    the maths is nn.LSTM's, nn.GRU's or nn.RNN's              native    its oneDNN and cuDNN kernels are the fastest
    a parallel form, on a GPU                                 sequence  no loop to launch
    all else                                                  deferred  one large product for many small ones
    ========================================================  ========  ============================================

    ``native`` and ``sequence`` are passed over where the state changes between steps (resets, zoneout), and ``native``
    where an LSTM's c_t is needed in mid-sequence, which torch's kernel does not return. ``factored`` is never chosen
    until a GPU has shown that it gains.

    Args:
        cell: The cell.
        x_TBI: Its inputs.
        last_of_lengths: Whether the state at each row's own length is needed.
        between: Whether the state changes between steps.
        engine: Forces an engine.

    Raises:
        UserError: The forced engine is unknown or cannot run this cell this way.
    """
    options = {"last_of_lengths": last_of_lengths, "between": between}
    if engine is not None:
        if obstacle := why_not(engine, cell, **options):
            raise UserError(
                f"engine {engine} cannot run {type(cell).__name__} here: {obstacle}; "
                "leave the choice open or take deferred"
            )
        return engine
    return explain_choice(cell, x_TBI.shape[0], x_TBI.device.type, **options).engine


def explain_choice(
    cell: RecurrentCell, steps: int, device: str, *, last_of_lengths: bool = False, between: bool = False
) -> Choice:
    """The table of :func:`choose_engine`: the engine for so many steps on a kind of device, and why."""
    if steps <= 1:
        return Choice("plain", "one step: nothing to share between steps")
    obstacle = why_not("native", cell, last_of_lengths=last_of_lengths, between=between)
    if not obstacle:
        return Choice("native", f"the maths is that of torch's {cell.native_kernel} kernel")
    if device == "cuda" and not why_not("sequence", cell, between=between):
        return Choice("sequence", "the cell has a parallel form, and a GPU")
    reason = f"not native: {obstacle}" if has_native_kernel(cell) else "no kernel of torch computes this cell"
    return Choice("deferred", reason)


def why_not(engine: str, cell: RecurrentCell, *, last_of_lengths: bool = False, between: bool = False) -> str:
    """What keeps an engine from running a cell; empty if nothing does.

    Raises:
        UserError: There is no such engine.
    """
    check_engine(engine)
    if engine == "native":
        if not has_native_kernel(cell):
            return "no kernel of torch computes this cell"
        if last_of_lengths and len(cell.states) > 1:
            return "torch's kernel does not return the memory in mid-sequence"
    if engine == "sequence" and type(cell).sequence is RecurrentCell.sequence:
        return "it has no parallel form"
    if engine == "factored" and cell.recurrent_gates == ():
        return "it has no recurrent product"
    if engine == "factored" and not is_elementwise(cell):
        return "its update is not pointwise"
    if between and engine not in ("plain", "deferred"):
        return "only a loop can change the state between two steps"
    return ""


def has_native_kernel(cell: RecurrentCell) -> bool:
    """Whether torch has a kernel for exactly this cell.

    A subclass that overrides the maths inherits the attribute but not the kernel, so the class itself must name it.
    """
    return cell.native_kernel is not None and "native_kernel" in vars(type(cell))


def check_engine(engine: str | None) -> None:
    """Refuses the name of an engine that there is not.

    Raises:
        UserError: There is none of this name.
    """
    if engine is not None and engine not in ENGINES:
        raise UserError(f"no engine named {engine!r} (there are: {', '.join(ENGINES)})")


def like_inputs(cell: RecurrentCell, steps: int) -> Tensor:
    """An input without values, to ask for the engine of a cell that has not run yet."""
    weight = next(cell.parameters())
    return torch.empty(steps, 1, cell.input_size, device=weight.device, dtype=weight.dtype)
