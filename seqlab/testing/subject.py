"""A cell under examination: what the checks run it on, and how they compare what comes of it.

Shape suffixes: T = time steps, B = rows, I = input size.
"""

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from seqlab.cells.base import RecurrentCell, State
from seqlab.recurrence.unroll import unroll

Run = Callable[[RecurrentCell, Tensor, State], tuple[Tensor, State]]
T, LENGTHS = 7, [7, 3, 0, 5]
B = len(LENGTHS)


class Skipped(Exception):
    """A check does not apply to a cell; says why."""


class Subject:
    """A cell under examination, with inputs and a state to try it on.

    Args:
        make: Makes the cell from its input and hidden size.
        input_size: I.
        hidden_size: H.
    """

    def __init__(self, make: Callable[[int, int], RecurrentCell], input_size: int, hidden_size: int):
        self.make = make
        self._cell = make(input_size, hidden_size).double()
        with torch.no_grad():
            for parameter in self._cell.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.1)  # no bias stays 0, no matrix special
        self.x_TBI = torch.randn(T, B, input_size, dtype=torch.double)
        first = self._cell.initial_state(B, self.x_TBI[0])
        self.state = tuple((part + 0.3 * torch.randn_like(part)).detach() for part in first)

    def cell(self) -> RecurrentCell:
        """A copy of the cell."""
        return copy.deepcopy(self._cell)

    def results(self, run: Run) -> list[Tensor]:
        """Outputs and states that a way to run the cell gives, and the gradients of all it depends on."""
        cell, x_TBI = self.cell(), self.x_TBI.clone().requires_grad_()
        state = tuple(part.clone().requires_grad_() for part in self.state)
        output, last = run(cell, x_TBI, state)
        results, inputs = [output, *last], [x_TBI, *state, *cell.parameters()]
        generator = torch.Generator().manual_seed(2)
        factors = [torch.randn(part.shape, generator=generator, dtype=torch.double) for part in results]
        loss = torch.stack([(factor * part).sum() for factor, part in zip(factors, results, strict=True)]).sum()
        return [*results, *torch.autograd.grad(loss, inputs, materialize_grads=True)]


def difference(a: list[Tensor], b: list[Tensor]) -> float:
    """The largest difference, relative to the larger of 1 and the largest value; NaN counts as infinite."""
    largest = 0.0
    for x, y in zip((part.detach() for part in a), (part.detach() for part in b), strict=True):
        if x.shape != y.shape:
            raise ValueError(f"shapes {list(x.shape)} and {list(y.shape)}")
        if x.numel():
            largest = max(largest, float((x - y).abs().max() / y.abs().max().clamp(min=1)))
    return math.inf if math.isnan(largest) or any(x.isnan().any() for x in a) else largest


def plain(cell: RecurrentCell, x_TBI: Tensor, state: State) -> tuple[Tensor, State]:
    """The specification: one step after the other."""
    outputs = []
    for x_BI in x_TBI:
        output, state = cell(x_BI, state)
        outputs.append(output)
    return torch.stack(outputs), state


def run(cell: RecurrentCell, x_TBI: Tensor, state: State, **options: Any) -> tuple[Tensor, State]:
    """What seqlab makes of a sequence, with the state after it."""
    output, last = unroll(cell, x_TBI, state, **options)
    assert last is not None
    return output, last
