"""The two-gate cell."""

from torch import Tensor

from seqlab.cells.base import RecurrentCell, State


class TwoGate(RecurrentCell):
    """The two-gate cell: a forget and an input gate around one state, sigmoids throughout.

    ::

        f_t = sigmoid(W_f [x_t, h_{t-1}] + b_f)                                 forget gate
        i_t = sigmoid(W_i [x_t, h_{t-1}] + b_i)                                 input gate
        h_t = f_t * h_{t-1} + i_t * sigmoid(W_c [x_t, h_{t-1}] + b_c)

    It is the memory of an LSTM that is its own output, with no output gate and nothing to squash it: from a state of 0,
    h_t lies between 0 and t. A bias b is the sum of one beside x and one beside h, as in ``torch.nn.LSTM``.

    Args:
        input_size: Width of the inputs.
        hidden_size: Width of the state.
        init: See :class:`~seqlab.cells.base.RecurrentCell`.
        bias: Whether there is b.
    """

    gates = ("f", "i", "c")
    forget_gate = "f"

    def update(self, gx: Tensor, gh: Tensor, state: State) -> State:
        f, i, c = (gx + gh).sigmoid().chunk(3, -1)
        return (f * state[0] + i * c,)
