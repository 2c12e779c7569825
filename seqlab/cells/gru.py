"""The gated recurrent unit."""

from torch import Tensor

from seqlab.cells.base import RecurrentCell, State


class GRU(RecurrentCell):
    """Gated recurrent unit: two gates, no separate memory (Cho et al. 2014).

    ::

        r_t = sigmoid(W_xr x_t + b_xr + W_hr h_{t-1} + b_hr)          reset
        z_t = sigmoid(W_xz x_t + b_xz + W_hz h_{t-1} + b_hz)          update
        n_t = tanh(W_xn x_t + b_xn + r_t * (W_hn h_{t-1} + b_hn))     candidate
        h_t = (1 - z_t) * n_t + z_t * h_{t-1}

    K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical machine translation",
    EMNLP 2014. The reset gate acts after the recurrent product, as in ``torch.nn.GRU``, whose z is 1 - z of the paper.
    """

    gates = ("r", "z", "n")
    native_kernel = "gru"

    def update(self, gx: Tensor, gh: Tensor, state: State) -> State:
        (xr, xz, xn), (hr, hz, hn) = gx.chunk(3, -1), gh.chunk(3, -1)
        z = (xz + hz).sigmoid()
        n = (xn + (xr + hr).sigmoid() * hn).tanh()
        return (n + z * (state[0] - n),)
