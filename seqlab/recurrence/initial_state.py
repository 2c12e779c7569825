"""The state before the first step: the cells' own, one with noise, or a learned one."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from seqlab.cells.base import RecurrentCell, State
from seqlab.errors import UserError

KINDS = ("zero", "random", "learned")


class LearnedState(nn.Module):
    """One learned vector for each state part of every cell, the same for all rows.

    Training starts from the cells' own initial states, which are zeros unless a cell says otherwise.

    Args:
        cells: The cells.
    """

    def __init__(self, cells: Sequence[RecurrentCell]):
        super().__init__()
        self.cells = nn.ModuleList(
            nn.ParameterList(nn.Parameter(part[0].detach().clone()) for part in _own_state(cell)) for cell in cells
        )

    def forward(self, rows: int, like: Tensor) -> tuple[State, ...]:
        """States of parts ``[rows, size]``, with the dtype and device of ``like``."""
        # Not expanded: cuDNN wants a state that is contiguous.
        return tuple(tuple(part.to(like).repeat(rows, 1) for part in cell) for cell in self.cells)  # type: ignore[attr-defined]


def make_learned(kind: str, std: float, cells: Sequence[RecurrentCell]) -> LearnedState | None:
    """The learned state of the cells if the kind is ``learned``.

    Raises:
        UserError: The kind is unknown, or the standard deviation negative.
    """
    if kind not in KINDS:
        raise UserError(f"initial_state must be one of {', '.join(KINDS)}, not {kind!r}")
    if std < 0:
        raise UserError(f"initial_state_std must not be negative, not {std}")
    return LearnedState(cells) if kind == "learned" else None


def add_noise(state: tuple[State, ...], std: float) -> tuple[State, ...]:
    """States with numbers drawn from N(0, std^2) added, each of its own.

    A network that starts from noise learns to forget its start instead of relying on it (H. G. Zimmermann et al.,
    "Forecasting with recurrent neural networks: 12 tricks", in Neural Networks: Tricks of the Trade, 2012).
    """
    return tuple(tuple(part + std * torch.randn_like(part) for part in cell) for cell in state)


def _own_state(cell: RecurrentCell) -> State:
    return cell.initial_state(1, next(cell.parameters(), torch.empty(0)))
