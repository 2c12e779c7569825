"""The minimal gated recurrent unit."""

import torch
from torch import Tensor

from seqlab_minimal.linear import LinearCell


class MinGRU(LinearCell):
    """Minimal gated recurrent unit: gate and candidate see the input alone (Feng et al. 2024).

    ::

        z_t  = sigmoid(W_z x_t + b_z)             update gate
        h~_t = W_h x_t + b_h                      candidate
        h_t  = (1 - z_t) * h_{t-1} + z_t * h~_t

    L. Feng et al., "Were RNNs all we needed?", 2024 (arXiv 2410.01201). There is no recurrent product, so all steps
    can be computed at once.

    Args:
        input_size: Width of the inputs.
        hidden_size: Width of the state.
        candidate: ``linear``, as above and in the paper's code without logarithms; ``positive``: ``h~_t = g(W_h x_t +
            b_h)`` with g(x) = x + 0.5 where x >= 0, else sigmoid(x), as in its code in log-space, which needs states
            above 0. Here no logarithm is taken in either, and the state before the first step is 0.
        init: See :class:`~seqlab.cells.base.RecurrentCell`.

    Raises:
        UserError: The kind of candidate is unknown.
    """

    gates = ("z", "h")

    def project(self, x: Tensor) -> Tensor:
        z, h = self.input(x).chunk(2, -1)
        return torch.cat([(-z).sigmoid(), z.sigmoid() * self.candidate(h)], -1)
