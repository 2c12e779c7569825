"""What happens to a state between two steps: resets and zoneout. It belongs to the driver, so every cell has it.

Shape suffixes: T = time steps, B = rows, S = size of a state part.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from seqlab.cells.base import RecurrentCell, State
from seqlab.errors import UserError


@dataclass(frozen=True)
class Between:
    """Changes of a state before and after each step.

    A reset starts a row anew in mid-sequence, as at the border of two documents. Zoneout (D. Krueger et al., "Zoneout:
    regularizing RNNs by randomly preserving hidden activations", ICLR 2017) lets each unit keep its old value with
    probability p while training, and otherwise takes the expected value of the two, as dropout does::

        s_t = d_t * s_{t-1} + (1 - d_t) * s~_t,   d_t ~ Bernoulli(p) in training, d_t = p in evaluation

    Args:
        resets_TB1: True where a row's state is the initial one before the step; None without resets.
        initial: The state that a reset gives.
        keep: For each state part the masks d ``[T, B, S]``, or the number p; None without zoneout.
    """

    resets_TB1: Tensor | None
    initial: State
    keep: tuple[Tensor | float, ...] | None

    def before(self, t: int, state: State) -> State:
        """The state that step t sees."""
        if self.resets_TB1 is None:
            return state
        reset_B1 = self.resets_TB1[t]
        return tuple(torch.where(reset_B1, first, part) for first, part in zip(self.initial, state, strict=True))

    def after(self, t: int, old: State, new: State) -> State:
        """The state after step t, from what the step saw and what it made."""
        if self.keep is None:
            return new
        return tuple(
            # Not part + d * (last - part) for both: rounded, that is not what was kept.
            torch.where(keep[t], last, part) if isinstance(keep, Tensor) else part + keep * (last - part)
            for keep, last, part in zip(self.keep, old, new, strict=True)
        )

    def before_all(self, previous_TBS: State) -> State:
        """:meth:`before` for all steps at once."""
        if self.resets_TB1 is None:
            return previous_TBS
        return tuple(
            torch.where(self.resets_TB1, first, part) for first, part in zip(self.initial, previous_TBS, strict=True)
        )

    def window(self, first: int, last: int) -> "Between":
        """The same for steps ``first`` to ``last - 1``."""
        resets = None if self.resets_TB1 is None else self.resets_TB1[first:last]
        keep = self.keep and tuple(part[first:last] if isinstance(part, Tensor) else part for part in self.keep)
        return Between(resets, self.initial, keep)


def make_between(
    cell: RecurrentCell,
    x_TBI: Tensor,
    *,
    initial: State | None = None,
    resets: Tensor | None,
    zoneout: float | Mapping[str, float],
) -> Between | None:
    """The changes that a sequence of inputs needs; None where it needs none.

    Args:
        cell: The cell, in training or evaluation mode.
        x_TBI: Its inputs.
        initial: The state that a reset gives; the cell's initial state if None.
        resets: True ``[T, B]`` where the state is reset before the step.
        zoneout: Probability that a unit keeps its value, one for all state parts or by a part's name.

    Raises:
        UserError: A probability is not in [0, 1), a state part has another name, or the shape of resets is wrong.
    """
    by_part = check_zoneout(cell, zoneout)
    check_resets(resets, x_TBI)
    if resets is None and not any(by_part.values()):
        return None
    steps, rows = x_TBI.shape[:2]
    keep: list[Tensor | float] = []
    for part, size in zip(cell.states, cell.state_sizes, strict=True):
        probability = by_part.get(part, 0.0)
        if cell.training and probability:
            keep.append(x_TBI.new_empty(steps, rows, size).bernoulli_(probability).bool())
        else:
            keep.append(probability)
    if resets is not None and initial is None:
        initial = cell.initial_state(rows, x_TBI)
    return Between(
        None if resets is None else resets.bool()[..., None],
        initial or (),
        tuple(keep) if any(by_part.values()) else None,
    )


def check_resets(resets: Tensor | None, x_TBI: Tensor) -> None:
    """Refuses resets that are not one for each step and row.

    Raises:
        UserError: They have another shape.
    """
    if resets is not None and resets.shape != x_TBI.shape[:2]:
        raise UserError(f"resets must have shape {list(x_TBI.shape[:2])} as time and rows, not {list(resets.shape)}")


def check_zoneout(cell: RecurrentCell, zoneout: float | Mapping[str, float]) -> dict[str, float]:
    """The probability of each state part that has one.

    Raises:
        UserError: A probability is not in [0, 1), or the cell has no such part.
    """
    by_part = dict(zoneout) if isinstance(zoneout, Mapping) else dict.fromkeys(cell.states, zoneout)
    for part, probability in by_part.items():
        if part not in cell.states:
            raise UserError(
                f"zoneout: {type(cell).__name__} has no state part {part!r} (its parts: {', '.join(cell.states)})"
            )
        if not 0 <= probability < 1:
            raise UserError(f"zoneout must be at least 0 and below 1, not {probability}")
    return by_part
