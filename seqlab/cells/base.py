"""The contract of a recurrent cell.

Shape suffixes: T = time steps, B = rows of the batch, I = input size, H = hidden size, G = gates x H, O = output size.
``...`` stands for any leading dimensions: every method is called with ``[B, ...]`` for one step and with
``[T, B, ...]`` for all steps at once.
"""

from collections.abc import Callable, Iterable
from typing import ClassVar

import torch
from torch import Tensor, nn

from seqlab.cells import init as initialise
from seqlab.errors import UserError

Equations = list[tuple[str, str]]
"""Each equation of a cell with what it is for, as ``("h_t = tanh(W_hh h_{t-1} + W_xh x_t + b_h)", "")``."""
State = tuple[Tensor, ...]
"""The parts of a recurrent state, each ``[B, size]``, in the order of :attr:`RecurrentCell.states`."""

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
}


class RecurrentLinear(nn.Linear):
    """A linear map of a state, so that weight drop knows it from a map of the input."""


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
    :class:`seqlab.cells.elman.Elman`. Where it needs more than one recurrent product it calls linear maps of its own
    in :meth:`update`, or overrides :meth:`step`; where it has a parallel form it overrides :meth:`sequence`. It must
    not draw random numbers and knows nothing of lengths, padding, directions, layers or dropout: those belong to
    :mod:`seqlab.recurrence`. :func:`seqlab.cells.contract.check_contract` says where a cell breaks these rules.

    The weights have torch's own layout: ``input`` and ``recurrent`` stack the gates in the order of :attr:`gates` along
    the rows, each with a bias.

    Args:
        input_size: Width I of the inputs.
        hidden_size: Width H of a gate.
        init: ``orthogonal``: input weights xavier-uniform and recurrent weights orthogonal, gate by gate, biases 0 and
            the forget gate's recurrent bias 1; ``torch``: everything uniform in +-1/sqrt(H) as in ``torch.nn.LSTM``.
        bias: Give ``input`` and ``recurrent`` a bias.

    Raises:
        UserError: A size is not positive, or ``init`` is unknown.
    """

    gates: ClassVar[tuple[str, ...]] = ("h",)
    """Names of the gates; ``input`` and ``recurrent`` produce one block of H for each; with ``()`` there is neither,
    unless :attr:`recurrent_gates` names some."""
    recurrent_gates: tuple[str, ...] | None = None
    """Gates that ``recurrent`` produces, where these are not all: ``()`` for a cell without a recurrent product, which
    overrides :meth:`step` instead of :meth:`update`."""
    states: ClassVar[tuple[str, ...]] = ("h",)
    """Names of the state parts; the first one feeds the recurrent product."""
    forget_gate: ClassVar[str | None] = None
    """The gate that keeps the old state when it is open; its bias starts at 1."""
    native_kernel: str | None = None
    """``lstm``, ``gru`` or ``rnn_tanh`` where this very class computes exactly what that torch kernel does."""

    def __init__(self, input_size: int, hidden_size: int, *, init: str = "orthogonal", bias: bool = True):
        super().__init__()
        if input_size < 1 or hidden_size < 1:
            raise UserError(
                f"{type(self).__name__}: sizes must be positive, not input {input_size}, hidden {hidden_size}"
            )
        self.check_choice("init", init, initialise.SCHEMES)
        self.input_size, self.hidden_size, self.init = input_size, hidden_size, init
        if self.gates:
            self.input = self.make_linear(input_size, self.gates, bias=bias)
        gates = self.gates if self.recurrent_gates is None else self.recurrent_gates
        if gates:
            self.recurrent = self.make_linear(self.state_sizes[0], gates, recurrent=True, bias=bias)
        if self.forget_gate is not None and bias and init == "orthogonal":
            linear, blocks = (self.recurrent, gates) if self.forget_gate in gates else (self.input, self.gates)
            initialise.open_gate_(linear.bias, blocks.index(self.forget_gate), hidden_size)

    def make_linear(
        self,
        size: int,
        gates: tuple[str, ...],
        *,
        recurrent: bool = False,
        bias: bool = True,
        width: int | None = None,
    ) -> nn.Linear:
        """A linear map ``[..., size] -> [..., len(gates) * width]`` with the cell's own initialisation.

        Args:
            size: Width of what it maps.
            gates: Names of the blocks it produces.
            recurrent: Whether it maps a state; weight drop drops weights of these maps.
            bias: Whether to add one.
            width: Width of a block; H if None.
        """
        width = width or self.hidden_size
        linear = (RecurrentLinear if recurrent else nn.Linear)(size, len(gates) * width, bias=bias)
        initialise.SCHEMES[self.init](linear, width, self.hidden_size, recurrent)
        vars(linear)["blocks"] = gates  # by which a diagnosis names what it sees
        return linear

    def check_choice(self, option: str, value: object, choices: Iterable[str]) -> None:
        """Refuses an option that is none of the choices.

        Raises:
            UserError: It is none of them.
        """
        if value not in (choices := list(choices)):
            raise UserError(f"{type(self).__name__}: {option} must be one of {', '.join(choices)}, not {value!r}")

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
        return self.input(x) if self.gates else x

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
        """One step from the projected input ``[B, G]``; override it for a recurrence of another form."""
        return self.update(gx, self.recurrent(state[0]), state)

    def sequence(self, gx: Tensor, state: State) -> State:
        """All steps at once, where the recurrence has a parallel form.

        Args:
            gx: Projected inputs ``[T, B, G]``.
            state: The state before the first step.

        Returns:
            The states after every step, parts ``[T, B, size]``.
        """
        raise NotImplementedError(f"{type(self).__name__} has no parallel form")

    def readout(self, x: Tensor, previous: State, state: State) -> Tensor:
        """The cell's output ``[..., O]`` from the input and the states before and after the step."""
        return state[0]

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One whole step: input ``[B, I]`` and state to output ``[B, O]`` and new state."""
        new = self.step(self.project(x), state)
        return self.readout(x, state, new), new

    def equations(self) -> Equations:
        """What a step of this very cell computes, its options in place, for ``seqlab cells show``.

        Empty, as by default, where the equations of the class's docstring are those of every cell of it.
        """
        return []

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"
