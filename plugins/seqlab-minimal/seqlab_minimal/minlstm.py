"""The minimal long short-term memory."""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from seqlab_minimal.linear import LinearCell


class MinLSTM(LinearCell):
    """Minimal long short-term memory: forget and input gate share what the input says (Feng et al. 2024).

    ::

        f_t  = sigmoid(W_f x_t + b_f)             forget gate
        i_t  = sigmoid(W_i x_t + b_i)             input gate
        h~_t = W_h x_t + b_h                      candidate
        f'_t = f_t / (f_t + i_t)
        i'_t = i_t / (f_t + i_t)
        h_t  = f'_t * h_{t-1} + i'_t * h~_t

    L. Feng et al., "Were RNNs all we needed?", 2024 (arXiv 2410.01201). There is no recurrent product, so all steps
    can be computed at once; nor is there an output gate, or a memory apart from h.

    Args:
        input_size: Width of the inputs.
        hidden_size: Width of the state.
        candidate: ``linear``, as above and in the paper's code without logarithms; ``positive``: ``h~_t = g(W_h x_t +
            b_h)`` with g(x) = x + 0.5 where x >= 0, else sigmoid(x), as in its code in log-space, which needs states
            above 0. Here no logarithm is taken of a state in either, and the state before the first step is 0.
        init: See :class:`~seqlab.cells.base.RecurrentCell`; the forget gate's bias starts at 1 unless it is ``torch``.

    Raises:
        UserError: The kind of candidate is unknown.
    """

    gates = ("f", "i", "h")
    forget_gate = "f"

    def project(self, x: Tensor) -> Tensor:
        f, i, h = self.input(x).chunk(3, -1)
        # f / (f + i) = sigmoid(log f - log i), which is no 0 / 0 where both gates are closed.
        balance = logsigmoid(f) - logsigmoid(i)
        return torch.cat([balance.sigmoid(), (-balance).sigmoid() * self.candidate(h)], -1)
