"""The gated recurrent unit."""

import torch
from torch import Tensor, nn

from seqlab.cells.base import Equations, RecurrentCell, State


class GRU(RecurrentCell):
    """Gated recurrent unit: two gates, no separate memory (Cho et al. 2014).

    ::

        r_t = sigmoid(W_xr x_t + b_xr + W_hr h_{t-1} + b_hr)          reset
        z_t = sigmoid(W_xz x_t + b_xz + W_hz h_{t-1} + b_hz)          update
        n_t = tanh(W_xn x_t + b_xn + r_t * (W_hn h_{t-1} + b_hn))     candidate
        h_t = (1 - z_t) * n_t + z_t * h_{t-1}

    K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical machine translation",
    EMNLP 2014, equations 5 to 8, whose reset gate acts before the recurrent product; by default it acts after it, as in
    ``torch.nn.GRU``. The z of J. Chung et al., "Empirical evaluation of gated recurrent neural networks on sequence
    modeling", 2014, is 1 - z.

    Args:
        input_size: Width of the inputs.
        hidden_size: Width of the state.
        reset: ``after`` the recurrent product, as above; or ``before`` it, as in the paper:
            ``n_t = tanh(W_xn x_t + b_xn + W_hn (r_t * h_{t-1}) + b_hn)``.
        layer_norm: Normalise every product, the gates' two together and the candidate's alone (J. Ba, J. Kiros and
            G. Hinton, "Layer normalization", 2016, appendix). The norms' own offsets are the biases.
        init: ``orthogonal`` or ``torch``; see :class:`~seqlab.cells.base.RecurrentCell`.

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
        self.reset, self.layer_norm, self.blocks = reset, layer_norm, (2 * hidden_size, hidden_size)
        if reset == "before":
            self.candidate = self.make_linear(hidden_size, ("n",), recurrent=True, bias=not layer_norm)
        if layer_norm:
            self.input_norms = nn.ModuleList(map(nn.LayerNorm, self.blocks))
            self.recurrent_norms = nn.ModuleList(map(nn.LayerNorm, self.blocks))

    def project(self, x: Tensor) -> Tensor:
        gx = self.input(x)
        if not self.layer_norm:
            return gx
        blocks = zip(self.input_norms, gx.split(self.blocks, -1), strict=True)
        return torch.cat([norm(block) for norm, block in blocks], -1)

    def update(self, gx: Tensor, gh: Tensor, state: State) -> State:
        (h,), before = state, self.reset == "before"
        x_rz, xn = gx.split(self.blocks, -1)
        h_rz, hn = (gh, gh) if before else gh.split(self.blocks, -1)
        if self.layer_norm:
            h_rz = self.recurrent_norms[0](h_rz)
        r, z = (x_rz + h_rz).sigmoid().chunk(2, -1)
        if before:
            hn = self.candidate(r * h)
        if self.layer_norm:
            hn = self.recurrent_norms[1](hn)
        n = (xn + (hn if before else r * hn)).tanh()
        return (n + z * (h - n),)

    def equations(self) -> Equations:
        before, norm = self.reset == "before", self.layer_norm
        if norm:  # of both gates at once, of which each takes its part
            gates = {name: f"LN(W_x x_t)_{name} + LN(W_h h_{{t-1}})_{name}" for name in ("r", "z")}
        else:
            gates = {name: f"W_x{name} x_t + b_x{name} + W_h{name} h_{{t-1}} + b_h{name}" for name in ("r", "z")}
        given = "LN(W_xn x_t)" if norm else "W_xn x_t + b_xn"
        product = f"W_hn {'(r_t * h_{t-1})' if before else 'h_{t-1}'}"
        product = f"LN({product})" if norm else f"{product} + b_hn"
        if not before:
            product = f"r_t * {product if norm else f'({product})'}"
        return [
            (f"r_t = sigmoid({gates['r']})", "reset"),
            (f"z_t = sigmoid({gates['z']})", "update"),
            (f"n_t = tanh({given} + {product})", "candidate"),
            ("h_t = (1 - z_t) * n_t + z_t * h_{t-1}", ""),
        ]
