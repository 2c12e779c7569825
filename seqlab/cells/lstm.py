"""Long short-term memory."""

from torch import Tensor

from seqlab.cells.base import RecurrentCell, State


class LSTM(RecurrentCell):
    """Long short-term memory: a cell state behind input, forget and output gates (Hochreiter and Schmidhuber 1997).

    ::

        i_t = sigmoid(W_xi x_t + W_hi h_{t-1} + b_i)      input gate
        f_t = sigmoid(W_xf x_t + W_hf h_{t-1} + b_f)      forget gate
        g_t = tanh(W_xg x_t + W_hg h_{t-1} + b_g)         candidate
        o_t = sigmoid(W_xo x_t + W_ho h_{t-1} + b_o)      output gate
        c_t = f_t * c_{t-1} + i_t * g_t
        h_t = o_t * tanh(c_t)

    S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9, 1997; the forget gate is
    F. Gers, J. Schmidhuber and F. Cummins, "Learning to forget", 2000. It is ``torch.nn.LSTM``.
    """

    gates = ("i", "f", "g", "o")
    states = ("h", "c")
    forget_gate = "f"
    native_kernel = "lstm"

    def update(self, gx: Tensor, gh: Tensor, state: State) -> State:
        i, f, g, o = (gx + gh).chunk(4, -1)
        c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c
