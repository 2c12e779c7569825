"""The contract of a recurrent cell.

Shape suffixes: T = time steps, B = rows of the batch, I = input size, H = hidden size, G = gates x H, O = output size.
``...`` stands for any leading dimensions: every method is called with ``[B, ...]`` for one step and with
``[T, B, ...]`` for all steps at once.
"""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from seqlab.cells import init as initialise
from seqlab.errors import UserError

State = tuple[Tensor, ...]
"""The parts of a recurrent state, each ``[B, size]``, in the order of :attr:`RecurrentCell.states`."""

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
}


class RecurrentCell(nn.Module):
    """A recurrent cell in three phases: what does not depend on the previous step runs for all steps at once.

    ===========  =====================================  ===============================================
    phase        signature                              runs
    ===========  =====================================  ===============================================
    ``project``  ``x [..., I] -> gx [..., G]``          once for the whole sequence
    ``update``   ``gx, gh, state -> new state``         step by step: the lines a new cell has to write
    ``readout``  ``x, previous, state -> [..., O]``     once for the whole sequence
    ===========  =====================================  ===============================================

    A new cell subclasses this one, names its gates and state parts and writes :meth:`update`; see
    :class:`seqlab.cells.gru.GRU` for six lines that do. It overrides :meth:`step` where it has more than one recurrent
    product. It must not draw random numbers and knows nothing of lengths, padding, directions, layers or dropout:
    those belong to :mod:`seqlab.recurrence`.

    The weights have torch's own layout: ``input`` and ``recurrent`` stack the gates in the order of :attr:`gates` along
    the rows, each with a bias.

    Args:
        input_size: Width I of the inputs.
        hidden_size: Width H of a gate.
        init: ``orthogonal``: input weights xavier-uniform and recurrent weights orthogonal, gate by gate, biases 0 and
            the forget gate's recurrent bias 1; ``torch``: everything uniform in +-1/sqrt(H) as in ``torch.nn.LSTM``.

    Raises:
        UserError: A size is not positive, or ``init`` is unknown.
    """

    gates: ClassVar[tuple[str, ...]] = ("h",)
    """Names of the gates; ``input`` and ``recurrent`` produce one block of H for each."""
    states: ClassVar[tuple[str, ...]] = ("h",)
    """Names of the state parts; the first one feeds the recurrent product."""
    forget_gate: ClassVar[str | None] = None
    """The gate that keeps the old state when it is open; its bias starts at 1."""
    native_kernel: str | None = None
    """``lstm``, ``gru`` or ``rnn_tanh`` where this very class computes exactly what that torch kernel does."""

    def __init__(self, input_size: int, hidden_size: int, *, init: str = "orthogonal"):
        super().__init__()
        if input_size < 1 or hidden_size < 1:
            raise UserError(
                f"{type(self).__name__}: sizes must be positive, not input {input_size}, hidden {hidden_size}"
            )
        if init not in initialise.SCHEMES:
            raise UserError(f"{type(self).__name__}: init must be one of {', '.join(initialise.SCHEMES)}, not {init!r}")
        self.input_size, self.hidden_size, self.init = input_size, hidden_size, init
        self.input = self.make_linear(input_size, self.gates)
        self.recurrent = self.make_linear(hidden_size, self.gates, recurrent=True)
        if self.forget_gate is not None and init == "orthogonal":
            initialise.open_gate_(self.recurrent, self.gates.index(self.forget_gate), hidden_size)

    def make_linear(
        self, size: int, gates: tuple[str, ...], *, recurrent: bool = False, bias: bool = True
    ) -> nn.Linear:
        """A linear map ``[..., size] -> [..., len(gates) * H]`` with the cell's own initialisation."""
        linear = nn.Linear(size, len(gates) * self.hidden_size, bias=bias)
        initialise.SCHEMES[self.init](linear, self.hidden_size, recurrent)
        return linear

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """Width of each state part."""
        return (self.hidden_size,) * len(self.states)

    @property
    def output_size(self) -> int:
        """Width O of the output."""
        return self.state_sizes[0]

    def initial_state(self, rows: int, like: Tensor) -> State:
        """Zeros ``[rows, size]`` for each state part, with the dtype and device of ``like``."""
        return tuple(like.new_zeros(rows, size) for size in self.state_sizes)

    def project(self, x: Tensor) -> Tensor:
        """The part of the gates that depends on the input alone: ``[..., I] -> [..., G]``."""
        return self.input(x)

    def update(self, gx: Tensor, gh: Tensor, state: State) -> State:
        """One step of the recurrence.

        Args:
            gx: Projected input ``[B, G]``.
            gh: Recurrent product ``[B, G]`` of the first state part.
            state: The previous state, parts ``[B, size]``.

        Returns:
            The new state, parts of the same shapes.
        """
        raise NotImplementedError(f"{type(self).__name__} must define update(gx, gh, state), or step(gx, state)")

    def step(self, gx: Tensor, state: State) -> State:
        """One step from the projected input ``[B, G]``; override it for more than one recurrent product."""
        return self.update(gx, self.recurrent(state[0]), state)

    def readout(self, x: Tensor, previous: State, state: State) -> Tensor:
        """The cell's output ``[..., O]`` from the input and the states before and after the step."""
        return state[0]

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One whole step: input ``[B, I]`` and state to output ``[B, O]`` and new state."""
        new = self.step(self.project(x), state)
        return self.readout(x, state, new), new

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"
