"""From the encoder to the decoder's first state.

Shape suffixes: S = source steps, B = sentences, M = width of the memory.
"""

import torch
from torch import Tensor, nn

from seqlab.recurrence.stack import StackState


class MeanBridge(nn.Module):
    """Starts every decoder state part from the mean of the encoder's outputs, each through its own linear map and tanh.

    It asks nothing of the encoder's cell, so any cell can follow any other; and every source word is one step away
    from the decoder's start. (The mean annotation is the start of Sennrich et al. 2017, "Nematus".)

    Args:
        memory_size: Width M of the encoder's outputs.
        state_sizes: Widths of the state parts of every decoder cell.
    """

    def __init__(self, memory_size: int, state_sizes: list[tuple[int, ...]]):
        super().__init__()
        self.maps = nn.ModuleList(
            nn.ModuleList(nn.Linear(memory_size, size) for size in sizes) for sizes in state_sizes
        )

    def forward(self, memory_SBM: Tensor, lengths_B: Tensor) -> StackState:
        """Outputs that are 0 on padding, and their lengths (at least 1), to states of parts ``[B, size]``."""
        mean_BM = memory_SBM.sum(0) / lengths_B[:, None]
        return tuple(tuple(torch.tanh(part(mean_BM)) for part in cell) for cell in self.maps)  # type: ignore[attr-defined]
