"""A state that is carried from window to window: saved of all devices, and of any number of them taken up again.

Shape suffixes: B = rows of a device, W = devices, S = size of a part.
"""

from collections.abc import Iterable

import torch.distributed
from torch import Tensor

from seqlab.recurrence.stack import StackState


def gathered(state: StackState, world_size: int) -> list[list[Tensor]]:
    """The states of all devices, one below the other: parts ``[W x B, S]``. Every device must ask."""
    return [[_all_rows(part, world_size) for part in cell] for cell in state]


def _all_rows(part_BS: Tensor, world_size: int) -> Tensor:
    if world_size == 1:
        return part_BS
    rows = [torch.empty_like(part_BS, memory_format=torch.contiguous_format) for _ in range(world_size)]
    torch.distributed.all_gather(rows, part_BS.contiguous())  # Lightning's own is by way of what torch deprecates
    return torch.cat(rows)


def share_of(saved: Iterable[Iterable[Tensor]], rank: int, world_size: int, device: torch.device) -> StackState:
    """A device's rows of what :func:`gathered` gave."""
    return tuple(tuple(part.chunk(world_size)[rank].to(device) for part in cell) for cell in saved)


def restarted(state: StackState) -> StackState:
    """The state with zeros in rows that are no longer finite."""
    rows = [part.isfinite().flatten(1).all(1) for cell in state for part in cell]
    finite_B = torch.stack(rows).all(0)
    return tuple(tuple(part.where(finite_B.view(-1, *[1] * (part.ndim - 1)), 0) for part in cell) for cell in state)
