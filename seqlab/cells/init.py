"""How the weights of a cell start.

``orthogonal`` follows Glorot and Bengio 2010 for the input weights and Saxe et al. 2014 for the recurrent ones, gate by
gate: one orthogonal matrix over all gates together would leave each gate's own block far from orthogonal. The open
forget gate is Gers et al. 2000 and Jozefowicz et al. 2015. ``torch`` is the start of ``torch.nn.RNNBase``.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def orthogonal_(linear: nn.Linear, width: int, hidden_size: int, recurrent: bool) -> None:
    """Weights per block of the given width: orthogonal where the map is recurrent, else xavier-uniform. Biases 0."""
    for block in linear.weight.split(width):
        (nn.init.orthogonal_ if recurrent else nn.init.xavier_uniform_)(block)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)


def torch_(linear: nn.Linear, width: int, hidden_size: int, recurrent: bool) -> None:
    """Everything uniform in +-1/sqrt(H)."""
    for parameter in linear.parameters():
        nn.init.uniform_(parameter, -(hidden_size**-0.5), hidden_size**-0.5)


def open_gate_(bias: Tensor, gate: int, hidden_size: int) -> None:
    """Sets the bias of one gate to 1. Of the two biases only one is set, since they add up."""
    with torch.no_grad():
        bias[gate * hidden_size : (gate + 1) * hidden_size] = 1.0


SCHEMES: dict[str, Callable[[nn.Linear, int, int, bool], None]] = {"orthogonal": orthogonal_, "torch": torch_}
