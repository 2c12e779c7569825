"""The gradient of the loss at one step by the states before it, by distance.

With s_t all parts of a cell's state after step t and L_q what of the loss enters at step q, dL_q/ds_t is a product of
Jacobians, ``dL_q/ds_q ds_q/ds_{q-1} ... ds_{t+1}/ds_t``, which shrinks or grows by their singular values (Y. Bengio,
P. Simard and P. Frasconi, "Learning long-term dependencies with gradient descent is difficult", 1994; R. Pascanu,
T. Mikolov and Y. Bengio, "On the difficulty of training recurrent neural networks", 2013).

Shape suffixes: T = time steps, B = rows, D = distances, S = size of a state part.
"""

from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqlab.cells.base import RecurrentCell, State
from seqlab.diagnosis.layers import one_step, own_resets, run_layers
from seqlab.diagnosis.numbers import plain, quantiles, ratios
from seqlab.diagnosis.tracing import Trace
from seqlab.recurrence.between import Between
from seqlab.recurrence.stack import RecurrentStack

REACH, KEEPS, EXPLODES = 0.01, 0.1, 100.0
"""A gradient reaches as far as its median is at least the first share of what it is at distance 0; it is kept where the
second is left at the largest distance, and explodes where it is the third times as large."""
SHARE = 0.5
"""Share of the rows that a distance must have, to count for a verdict."""
TINY = 1e-250
"""A gradient below this may soon be too small for a float."""
BASES = 3
"""Distances among which the first that is not 0 is what the others are compared with: in a few cells the output of a
step comes from the state before it."""

HELD = 1 << 24
"""Elements of states over all steps, in rows that are followed at once: what autograd keeps is some ten times that."""

Norms = dict[str, Tensor]
"""Norms ``[D, B]`` of the gradient by each part of the state, NaN where a row has no such distance."""


def norms_by_distance(stack: RecurrentStack, trace: Trace) -> list[Norms]:
    """The norms of dL_q/ds_t by ``|q - t|`` for every cell of a stack, where q is each row's last step, in the cell's
    own direction, at which the loss enters.

    The stack is run again over the inputs that it had, which are taken as given, with a variable of value 0 added to
    every state part after every step; the gradient by that is the one by the part, with the other parts held fixed.
    Rows do not depend on each other, so that of many only some are followed at once.

    Args:
        stack: The stack, as of :func:`~seqlab.diagnosis.layers.in_double`.
        trace: What it was given.
    """
    steps, rows = trace.x_TBI.shape[:2]
    most = max(1, HELD // max(1, steps * sum(map(sum, stack.state_sizes))))
    parts = [_norms(stack, trace.rows(slice(first, first + most))) for first in range(0, max(1, rows), most)]
    return [
        {name: _side_by_side([cell[name] for cell in each]) for name in each[0]} for each in zip(*parts, strict=True)
    ]


def _side_by_side(parts: list[Tensor]) -> Tensor:
    """Norms of some rows and of others, of as many distances as the longest have."""
    most = max(map(len, parts))
    padded = [torch.cat([part, part.new_full((most - len(part), part.shape[1]), torch.nan)]) for part in parts]
    return torch.cat(padded, 1)


def _norms(stack: RecurrentStack, trace: Trace) -> list[Norms]:
    """:func:`norms_by_distance` of all rows at once."""
    taps: list[list[State]] = [[] for _ in stack.cells]
    history: list[list[State]] = [[] for _ in stack.cells]

    def loop(index: int, cell: RecurrentCell, x_TBI: Tensor, state: State, between: Between | None) -> Tensor:
        outputs = []
        for t, x_BI in enumerate(x_TBI):
            before, after = one_step(cell, x_BI, t, state, between)
            tap = tuple(torch.zeros_like(part, requires_grad=True) for part in after)
            state = tuple(part + zero for part, zero in zip(after, tap, strict=True))
            taps[index].append(tap)
            history[index].append(state)
            outputs.append(cell.readout(x_BI, before, state))
        return torch.stack(outputs)

    with torch.enable_grad():
        output_TBO = run_layers(stack, trace.x_TBI, trace.state, trace.lengths_B, trace.resets_TB, loop)
    found: list[Norms] = [{} for _ in stack.cells]
    for direction in range(stack.directions):
        place_B, own_B = entries(trace, direction, stack.directions)
        rows_N = (own_B >= 0).nonzero()[:, 0]
        place_N = place_B[rows_N]
        indices = range(direction, len(stack.cells), stack.directions)
        with torch.enable_grad():
            entering = (trace.gradient_TBO[place_N, rows_N] * output_TBO[place_N, rows_N]).sum()
            for index in indices if trace.finals is not None else ():
                assert trace.finals is not None
                ends_N = rows_N[own_B[rows_N] == trace.lengths_B[rows_N] - 1]
                for number, gradient_BS in enumerate(trace.finals[index]):
                    part_TBS = torch.stack([state[number] for state in history[index]])
                    entering = entering + (gradient_BS[ends_N] * part_TBS[own_B[ends_N], ends_N]).sum()
        leaves = [zero for index in indices for tap in taps[index] for zero in tap]
        gradients = iter(
            torch.autograd.grad(entering, leaves, retain_graph=True, materialize_grads=True)
            if entering.requires_grad
            else map(torch.zeros_like, leaves)
        )
        first_B = _first(own_resets(trace.resets_TB, trace.lengths_B, direction), own_B)
        for index in indices:
            cell: Any = stack.cells[index]
            norms = [[_norm(next(gradients)) for _ in tap] for tap in taps[index]]
            for name, part in zip(cell.states, zip(*norms, strict=True), strict=True):
                found[index][name] = _by_distance(torch.stack(part), own_B, first_B)
    return found


def _norm(gradient_BS: Tensor) -> Tensor:
    """The norm of each row, also where the squares of its elements would be too small or too large for a float."""
    largest_B1 = gradient_BS.abs().amax(-1, keepdim=True)
    scale_B1 = torch.where(largest_B1 > 0, largest_B1, 1.0)
    return (gradient_BS / scale_B1).norm(dim=-1) * scale_B1[:, 0]


def entries(trace: Trace, direction: int, directions: int) -> tuple[Tensor, Tensor]:
    """The last step of each row, in one direction, at which something of the loss enters: its place in the sequence
    ``[B]``, and in the order of that direction; -1 there where nothing enters."""
    lengths_B, steps = trace.lengths_B, len(trace.gradient_TBO)
    places_T1 = torch.arange(steps, device=lengths_B.device)[:, None]
    enters_TB = (trace.gradient_TBO != 0).any(-1) & (places_T1 < lengths_B)
    if direction:
        place_B = torch.where(enters_TB, places_T1, steps).amin(0)
        none_B, end_B = place_B == steps, torch.zeros_like(place_B)
    else:
        place_B = torch.where(enters_TB, places_T1, -1).amax(0)
        none_B, end_B = place_B < 0, lengths_B - 1
    if trace.finals is not None:
        own = trace.finals[direction::directions]
        taken_B = torch.stack([(part != 0).any(-1) for cell in own for part in cell]).any(0) & (lengths_B > 0)
        place_B, none_B = torch.where(taken_B, end_B, place_B), none_B & ~taken_B
    own_B = lengths_B - 1 - place_B if direction else place_B
    return place_B, torch.where(none_B, -1, own_B)


def _first(resets_TB: Tensor | None, own_B: Tensor) -> Tensor:
    """The first step of the sequence that a step is of ``[B]``: no gradient comes from before it."""
    if resets_TB is None:
        return torch.zeros_like(own_B)
    steps_T1 = torch.arange(len(resets_TB), device=own_B.device)[:, None]
    return torch.where(resets_TB & (steps_T1 <= own_B), steps_T1, 0).amax(0)


def _by_distance(norms_TB: Tensor, own_B: Tensor, first_B: Tensor) -> Tensor:
    """Norms ``[D, B]`` by distance from each row's own step, back to its first."""
    distances = max(0, int((own_B - first_B).max()) + 1) if len(own_B) else 0
    step_DB = own_B - torch.arange(distances, device=own_B.device)[:, None]
    norms_DB = norms_TB.gather(0, step_DB.clamp(min=0)).nan_to_num(nan=torch.inf, posinf=torch.inf)  # overflow
    return norms_DB.masked_fill((step_DB < first_B) | (own_B < 0), torch.nan)


def summary(norms: Norms) -> dict[str, Any]:
    """The norms as plain numbers: their quantiles over rows by distance, and what follows from these.

    ``relative`` is of each row's norms divided by its own at distance 0: rows differ in how much of the loss enters,
    and long distances have the long rows alone, so that quotients of medians would compare different rows.
    """
    parts = {name: part.double().cpu().numpy() for name, part in norms.items()}
    whole_DB = reduce(np.hypot, parts.values())  # whose squares may be too small for a float
    heads_DB = np.where(np.nan_to_num(whole_DB[:BASES]) > 0, whole_DB[:BASES], 0.0)
    first_B = (heads_DB > 0).argmax(0) if len(heads_DB) else np.zeros(0, dtype=int)
    base_B = heads_DB[first_B, np.arange(len(first_B))]
    kept_B = base_B > 0
    whole_DB, base_B = whole_DB[:, kept_B], base_B[kept_B]
    rows_D = (~np.isnan(whole_DB)).sum(1)
    whole_DB = whole_DB[: int((rows_D > 0).sum())]
    report: dict[str, Any] = {"rows": rows_D[rows_D > 0].tolist(), **quantiles(whole_DB)}
    report["relative"] = quantiles(whole_DB / base_B)
    report["parts"] = {name: quantiles(part[: len(whole_DB), kept_B]) for name, part in parts.items()}
    report |= verdict(report["relative"]["median"], report["rows"], int(first_B[kept_B].min(initial=0)))
    return report


def verdict(median: list[float | None], rows: list[int], first: int = 0) -> dict[str, Any]:
    """What a curve says in a word.

    Args:
        median: Medians by distance, 1 at the first.
        rows: How many rows each is over.
        first: The first distance.

    Returns:
        ``steps``: the largest distance that half of the rows have, D; ``factor``: the geometric mean of the factor per
        step up to there, or to where floats end; ``reach``: the largest distance up to D at which the median is at
        least 1 % of the first; ``left``: what the median is at D; ``verdict``: ``explodes`` if it is 100 times the
        first anywhere up to D, ``vanishes`` if the reach is less than D, ``fades`` if less than 10 % is left at D, else
        ``keeps``. All None where there are no two distances.
    """
    steps = max((d for d, count in enumerate(rows) if count >= SHARE * rows[0]), default=0) if rows else 0
    if steps <= first:
        return {"steps": steps, "factor": None, "reach": None, "left": None, "verdict": None}
    values = [np.inf if value is None else value for value in median[: steps + 1]]
    reach = max(d for d, value in enumerate(values) if value >= REACH or d <= first)
    last = max(d for d in range(first, steps + 1) if d == first or values[d] > 0)
    last = last if values[last] < TINY else steps  # what is 0 after that is too small for a float, and not nothing
    factor = ratios(values[last], values[first], last - first)
    if max(values) >= EXPLODES:
        word = "explodes"
    elif reach < steps:
        word = "vanishes"
    else:
        word = "keeps" if values[steps] >= KEEPS else "fades"
    return {"steps": steps, "factor": factor, "reach": reach, "left": plain(values[steps]), "verdict": word}
