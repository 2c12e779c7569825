"""From the encoder to the decoder's first state.

Shape suffixes: S = source steps, B = sentences, M = width of the memory, X = width of the encoder's last states.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from seqlab.errors import UserError
from seqlab.models.encoder import Encoder
from seqlab.recurrence.stack import StackState

BRIDGES = ("mean", "last", "zero", "learned")


class MeanBridge(nn.Module):
    """Starts every decoder state part from the mean of the encoder's outputs, each through its own linear map and tanh.

    It asks nothing of the encoder's cell, so any cell can follow any other; and every source word is one step away
    from the decoder's start. (The mean annotation is the start of Sennrich et al. 2017, "Nematus".)

    Args:
        memory_size: Width M of the encoder's outputs.
        state_sizes: Widths of the state parts of every decoder cell.
    """

    def __init__(self, memory_size: int, state_sizes: Sequence[tuple[int, ...]]):
        super().__init__()
        self.maps = _maps(memory_size, state_sizes)

    def forward(self, memory_SBM: Tensor, lengths_B: Tensor, end_BX: Tensor | None = None) -> StackState:
        """Outputs that are 0 on padding, and their lengths (at least 1), to states of parts ``[B, size]``."""
        return _start(self.maps, memory_SBM.sum(0) / lengths_B[:, None])


class LastBridge(nn.Module):
    """Starts every decoder state part from the encoder's last states, each through its own linear map and tanh.

    ::

        s = tanh(W [e_1; e_2; ...] + b)

    e are all state parts of the encoder's last layer after its last step: for the cell that runs forwards that of the
    last word, for the one that runs backwards that of the first. (D. Bahdanau et al. 2015, appendix A.2.2, start from
    the latter alone.)

    Args:
        end_size: Width X of these parts together.
        state_sizes: Widths of the state parts of every decoder cell.
    """

    def __init__(self, end_size: int, state_sizes: Sequence[tuple[int, ...]]):
        super().__init__()
        self.maps = _maps(end_size, state_sizes)

    def forward(self, memory_SBM: Tensor, lengths_B: Tensor, end_BX: Tensor | None = None) -> StackState:
        """The encoder's last states, side by side, to states of parts ``[B, size]``."""
        assert end_BX is not None
        return _start(self.maps, end_BX)


def make_bridge(kind: str, encoder: Encoder, state_sizes: Sequence[tuple[int, ...]]) -> MeanBridge | LastBridge | None:
    """The bridge of a kind; None for those that hand nothing over, where the decoder's layers have their own start.

    Args:
        kind: ``mean``, ``last``, ``zero`` or ``learned``.
        encoder: The encoder.
        state_sizes: Widths of the state parts of every decoder cell.

    Raises:
        UserError: There is no such kind.
    """
    check_bridge(kind)
    if kind == "mean":
        return MeanBridge(encoder.output_size, state_sizes)
    return LastBridge(encoder.end_size, state_sizes) if kind == "last" else None


def check_bridge(kind: str) -> None:
    """Refuses the name of a bridge that there is not.

    Raises:
        UserError: There is none of this name.
    """
    if kind not in BRIDGES:
        raise UserError(f"bridge must be one of {', '.join(BRIDGES)}, not {kind!r}")


def _maps(size: int, state_sizes: Sequence[tuple[int, ...]]) -> nn.ModuleList:
    return nn.ModuleList(nn.ModuleList(nn.Linear(size, width) for width in widths) for widths in state_sizes)


def _start(maps: nn.ModuleList, x_BX: Tensor) -> StackState:
    return tuple(tuple(torch.tanh(part(x_BX)) for part in cell) for cell in maps)  # type: ignore[attr-defined]
