"""Runs one cell over a padded batch of sequences.

Shape suffixes: T = time steps, B = rows, I = input size, O = output size, S = size of a state part.

Right padding needs no mask inside the loop: a step past a row's end cannot reach an output before it. So the outputs
past each length are zeroed once, and the last state is gathered at ``length - 1``.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from seqlab.cells.base import RecurrentCell, State
from seqlab.errors import UserError
from seqlab.recurrence.between import Between, check_resets, make_between
from seqlab.recurrence.choice import choose_engine
from seqlab.recurrence.engines import ENGINES, EngineOutput
from seqlab.recurrence.weight_drop import dropped_weights


def unroll(
    cell: RecurrentCell,
    x_TBI: Tensor,
    state: State | None = None,
    *,
    initial: State | None = None,
    lengths: Tensor | None = None,
    reverse: bool = False,
    last: bool = True,
    resets: Tensor | None = None,
    window: int | None = None,
    zoneout: float | Mapping[str, float] = 0.0,
    weight_drop: float = 0.0,
    engine: str | None = None,
) -> tuple[Tensor, State | None]:
    """Runs a cell over a batch of sequences.

    Args:
        cell: The cell.
        x_TBI: Inputs, padded on the right.
        state: State before the first step, parts ``[B, S]``; ``initial`` if None.
        initial: State after a reset; the cell's initial state if None.
        lengths: Number of steps ``[B]`` of each row, 0 allowed; all T if None.
        reverse: Run from each row's last real step to its first. Outputs stay at their inputs' positions.
        last: Whether the state after each row's last step is needed.
        resets: True ``[T, B]`` where a step is the first of a new sequence: what was before it is forgotten.
        window: Steps that a gradient flows back through: truncated backpropagation through time; all if None.
        zoneout: Probability that a unit keeps its old value, for all state parts or by their names; see
            :class:`~seqlab.recurrence.between.Between`.
        weight_drop: Probability of dropping a weight of the recurrent maps; see
            :func:`~seqlab.recurrence.weight_drop.dropped_weights`.
        engine: The fixed table of :func:`~seqlab.recurrence.choice.choose_engine` decides if None.

    Returns:
        The outputs ``[T, B, O]``, zero past each row's length, and the state after each row's last step (the state
        before the first one for an empty row), or None where ``last`` is False.

    Raises:
        UserError: The engine is unknown or cannot run this cell this way, the state is of another cell or number of
            rows, or an option is out of its range.
    """
    steps, rows = x_TBI.shape[:2]
    if state is None:
        state = cell.initial_state(rows, x_TBI) if initial is None else initial
    else:
        _check_state(cell, state, rows)
    if window is not None and window < 1:
        raise UserError(f"window must be at least 1, not {window}")
    if steps == 0:
        return x_TBI.new_zeros(0, rows, cell.output_size), state if last else None
    check_resets(resets, x_TBI)
    if reverse:
        x_TBI = reverse_time(x_TBI, lengths)
        resets = None if resets is None else reverse_time(_ends(resets, lengths), lengths)
    between = make_between(cell, x_TBI, initial=initial, resets=resets, zoneout=zoneout)
    last_of_lengths = last and lengths is not None
    name = choose_engine(cell, x_TBI, last_of_lengths=last_of_lengths, between=between is not None, engine=engine)
    with dropped_weights(cell, weight_drop):
        output_TBO, parts_TBS, final = _in_windows(name, cell, x_TBI, state, between, window)
    if lengths is not None:
        output_TBO = output_TBO.masked_fill(padding(x_TBI, lengths)[..., None], 0.0)
        if last:
            final = _states_at_lengths(parts_TBS, state, lengths)
    if reverse:
        output_TBO = reverse_time(output_TBO, lengths)
    return output_TBO, final if last else None


def reverse_time(x_TBX: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Reverses the first ``lengths`` steps of each row ``[T, B, ...]``; the padding stays on the right."""
    if lengths is None:
        return x_TBX.flip(0)
    steps = x_TBX.shape[0]
    backwards_T1 = torch.arange(steps - 1, -1, -1, device=x_TBX.device)[:, None]
    position_TB = (backwards_T1 + lengths) % steps
    # Not by indexing, whose gradient is many times slower.
    return x_TBX.gather(0, position_TB[(...,) + (None,) * (x_TBX.dim() - 2)].expand_as(x_TBX))


def padding(x_TBX: Tensor, lengths: Tensor) -> Tensor:
    """True ``[T, B]`` past each row's length."""
    return torch.arange(len(x_TBX), device=x_TBX.device)[:, None] >= lengths


def detach(state: State) -> State:
    """The state without its history, as truncated backpropagation carries it from one window to the next."""
    return tuple(part.detach() for part in state)


def _in_windows(
    engine: str, cell: RecurrentCell, x_TBI: Tensor, state: State, between: Between | None, window: int | None
) -> EngineOutput:
    """Runs an engine, cutting the gradient between two windows."""
    steps, run = len(x_TBI), ENGINES[engine]
    if window is None or window >= steps:
        return run(cell, x_TBI, state, between)
    outputs, history = [], []
    for first in range(0, steps, window):
        stop = min(first + window, steps)
        part = between.window(first, stop) if between else None
        output, parts, state = run(cell, x_TBI[first:stop], detach(state) if first else state, part)
        outputs.append(output)
        history.append(parts)
    return torch.cat(outputs), tuple(torch.cat(parts) for parts in zip(*history, strict=True)), state


def _ends(resets_TB: Tensor, lengths: Tensor | None) -> Tensor:
    """The last step of each sequence but a row's last one: read backwards, a sequence begins there."""
    ends_TB = torch.cat([resets_TB[1:], torch.zeros_like(resets_TB[:1])])
    if lengths is None:
        return ends_TB
    return ends_TB & (torch.arange(1, len(ends_TB) + 1, device=ends_TB.device)[:, None] < lengths)


def _check_state(cell: RecurrentCell, state: State, rows: int) -> None:
    """A state of another cell, size or batch is told so before it is used."""
    expected = [(rows, size) for size in cell.state_sizes]
    found = [tuple(part.shape) if isinstance(part, Tensor) else () for part in state]
    if found != expected:
        names = ", ".join(f"{name} {list(shape)}" for name, shape in zip(cell.states, expected, strict=True))
        raise UserError(
            f"the state is not one of {type(cell).__name__} for {rows} rows: expected {names}, "
            f"not {', '.join(str(list(shape)) for shape in found) or 'an empty one'}"
        )


def _states_at_lengths(parts_TBS: State, initial: State, lengths: Tensor) -> State:
    """The state ``[B, S]`` after step ``lengths - 1`` of each row, the initial one where a row is empty."""
    step_B, row_B = (lengths - 1).clamp(min=0), torch.arange(lengths.shape[0], device=lengths.device)
    empty_B1 = (lengths == 0)[:, None]
    return tuple(
        torch.where(empty_B1, first, part[step_B, row_B]) for first, part in zip(initial, parts_TBS, strict=True)
    )
