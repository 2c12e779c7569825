"""The RRNN: a main and an auxiliary recurrent connection."""

from torch import Tensor

from seqlab.cells.base import ACTIVATIONS, Equations, RecurrentCell, State

FEEDBACKS = ("main", "updated")


class RRNN(RecurrentCell):
    """Two recurrent connections: a main one, and an auxiliary one that updates the state through a gate.

    ::

        h_t  = f(W_hh h_{t-1} + W_xh x_t + b_h)                               main connection
        r_t  = g(W_rr h_{t-1} + W_xr x_t + b_r)                               auxiliary connection
        h'_t = f(W_h'h h_{t-1} + W_x'h x_t + (W_rh r_t) * h_{t-1} + b_h')     state after the auxiliary update
        o_t  = g'(W_ho h'_t + W_ho' h_t + b_o)                                output

    ``feedback="main"`` is the equations as printed: h_t recurs, and r_t, h'_t and o_t are readout, computed for all
    steps at once. ``feedback="updated"`` is the other reading, in which the auxiliary connection updates the hidden
    state: ``h_{t-1}`` on the right-hand sides is then ``h'_{t-1}``, and h_t, which never recurs, moves to the readout.
    Both readings have the same weights under the same names.

    The product in h'_t is read as ``(W_rh r_t) * h_{t-1}``, a matrix times r_t and then element by element, which
    leaves r_t free to have any width; ``W_rh (r_t * h_{t-1})`` would be the other parse.

    Args:
        input_size: Width of the inputs.
        hidden_size: Width of h, r, h' and o.
        feedback: What recurs: ``main`` (h) or ``updated`` (h').
        activation: f.
        gate_activation: g, of the auxiliary connection.
        output_activation: g', of the output; the source prints the gate's letter here, which is ``sigmoid``.
        init: ``orthogonal`` or ``torch``; see :class:`~seqlab.cells.base.RecurrentCell`.

    Raises:
        UserError: The feedback or an activation is unknown.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        feedback: str = "main",
        activation: str = "tanh",
        gate_activation: str = "sigmoid",
        output_activation: str = "tanh",
        init: str = "orthogonal",
    ):
        super().__init__(input_size, hidden_size, init=init)
        self.check_choice("feedback", feedback, FEEDBACKS)
        self.check_choice("activation", activation, ACTIVATIONS)
        self.check_choice("gate_activation", gate_activation, ACTIVATIONS)
        self.check_choice("output_activation", output_activation, ACTIVATIONS)
        self.feedback = feedback
        self.activation = ACTIVATIONS[activation]
        self.gate_activation = ACTIVATIONS[gate_activation]
        self.output_activation = ACTIVATIONS[output_activation]
        auxiliary = ("r", "h'")
        self.auxiliary_input = self.make_linear(input_size, auxiliary)
        self.auxiliary_recurrent = self.make_linear(hidden_size, auxiliary, recurrent=True, bias=False)
        self.gate = self.make_linear(hidden_size, ("h'",), bias=False)
        self.output_updated = self.make_linear(hidden_size, ("o",))
        self.output_main = self.make_linear(hidden_size, ("o",), bias=False)

    def project(self, x: Tensor) -> Tensor:
        return self.input(x) if self.feedback == "main" else self.auxiliary_input(x)

    def step(self, gx: Tensor, state: State) -> State:
        return (self._main(gx, state[0]) if self.feedback == "main" else self._updated(gx, state[0]),)

    def readout(self, x: Tensor, previous: State, state: State) -> Tensor:
        if self.feedback == "main":
            main, updated = state[0], self._updated(self.auxiliary_input(x), previous[0])
        else:
            main, updated = self._main(self.input(x), previous[0]), state[0]
        return self.output_activation(self.output_updated(updated) + self.output_main(main))

    def equations(self) -> Equations:
        f, g, output = (each.__name__ for each in (self.activation, self.gate_activation, self.output_activation))
        main = self.feedback == "main"
        h = "h_{t-1}" if main else "h'_{t-1}"
        states = [
            (f"h_t  = {f}(W_hh {h} + W_xh x_t + b_h)", f"main connection{', which recurs' if main else ''}"),
            (f"r_t  = {g}(W_rr {h} + W_xr x_t + b_r)", "auxiliary connection"),
            (
                f"h'_t = {f}(W_h'h {h} + W_x'h x_t + (W_rh r_t) * {h} + b_h')",
                f"state after the auxiliary update{'' if main else ', which recurs'}",
            ),
        ]
        return [*states, (f"o_t  = {output}(W_ho h'_t + W_ho' h_t + b_o)", "output")]

    def _main(self, gx: Tensor, h: Tensor) -> Tensor:
        """h_t from the projected input and the recurrent state."""
        return self.activation(gx + self.recurrent(h))

    def _updated(self, gx: Tensor, h: Tensor) -> Tensor:
        """h'_t from the projected input and the recurrent state."""
        r, u = (gx + self.auxiliary_recurrent(h)).chunk(2, -1)
        return self.activation(u + self.gate(self.gate_activation(r)) * h)
