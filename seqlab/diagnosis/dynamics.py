"""The Jacobian of a step, and what becomes of the state over long inputs.

Shape suffixes: T = time steps, B = rows, I = input size, P = points, S = width of all state parts, N = steps of a long
input, K = long inputs.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqlab.cells.base import RecurrentCell, State
from seqlab.diagnosis.layers import one_step, run_layers
from seqlab.diagnosis.numbers import plain, plains, quantiles
from seqlab.diagnosis.tracing import Trace
from seqlab.recurrence.between import Between, make_between
from seqlab.recurrence.stack import RecurrentStack

QUANTILES = np.linspace(0, 1, 33)
"""Places in the sorted spectrum at which it is written, from the largest value to the smallest."""
WIDE, POINTS = 1024, 8
"""A state up to this wide has its Jacobian at all points, a wider one at some: an SVD costs its cube."""
LONG, INPUTS, SHOWN = 1000, 8, 60
"""Steps and number of the long inputs, and for how many steps the states are written."""


def step_jacobian(cell: RecurrentCell, x_I: Tensor, state: State, zoneout: Any = 0.0) -> Tensor:
    """The Jacobian ``[S, S]`` of a step: the derivatives of the new state (rows) by the old one (columns).

    Rows are computed apart from each other, so S copies of one row, each asked for another element of the new state,
    give the whole matrix in one backward pass.

    Args:
        cell: The cell, in evaluation mode.
        x_I: The input of the step.
        state: The state that it sees, parts ``[S_k]``.
        zoneout: That of the layers.
    """
    width = sum(part.numel() for part in state)
    x_SI = x_I.expand(width, -1)
    with torch.enable_grad():
        olds = tuple(part.detach().expand(width, -1).clone().requires_grad_() for part in state)
        between = make_between(cell, x_SI[None], resets=None, zoneout=zoneout)
        new_SS = torch.cat(one_step(cell, x_SI, 0, olds, between)[1], -1)
        if not new_SS.requires_grad:
            return torch.zeros_like(new_SS)
        eye_SS = torch.eye(width, dtype=new_SS.dtype, device=new_SS.device)
        return torch.cat(torch.autograd.grad(new_SS, olds, eye_SS, materialize_grads=True), -1)


def points_of(real_TB: Tensor, width: int) -> list[tuple[int, int]]:
    """Steps and rows at which a Jacobian is taken: spread over rows and over their steps. The first step is left out
    where there are others, since the state before it is none that the cell has made."""
    lengths_B = real_TB.sum(0)
    rows = (lengths_B > 0).nonzero()[:, 0].tolist()
    count = max(1, min(POINTS, round(POINTS * (WIDE / width) ** 3))) if rows else 0
    points = []
    for number in range(count):
        row = rows[number * len(rows) // count]
        length, share = int(lengths_B[row]), ((5 * number) % POINTS + 0.5) / POINTS
        points.append((min(length - 1, 1 + int(share * (length - 1))), row))
    return list(dict.fromkeys(points))


def spectra(jacobians: list[Tensor]) -> dict[str, Any] | None:
    """The singular values of some Jacobians as plain numbers; those that are not finite have none, and are left out."""
    jacobians = [each for each in jacobians if each.isfinite().all()]
    if not jacobians:
        return None
    values_PS = torch.stack([torch.linalg.svdvals(each.double()) for each in jacobians]).cpu().numpy()
    ranks_S = np.linspace(0, 1, values_PS.shape[1]) if values_PS.shape[1] > 1 else np.zeros(1)
    spectrum_QP = np.stack([np.interp(QUANTILES, ranks_S, values_S) for values_S in values_PS], 1)
    return {
        "points": len(values_PS),
        "largest": plain(np.median(values_PS[:, 0])),
        "median": plain(np.median(values_PS)),
        "smallest": plain(np.median(values_PS[:, -1])),
        "spectrum": {"rank": plains(QUANTILES), **quantiles(spectrum_QP)},
    }


def long_inputs(trace: Trace, steps: int = LONG) -> Tensor:
    """Long inputs ``[N, K, I]``: those of all rows one after the other and from the first again, each long input from
    a place of its own on."""
    parts = [trace.x_TBI[: int(length), row] for row, length in enumerate(trace.lengths_B)]
    joined_NI = torch.cat(parts)
    starts_K = torch.arange(INPUTS, device=joined_NI.device) * len(joined_NI) // INPUTS
    places_NK = (torch.arange(steps, device=joined_NI.device)[:, None] + starts_K) % len(joined_NI)
    return joined_NI[places_NK]


@torch.no_grad()
def long_states(stack: RecurrentStack, trace: Trace, steps: int = LONG) -> list[dict[str, Any]]:
    """The root mean square of each state part of every cell over long inputs, from the initial state on.

    Each value is the mean over the steps since the one that is written before it.
    """
    sizes: list[dict[str, list[Tensor]]] = [{} for _ in stack.cells]

    def loop(index: int, cell: RecurrentCell, x_TBI: Tensor, state: State, between: Between | None) -> Tensor:
        outputs = []
        for t, x_BI in enumerate(x_TBI):
            before, state = one_step(cell, x_BI, t, state, between)
            outputs.append(cell.readout(x_BI, before, state))
            for name, part in zip(cell.states, state, strict=True):
                sizes[index].setdefault(name, []).append(part.square().mean().sqrt())
        return torch.stack(outputs)

    if not int(trace.lengths_B.sum()):
        return [{"step": [], "parts": {}} for _ in stack.cells]
    x_NKI = long_inputs(trace, steps)
    state = stack.initial_state(INPUTS, x_NKI)
    run_layers(stack, x_NKI, state, torch.full((INPUTS,), steps, device=x_NKI.device), None, loop)
    shown = np.unique(np.geomspace(1, steps, SHOWN).round().astype(int))
    return [
        {
            "step": shown.tolist(),
            "parts": {name: plains(_means(torch.stack(part).cpu().numpy(), shown)) for name, part in cell.items()},
        }
        for cell in sizes
    ]


def _means(values_N: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Means of stretches that end after the given numbers of values."""
    starts = np.concatenate([[0], ends[:-1]])
    return np.add.reduceat(values_N, starts)[: len(ends)] / (ends - starts)
