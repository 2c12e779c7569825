"""Whether a cell keeps the contract of :class:`~seqlab.cells.base.RecurrentCell`, found out before it is trained."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from seqlab.cells.base import RecurrentCell, State
from seqlab.errors import UserError, with_article

B, T = 3, 2
"""Rows and steps of the trial: unlike each other, and too few to cost anything."""


@torch.no_grad()
def check_contract(cell: RecurrentCell, who: str) -> None:
    """Tries every method of a cell on a few numbers; neither its weights nor the random state change.

    Args:
        cell: The cell, as it will be used.
        who: Its name and supplier, for the message.

    Raises:
        UserError: There is no recurrent product to call ``update`` with; or a method raises an exception, returns
            something of another kind, number or shape than the contract asks for, makes NaN or infinity of finite
            input, or draws random numbers.
    """
    trial = _Trial(cell, who)
    with torch.random.fork_rng(devices=[]):
        trial.run()


def is_elementwise(cell: RecurrentCell) -> bool:
    """Whether ``update`` is all of a step and mixes no units, as far as a trial can tell.

    In each row of the trial one half of the units is changed, and the other must stay as it was. The halves are those
    with a bit of the unit's number set and not set, so that any two units are in different halves in some row.
    """
    size = cell.hidden_size
    maps = (getattr(cell, name, None) for name in ("input", "recurrent"))
    own_step = type(cell).step is not RecurrentCell.step or not all(isinstance(each, nn.Linear) for each in maps)
    if own_step or any(width != size for width in cell.state_sizes):
        return False
    weight, units = cell.recurrent.weight, torch.arange(size)
    generator = torch.Generator().manual_seed(1)
    bits = range(max(1, (size - 1).bit_length()))
    kept_B1H = torch.stack([(units >> bit & 1) == side for bit in bits for side in (0, 1)])[:, None]

    def draw(width: int) -> Tensor:
        return torch.randn(len(kept_B1H), width // size, size, generator=generator)

    widths = [cell.input.out_features, weight.shape[0], *cell.state_sizes]
    first, second = ([draw(width) for width in widths] for _ in range(2))
    second = [torch.where(kept_B1H, kept, changed) for kept, changed in zip(first, second, strict=True)]
    with torch.no_grad():
        results = []
        for parts in (first, second):
            gx, gh, *state = (part.flatten(1).to(weight) for part in parts)
            results.append([part[kept_B1H[:, 0].to(part.device)] for part in cell.update(gx, gh, tuple(state))])
    return all(torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(*results, strict=True))


class _Trial:
    """One cell, tried on random input."""

    def __init__(self, cell: RecurrentCell, who: str):
        self.cell, self.who = cell, who
        weight = next(cell.parameters(), torch.empty(0))
        self.like = weight.new_empty(0, dtype=weight.dtype if weight.is_floating_point() else None)

    def run(self) -> None:
        cell = self.cell
        if type(cell).step is RecurrentCell.step and not hasattr(cell, "recurrent"):
            gates = "gates" if cell.recurrent_gates is None else "recurrent_gates"
            raise UserError(
                f"{self.who}: with {gates} = () there is no recurrent product gh: override step(gx, state), "
                "not update(gx, gh, state)"
            )
        x_TBI = self._draw(T, B, cell.input_size)
        state = self._call("initial_state", cell.initial_state, B, x_TBI[0])
        self._state("initial_state", state, (B,))
        state = tuple(part + self._draw(B, size) for part, size in zip(state, cell.state_sizes, strict=True))
        gx_TBG = self._call("project", cell.project, x_TBI)
        self._tensor("project", gx_TBG, (T, B, None), "projected inputs")
        step = "update" if type(cell).step is RecurrentCell.step else "step"
        states = [state]
        for gx_BG in gx_TBG:
            states.append(self._call(step, cell.step, gx_BG, states[-1]))
            self._state(step, states[-1], (B,))
        again = self._call(step, cell.step, gx_TBG[0], state)
        if not all(torch.equal(a, b) for a, b in zip(again, states[1], strict=True)):
            self._fail(step, "gave two states for one input and state: it keeps something on itself")
        parts = [torch.stack(part) for part in zip(*states, strict=True)]
        previous, new = tuple(part[:-1] for part in parts), tuple(part[1:] for part in parts)
        output = self._call("readout", cell.readout, x_TBI, previous, new)
        self._tensor("readout", output, (T, B, cell.output_size), "output")
        if type(cell).sequence is not RecurrentCell.sequence:
            self._state("sequence", self._call("sequence", cell.sequence, gx_TBG, state), (T, B))

    def _draw(self, *shape: int) -> Tensor:
        generator = torch.Generator().manual_seed(math.prod(shape))
        return torch.randn(shape, generator=generator).to(self.like)

    def _call(self, method: str, function: Callable[..., Any], *arguments: Any) -> Any:
        before = torch.get_rng_state()
        try:
            result = function(*arguments)
        except UserError:
            raise
        except Exception as error:  # whatever the cell's author has left in it
            self._fail(method, f"raised {type(error).__name__}: {' '.join(str(error).split())}", error)
        if not torch.equal(before, torch.get_rng_state()):
            self._fail(method, "draws random numbers (dropout belongs to the driver)")
        return result

    def _state(self, method: str, state: State, leading: tuple[int, ...]) -> None:
        names, sizes = self.cell.states, self.cell.state_sizes
        expected = f"a tuple of {len(names)} ({', '.join(names)})"
        if isinstance(state, Tensor) or not isinstance(state, tuple | list):
            self._fail(method, f"returned {with_article(type(state).__name__)}, expected {expected}")
        if len(state) != len(names):
            self._fail(method, f"returned {len(state)} state parts, expected {expected}")
        for name, part, size in zip(names, state, sizes, strict=True):
            self._tensor(method, part, (*leading, size), f"state part {name!r}")

    def _tensor(self, method: str, value: Any, shape: tuple[int | None, ...], what: str) -> None:
        if not isinstance(value, Tensor):
            self._fail(method, f"returned {what} as {with_article(type(value).__name__)}, expected a tensor")
        found = tuple(value.shape)
        same = len(found) == len(shape) and all(b is None or a == b for a, b in zip(found, shape, strict=True))
        if not same:
            wanted = ", ".join("any" if size is None else str(size) for size in shape)
            self._fail(method, f"returned {what} of shape [{', '.join(map(str, found))}], expected [{wanted}]")
        if not value.isfinite().all():
            self._fail(method, f"made NaN or infinity of finite input ({what})")

    def _fail(self, method: str, problem: str, cause: Exception | None = None) -> Any:
        raise UserError(f"{self.who}: {method} {problem}") from cause
