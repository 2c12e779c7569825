"""What minGRU and minLSTM share: a state that is a linear function of the last one."""

from collections.abc import Callable

import torch
from torch import Tensor

from seqlab.cells.base import RecurrentCell, State
from seqlab.recurrence.scan import linear_recurrence


def positive(x: Tensor) -> Tensor:
    """``x + 0.5`` where x >= 0, else ``sigmoid(x)``: continuous, increasing and above 0."""
    return torch.where(x >= 0, x + 0.5, x.sigmoid())


CANDIDATES: dict[str, Callable[[Tensor], Tensor]] = {"linear": lambda x: x, "positive": positive}


class LinearCell(RecurrentCell):
    """A cell ``h_t = a_t * h_{t-1} + b_t`` whose a and b depend on the input alone.

    A subclass names its gates and writes :meth:`project`, which returns a and b one beside the other, ``[..., 2 H]``.

    Args:
        input_size: Width of the inputs.
        hidden_size: Width H of the state.
        candidate: What the candidate of a subclass passes through: ``linear`` or ``positive``.
        init: See :class:`~seqlab.cells.base.RecurrentCell`.

    Raises:
        UserError: The kind of candidate is unknown.
    """

    recurrent_gates = ()

    def __init__(self, input_size: int, hidden_size: int, *, candidate: str = "linear", init: str = "orthogonal"):
        super().__init__(input_size, hidden_size, init=init)
        self.check_choice("candidate", candidate, CANDIDATES)
        self.candidate = CANDIDATES[candidate]

    def step(self, gx: Tensor, state: State) -> State:
        a, b = gx.chunk(2, -1)
        return (a * state[0] + b,)

    def sequence(self, gx: Tensor, state: State) -> State:
        a, b = gx.chunk(2, -1)
        return (linear_recurrence(a, b, state[0]),)
