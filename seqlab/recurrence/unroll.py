"""Runs one cell over a padded batch of sequences.

Shape suffixes: T = time steps, B = rows, I = input size, O = output size, S = size of a state part.

Right padding needs no mask inside the loop: a step past a row's end cannot reach an output before it. So the outputs
past each length are zeroed once, and the last state is gathered at ``length - 1``.
"""

import torch
from torch import Tensor

from seqlab.cells.base import RecurrentCell, State
from seqlab.recurrence.engines import ENGINES, choose_engine


def unroll(
    cell: RecurrentCell,
    x_TBI: Tensor,
    state: State | None = None,
    *,
    lengths: Tensor | None = None,
    reverse: bool = False,
    last: bool = True,
    engine: str | None = None,
) -> tuple[Tensor, State | None]:
    """Runs a cell over a batch of sequences.

    Args:
        cell: The cell.
        x_TBI: Inputs, padded on the right.
        state: State before the first step, parts ``[B, S]``; the cell's initial state if None.
        lengths: Number of steps ``[B]`` of each row, 0 allowed; all T if None.
        reverse: Run from each row's last real step to its first. Outputs stay at their inputs' positions.
        last: Whether the state after each row's last step is needed.
        engine: ``plain``, ``deferred`` or ``native``; the fixed table of
            :func:`~seqlab.recurrence.engines.choose_engine` decides if None.

    Returns:
        The outputs ``[T, B, O]``, zero past each row's length, and the state after each row's last step (the state
        before the first one for an empty row), or None where ``last`` is False.

    Raises:
        UserError: The engine is unknown, or cannot run this cell this way.
    """
    steps, rows = x_TBI.shape[:2]
    if state is None:
        state = cell.initial_state(rows, x_TBI)
    if steps == 0:
        return x_TBI.new_zeros(0, rows, cell.output_size), state if last else None
    if reverse:
        x_TBI = reverse_time(x_TBI, lengths)
    name = choose_engine(cell, x_TBI, last_of_lengths=last and lengths is not None, engine=engine)
    output_TBO, parts_TBS, final = ENGINES[name](cell, x_TBI, state)
    if lengths is not None:
        padding_TB = torch.arange(steps, device=x_TBI.device)[:, None] >= lengths
        output_TBO = output_TBO.masked_fill(padding_TB[..., None], 0.0)
        if last:
            final = _states_at_lengths(parts_TBS, state, lengths)
    if reverse:
        output_TBO = reverse_time(output_TBO, lengths)
    return output_TBO, final if last else None


def reverse_time(x_TBX: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Reverses the first ``lengths`` steps of each row; the padding stays on the right."""
    if lengths is None:
        return x_TBX.flip(0)
    steps = x_TBX.shape[0]
    backwards_T1 = torch.arange(steps - 1, -1, -1, device=x_TBX.device)[:, None]
    position_TB = (backwards_T1 + lengths) % steps
    return x_TBX.gather(0, position_TB[..., None].expand_as(x_TBX))


def _states_at_lengths(parts_TBS: State, initial: State, lengths: Tensor) -> State:
    """The state ``[B, S]`` after step ``lengths - 1`` of each row, the initial one where a row is empty."""
    step_B, row_B = (lengths - 1).clamp(min=0), torch.arange(lengths.shape[0], device=lengths.device)
    empty_B1 = (lengths == 0)[:, None]
    return tuple(
        torch.where(empty_B1, first, part[step_B, row_B]) for first, part in zip(initial, parts_TBS, strict=True)
    )
