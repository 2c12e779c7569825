"""All that is measured of a stack of layers, as plain numbers.

Shape suffixes: T = time steps, B = rows, I = input size.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from seqlab import registry
from seqlab.cells.base import RecurrentCell, State
from seqlab.diagnosis.dynamics import LONG, long_states, points_of, spectra, step_jacobian
from seqlab.diagnosis.gates import BOUNDS, GateStatistics
from seqlab.diagnosis.gradients import EXPLODES, KEEPS, REACH, SHARE, norms_by_distance, summary
from seqlab.diagnosis.layers import cell_names, in_double, run_layers
from seqlab.diagnosis.tracing import Trace
from seqlab.recurrence.between import Between
from seqlab.recurrence.stack import RecurrentStack

Measured = list[dict[str, Any]]
"""For each cell of a stack what was measured of it."""
THRESHOLDS = {
    "reach": REACH,
    "keeps": KEEPS,
    "explodes": EXPLODES,
    "rows": SHARE,
    "saturation": {name: [low, high if high < torch.inf else None] for name, (low, high) in BOUNDS.items()},
}
"""What verdicts and shares go by."""
STAGES = 3
"""Parts of the measurement of a stack."""


def untold() -> None:
    """Shows nobody that a part is done."""


def measure(stack: RecurrentStack, trace: Trace, steps: int = LONG, done: Callable[[], Any] = untold) -> Measured:
    """Measures every cell of a stack on what it was given.

    Args:
        stack: The stack, which is left as it is.
        trace: What it was given.
        steps: Steps of the long inputs.
        done: Called after each of :data:`STAGES` parts, to show progress.
    """
    stack = in_double(stack)
    trace = trace.like(next(stack.parameters(), trace.x_TBI.double()))
    every_norms = norms_by_distance(stack, trace)
    done()
    trajectory = _Trajectory(stack, trace)
    done()
    every_states = long_states(stack, trace, steps)
    done()
    found = zip(every_norms, trajectory.jacobians, trajectory.gates, every_states, strict=True)
    return [
        {
            "gradient": summary(norms),
            "jacobian": spectra(jacobians),
            "saturation": gates.report(),
            "states": states,
        }
        for norms, jacobians, gates, states in found
    ]


class _Trajectory:
    """The states that a stack goes through: Jacobians at some of them, and the gates at all."""

    def __init__(self, stack: RecurrentStack, trace: Trace):
        self.stack = stack
        self.jacobians: list[list[Tensor]] = []
        self.gates: list[GateStatistics] = []
        steps_T1 = torch.arange(len(trace.x_TBI), device=trace.x_TBI.device)[:, None]
        self.real_TB = steps_T1 < trace.lengths_B  # in a cell's own order too: the padding stays on the right
        with torch.no_grad():
            run_layers(stack, trace.x_TBI, trace.state, trace.lengths_B, trace.resets_TB, self._loop)

    def _loop(self, index: int, cell: RecurrentCell, x_TBI: Tensor, state: State, between: Between | None) -> Tensor:
        gates, jacobians, seen, after = GateStatistics(cell), [], [], []
        points = points_of(self.real_TB, sum(cell.state_sizes))
        with gates.during("project", self.real_TB):
            gx_TBG = cell.project(x_TBI)
        for t, gx_BG in enumerate(gx_TBG):
            before = between.before(t, state) if between else state
            with gates.during("step", self.real_TB[t]):
                state = cell.step(gx_BG, before)
            if between:
                state = between.after(t, before, state)
            for step, row in points:
                if step == t:
                    old = tuple(part[row] for part in before)
                    jacobians.append(step_jacobian(cell, x_TBI[t, row], old, self.stack.zoneout))
            seen.append(before)
            after.append(state)
        stacked = [tuple(torch.stack(part) for part in zip(*states, strict=True)) for states in (seen, after)]
        with gates.during("readout", self.real_TB):
            output_TBO = cell.readout(x_TBI, *stacked)
        self.gates.append(gates)
        self.jacobians.append(jacobians)
        return output_TBO


def describe(stack: RecurrentStack, trace: Trace, **measured: Measured) -> dict[str, Any]:
    """A stack as it is written: a note, and its cells with what was measured of each, by when it was.

    Args:
        stack: The stack.
        trace: What it was given.
        measured: The measurements, such as ``trained`` and ``untrained``.
    """
    cells = []
    for index, (name, cell) in enumerate(zip(cell_names(stack), stack.cells, strict=True)):
        offer = registry.offer_of(type(cell))
        what = offer.name if offer else type(cell).__name__
        cells.append({"name": name, "cell": what, **{when: each[index] for when, each in measured.items()}})
    return {"note": note(trace), "cells": cells}


def note(trace: Trace) -> str:
    """What is to be said of how a stack was measured."""
    told = []
    if trace.in_steps:
        told.append("runs step by step; measured over the inputs it had: through its states, not what is fed back")
    if trace.passes > 1:
        told.append(f"runs {trace.passes} times in a batch; measured in the longest")
    return "; ".join(told)
