"""Long short-term memory."""

import torch
from torch import Tensor, nn

from seqlab.cells.base import ACTIVATIONS, Equations, RecurrentCell, State
from seqlab.cells.init import open_gate_
from seqlab.errors import UserError

PEEPHOLES = ("none", "full", "diagonal")


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
    F. Gers, J. Schmidhuber and F. Cummins, "Learning to forget", 2000. By default it is
    ``torch.nn.LSTM``.

    Args:
        input_size: Width of the inputs.
        hidden_size: Width H of the gates and of c.
        peephole: ``diagonal``: the gates see the cell state, unit by unit: i and f add ``w * c_{t-1}``, o adds
            ``w * c_t`` (F. Gers and J. Schmidhuber 2000; the equations are those of A. Graves, "Generating sequences
            with recurrent neural networks", 2013). ``full``: i, f and o add ``W c_{t-1}`` with full matrices.
        candidate: Activation of g: ``tanh`` or ``sigmoid``.
        layer_norm: Normalise both products and, on its way to h, the cell state: gates from
            ``LN(W_x x_t) + LN(W_h h_{t-1}) + b`` and ``h_t = o_t * tanh(LN(c_t))`` (J. Ba, J. Kiros and G. Hinton,
            "Layer normalization", 2016, equations 20 to 22). The norms' own offsets are the biases.
        projection: Width P of h: ``h_t = W_r (o_t * tanh(c_t))`` (H. Sak, A. Senior and F. Beaufays, 2014), the
            ``proj_size`` of ``torch.nn.LSTM``.
        init: ``orthogonal`` or ``torch``; see :class:`~seqlab.cells.base.RecurrentCell`.

    Raises:
        UserError: An option is out of its range.
    """

    gates = ("i", "f", "g", "o")
    states = ("h", "c")
    forget_gate = "f"
    native_kernel: str | None = "lstm"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        peephole: str = "none",
        candidate: str = "tanh",
        layer_norm: bool = False,
        projection: int | None = None,
        init: str = "orthogonal",
    ):
        if projection is not None and projection < 1:
            raise UserError(f"LSTM: projection must be positive, not {projection}")
        self.projection = projection  # before the weights are made, because it is the width of h
        super().__init__(input_size, hidden_size, init=init, bias=not layer_norm)
        self.check_choice("peephole", peephole, PEEPHOLES)
        self.check_choice("candidate", candidate, ("tanh", "sigmoid"))
        self.candidate = ACTIVATIONS[candidate]
        # Torch's kernels take an h as wide as c for one that is not projected, and cuDNN's takes no wider one.
        if peephole != "none" or candidate != "tanh" or layer_norm or (projection or 0) >= hidden_size:
            self.native_kernel = None
        self.diagonal: nn.Parameter | None = None
        self.peephole: nn.Linear | None = None
        if peephole == "diagonal":
            self.diagonal = nn.Parameter(torch.zeros(3, hidden_size))
        elif peephole == "full":
            self.peephole = self.make_linear(hidden_size, ("i", "f", "o"), recurrent=True, bias=False)
        self.input_norm = nn.LayerNorm(4 * hidden_size) if layer_norm else nn.Identity()
        self.recurrent_norm = nn.LayerNorm(4 * hidden_size) if layer_norm else nn.Identity()
        self.memory_norm = nn.LayerNorm(hidden_size) if layer_norm else nn.Identity()
        if isinstance(self.recurrent_norm, nn.LayerNorm) and init == "orthogonal":
            open_gate_(self.recurrent_norm.bias, self.gates.index("f"), hidden_size)
        self.project_output: nn.Linear | None = None
        if projection is not None:
            self.project_output = self.make_linear(hidden_size, ("h",), recurrent=True, bias=False, width=projection)

    @property
    def state_sizes(self) -> tuple[int, ...]:
        return (self.projection or self.hidden_size, self.hidden_size)

    def project(self, x: Tensor) -> Tensor:
        return self.input_norm(self.input(x))

    def update(self, gx: Tensor, gh: Tensor, state: State) -> State:
        i, f, g, o = (gx + self.recurrent_norm(gh)).chunk(4, -1)
        c = state[1]
        if self.peephole is not None:
            ci, cf, co = self.peephole(c).chunk(3, -1)
            i, f, o = i + ci, f + cf, o + co
        if self.diagonal is not None:
            i, f = i + self.diagonal[0] * c, f + self.diagonal[1] * c
        c = f.sigmoid() * c + i.sigmoid() * self.candidate(g)
        if self.diagonal is not None:
            o = o + self.diagonal[2] * c
        h = o.sigmoid() * self.memory_norm(c).tanh()
        return h if self.project_output is None else self.project_output(h), c

    def equations(self) -> Equations:
        norm = isinstance(self.memory_norm, nn.LayerNorm)
        seen = {"i": "c_{t-1}", "f": "c_{t-1}", "o": "c_t" if self.diagonal is not None else "c_{t-1}"}
        sums = {}
        for gate in self.gates:  # of norms over all gates at once each takes its part
            product = f"LN(W_x x_t)_{gate} + LN(W_h h_{{t-1}})_{gate}"
            sums[gate] = product if norm else f"W_x{gate} x_t + W_h{gate} h_{{t-1}} + b_{gate}"
            if gate in seen and self.diagonal is not None:
                sums[gate] += f" + w_c{gate} * {seen[gate]}"
            elif gate in seen and self.peephole is not None:
                sums[gate] += f" + W_c{gate} {seen[gate]}"
        memory = ("c_t = f_t * c_{t-1} + i_t * g_t", "cell state")
        output = (f"o_t = sigmoid({sums['o']})", "output gate")
        h = f"o_t * tanh({'LN(c_t)' if norm else 'c_t'})"
        return [
            (f"i_t = sigmoid({sums['i']})", "input gate"),
            (f"f_t = sigmoid({sums['f']})", "forget gate"),
            (f"g_t = {self.candidate.__name__}({sums['g']})", "candidate"),
            *([output, memory] if self.diagonal is None else [memory, output]),  # which then looks at it
            (f"h_t = {h if self.projection is None else f'W_r ({h})'}", ""),
        ]
