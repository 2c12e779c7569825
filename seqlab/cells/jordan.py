"""The Jordan network."""

from torch import Tensor

from seqlab.cells.base import ACTIVATIONS, Equations, RecurrentCell, State


class Jordan(RecurrentCell):
    """Recurrent network whose output, not its hidden layer, is fed back (Jordan 1986).

    ::

        h_t = f(W_xh x_t + W_yh y_{t-1} + b_h)      hidden layer
        y_t = g(W_hy h_t + b_y)                     output

    M. I. Jordan, "Serial order: a parallel distributed processing approach", ICS report 8604, UC San Diego, 1986. Its
    state units also feed back on themselves with a fixed decay, which is left out here, as is usual.

    Args:
        input_size: Width of the inputs.
        hidden_size: Width of h and of y.
        activation: f: ``tanh``, ``relu`` or ``sigmoid``.
        output_activation: g, of the same.
        init: ``orthogonal`` or ``torch``; see :class:`~seqlab.cells.base.RecurrentCell`.

    Raises:
        UserError: An activation is unknown.
    """

    states = ("y",)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        activation: str = "tanh",
        output_activation: str = "tanh",
        init: str = "orthogonal",
    ):
        super().__init__(input_size, hidden_size, init=init)
        self.check_choice("activation", activation, ACTIVATIONS)
        self.check_choice("output_activation", output_activation, ACTIVATIONS)
        self.activation, self.output_activation = ACTIVATIONS[activation], ACTIVATIONS[output_activation]
        self.output = self.make_linear(hidden_size, ("y",), recurrent=True)

    def update(self, gx: Tensor, gh: Tensor, state: State) -> State:
        h = self.activation(gx + gh)
        return (self.output_activation(self.output(h)),)

    def equations(self) -> Equations:
        return [
            (f"h_t = {self.activation.__name__}(W_xh x_t + W_yh y_{{t-1}} + b_h)", "hidden layer"),
            (f"y_t = {self.output_activation.__name__}(W_hy h_t + b_y)", "output"),
        ]
