"""The gated recurrent unit."""

import torch
from torch import Tensor, nn

from seqlab.cells.base import RecurrentCell, State


class GRU(RecurrentCell):
    """Gated recurrent unit: two gates, no separate memory (Cho et al. 2014).

    ::

        r_t = sigmoid(W_xr x_t + b_xr + W_hr h_{t-1} + b_hr)          reset
        z_t = sigmoid(W_xz x_t + b_xz + W_hz h_{t-1} + b_hz)          update
        n_t = tanh(W_xn x_t + b_xn + r_t * (W_hn h_{t-1} + b_hn))     candidate
        h_t = (1 - z_t) * n_t + z_t * h_{t-1}

    K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical machine translation",
    EMNLP 2014. Here the reset gate acts after the recurrent product, as in ``torch.nn.GRU``, whose z is 1 - z of the
    paper.

    Args:
        input_size: Width of the inputs.
        hidden_size: Width of the state.
        reset: ``after`` the recurrent product, as above; or ``before`` it, as in the paper:
            ``n_t = tanh(W_xn x_t + b_xn + W_hn (r_t * h_{t-1}) + b_hn)``.
        layer_norm: Normalise every product, the gates' two together and the candidate's alone (J. Ba, J. Kiros and
            G. Hinton, "Layer normalization", 2016, appendix). The norms' own offsets are the biases.
        init: See :class:`~seqlab.cells.base.RecurrentCell`.

    Raises:
        UserError: The kind of reset is unknown.
    """

    gates = ("r", "z", "n")
    native_kernel: str | None = "gru"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        reset: str = "after",
        layer_norm: bool = False,
        init: str = "orthogonal",
    ):
        if reset == "before":
            self.recurrent_gates = ("r", "z")
        super().__init__(input_size, hidden_size, init=init, bias=not layer_norm)
        self.check_choice("reset", reset, ("after", "before"))
        if reset == "before" or layer_norm:
            self.native_kernel = None
        self.candidate: nn.Linear | None = None
        if reset == "before":
            self.candidate = self.make_linear(hidden_size, ("n",), recurrent=True, bias=not layer_norm)
        widths = (2 * hidden_size, hidden_size) if layer_norm else ()
        self.input_norms = nn.ModuleList(map(nn.LayerNorm, widths))
        self.recurrent_norms = nn.ModuleList(map(nn.LayerNorm, widths))

    def project(self, x: Tensor) -> Tensor:
        return self._normed(self.input(x), self.input_norms)

    def update(self, gx: Tensor, gh: Tensor, state: State) -> State:
        (h,), (xr, xz, xn) = state, gx.chunk(3, -1)
        hr, hz, *hn = self._normed(gh, self.recurrent_norms).split(self.hidden_size, -1)
        r, z = (xr + hr).sigmoid(), (xz + hz).sigmoid()
        if self.candidate is None:
            n = (xn + r * hn[0]).tanh()
        else:
            product = self.candidate(r * h)
            n = (xn + (self.recurrent_norms[1](product) if self.recurrent_norms else product)).tanh()
        return (n + z * (h - n),)

    def _normed(self, product: Tensor, norms: nn.ModuleList) -> Tensor:
        """The blocks of r and z normalised together, that of n, where there is one, by itself."""
        if not norms:
            return product
        blocks = product.split([2 * self.hidden_size, product.shape[-1] - 2 * self.hidden_size], -1)
        return torch.cat([norm(block) for norm, block in zip(norms, blocks, strict=True) if block.shape[-1]], -1)
