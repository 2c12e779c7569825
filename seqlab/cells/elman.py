"""The simple recurrent network."""

from torch import Tensor

from seqlab.cells.base import ACTIVATIONS, Equations, RecurrentCell, State


class Elman(RecurrentCell):
    """Simple recurrent network: the hidden layer sees its own last value (Elman 1990).

    ::

        h_t = f(W_hh h_{t-1} + W_xh x_t + b_h)

    J. L. Elman, "Finding structure in time", Cognitive Science 14, 1990. With ``tanh`` or ``relu`` it is
    ``torch.nn.RNN``.

    Args:
        input_size: Width of the inputs.
        hidden_size: Width of the state.
        activation: f: ``tanh``, ``relu`` or ``sigmoid``.
        init: ``orthogonal`` or ``torch``; see :class:`~seqlab.cells.base.RecurrentCell`.

    Raises:
        UserError: The activation is unknown.
    """

    native_kernel: str | None = "rnn_tanh"

    def __init__(self, input_size: int, hidden_size: int, *, activation: str = "tanh", init: str = "orthogonal"):
        super().__init__(input_size, hidden_size, init=init)
        self.check_choice("activation", activation, ACTIVATIONS)
        self.activation = ACTIVATIONS[activation]
        self.native_kernel = {"tanh": "rnn_tanh", "relu": "rnn_relu"}.get(activation)

    def update(self, gx: Tensor, gh: Tensor, state: State) -> State:
        return (self.activation(gx + gh),)

    def equations(self) -> Equations:
        return [(f"h_t = {self.activation.__name__}(W_hh h_{{t-1}} + W_xh x_t + b_h)", "")]
