"""How far a cell's gates are saturated, and what they are called.

A gate that is nearly always closed or open passes next to no gradient to what controls it (A. Karpathy, J. Johnson and
L. Fei-Fei, "Visualizing and understanding recurrent networks", 2015, whose bounds these are). Activations are found
where they happen: in the calls of sigmoid, tanh and relu that a cell makes.

Shape suffixes: T = time steps, B = rows, W = width of an activation, H = hidden size.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from seqlab.cells.base import RecurrentCell
from seqlab.diagnosis.numbers import plain

BOUNDS = {
    "sigmoid": (0.1, 0.9),
    "hardsigmoid": (0.1, 0.9),
    "tanh": (-0.9, 0.9),
    "hardtanh": (-0.9, 0.9),
    "relu": (0.0, torch.inf),
}
"""Below the first an activation is saturated on the left, above the second on the right; at 0 a relu is dead."""
ROWS = 19
"""Rows of the inputs by which gates are named: an activation of something else, such as a weight, has other rows."""


class Activation(NamedTuple):
    """A call of an activation function."""

    function: str
    given: Tensor
    result: Tensor


class Slot(NamedTuple):
    """Some columns of what a call gives."""

    name: str
    columns: slice


class Activations(TorchFunctionMode):
    """Within it, calls of the functions of :data:`BOUNDS` are taken down, whether functions, methods or modules make
    them."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Activation] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        function = name.removesuffix("_")
        given = args[0] if args else (kwargs or {}).get("input")
        if function not in BOUNDS or not isinstance(given, Tensor):
            return func(*args, **(kwargs or {}))
        given = given.clone() if name.endswith("_") else given
        result = func(*args, **(kwargs or {}))
        self.calls.append(Activation(function, given, result.detach().clone()))
        return result


class GateStatistics:
    """Counts how much of a cell's activations is saturated.

    Args:
        cell: The cell.
    """

    def __init__(self, cell: RecurrentCell):
        self.slots = name_gates(cell)
        self._functions: dict[str, str] = {}
        self._sums: dict[str, Tensor] = {}

    @contextmanager
    def during(self, phase: str, real: Tensor) -> Iterator[None]:
        """Counts what is called within.

        Args:
            phase: ``project``, ``step`` or ``readout``.
            real: True ``[B]`` or ``[T, B]`` where a step is not padding.
        """
        with Activations() as mode:
            yield
        for call, slots in zip(mode.calls, self.slots[phase], strict=False):
            for name, columns in slots:
                self._add(name, call.function, call.result[..., columns][real])

    def _add(self, name: str, function: str, values: Tensor) -> None:
        left, right = BOUNDS[function]
        below = values <= left if function == "relu" else values < left
        counts = [values.new_tensor(values.numel()), below.sum(), (values > right).sum(), values.sum()]
        sums = torch.stack([count.to(torch.double) for count in counts]).cpu()
        self._functions[name] = function
        self._sums[name] = self._sums.get(name, 0) + sums

    def report(self) -> list[dict[str, Any]]:
        """For each gate the shares of its values that are saturated, and their mean."""
        found = []
        for name, sums in self._sums.items():
            count, left, right, total = sums.tolist()
            if count:
                shares = {"left": plain(left / count), "right": plain(right / count), "mean": plain(total / count)}
                found.append({"name": name, "function": self._functions[name], **shares})
        return found


class _Leaf(NamedTuple):
    """Blocks with names, on which activations may depend."""

    names: Sequence[str]
    zeros: Tensor


def name_gates(cell: RecurrentCell) -> dict[str, list[list[Slot]]]:
    """What the activations of a cell are called, by phase and call.

    An activation is named by the block of the projected input, or of a linear map of the cell, that its argument
    depends on, where there is just one whose name no activation before it has. So a candidate that depends on a reset
    gate and on its own block has its own name. ``1 - z`` is the sigmoid of the negative; ``tanh(c)`` that of a new
    state part; what has no name is counted, as in ``tanh 2``. A call that repeats one before it, or is of a weight,
    gets no slot.
    """
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        return _Naming(cell).slots


class _Naming:
    def __init__(self, cell: RecurrentCell):
        self.cell, self.taken = cell, set[str]()
        self.counts: dict[str, int] = {}
        self.own: _Leaf | None = None
        """The blocks of the projected input, where these are the gates."""
        self.maps: dict[nn.Module, _Leaf] = {}
        self.seen: list[Activation] = []
        self.slots: dict[str, list[list[Slot]]] = {}
        weight = next(cell.parameters(), torch.empty(0))
        generator = torch.Generator().manual_seed(1)

        def draw(width: int) -> Tensor:
            return torch.randn(ROWS, width, generator=generator).to(weight)

        x, state = draw(cell.input_size), tuple(0.3 * draw(size) for size in cell.state_sizes)
        with ExitStack() as hooks:
            for layer in cell.modules():
                if isinstance(layer, nn.Linear) and _blocks(cell, layer):
                    handle = layer.register_forward_hook(self._tap)
                    hooks.callback(handle.remove)
            with Activations() as mode:
                gx = cell.project(x)
            self._name("project", mode.calls, ())
            gates = cell.gates
            if gates and self.maps.get(cell.input) and gx.shape[-1] == len(gates) * cell.hidden_size:
                self.own = _Leaf(gates, torch.zeros_like(gx, requires_grad=True))
                gx = gx.detach() + self.own.zeros
            with Activations() as mode:
                new = tuple(cell.step(gx, state))
            self._name("step", mode.calls, new)
            self.own = None if self.own is None else _Leaf((), self.own.zeros)
            with Activations() as mode:
                cell.readout(x, state, tuple(part.detach() for part in new))
            self._name("readout", mode.calls, ())

    def _tap(self, layer: nn.Module, args: Any, result: Tensor) -> Tensor:
        zeros = torch.zeros_like(result, requires_grad=True)
        self.maps[layer] = _Leaf(_blocks(self.cell, layer), zeros)
        return result + zeros

    def _name(self, phase: str, calls: Sequence[Activation], new: Sequence[Tensor]) -> None:
        self.slots[phase] = []
        for call in calls:
            of_rows = call.given.dim() == 2 and len(call.given) == ROWS
            self.slots[phase].append(self._slots(call, new) if of_rows and not self._is_repeated(call) else [])
            self.seen.append(call)

    def _is_repeated(self, call: Activation) -> bool:
        return any(call.function == other.function and torch.equal(call.given, other.given) for other in self.seen)

    def _slots(self, call: Activation, new: Sequence[Tensor]) -> list[Slot]:
        number = self.counts[call.function] = self.counts.get(call.function, 0) + 1
        width, size = call.given.shape[-1], self.cell.hidden_size
        for block in (width, size):
            names = [
                self._gate(call.function, call.given[..., start : start + block]) for start in range(0, width, block)
            ]
            if None not in names and len(set(names)) == len(names) and width % block == 0:
                self.taken.update(name for name in names if name is not None)
                starts = range(0, width, block)
                return [Slot(str(name), slice(at, at + block)) for name, at in zip(names, starts, strict=True)]
        for name, part in zip(self.cell.states, new, strict=False):
            if part.shape == call.given.shape and torch.equal(part, call.given):
                return [Slot(f"{call.function}({name})", slice(None))]
        return [Slot(f"{call.function} {number}", slice(None))]

    def _gate(self, function: str, given: Tensor) -> str | None:
        """The one gate that an argument depends on and that no activation has yet."""
        if not given.requires_grad:
            return None
        has_own = {self.cell.input, getattr(self.cell, "recurrent", None)} if self.own is not None else set()
        others = [leaf for layer, leaf in self.maps.items() if layer not in has_own]
        for leaves in ([self.own] if self.own is not None else [], others):
            signs = self._depends(given, leaves)
            free = {name: sign for name, sign in signs.items() if name not in self.taken}
            if len(free) == 1:
                (name,) = free
                negative = function == "sigmoid" and len(signs) == 1 and free[name] < 0
                return f"1 - {name}" if negative else name
        return None

    @staticmethod
    def _depends(given: Tensor, leaves: Sequence[_Leaf]) -> dict[str, float]:
        """The blocks that something depends on, with the sign of that where it is the same for all units, else 0."""
        signs: dict[str, float] = {}
        if not leaves:
            return signs
        gradients = torch.autograd.grad(
            given.sum(), [leaf.zeros for leaf in leaves], retain_graph=True, materialize_grads=True
        )
        for leaf, gradient in zip(leaves, gradients, strict=True):
            for name, block in zip(leaf.names, gradient.chunk(max(1, len(leaf.names)), -1), strict=False):
                if block.any():
                    signs[name] = -1.0 if bool((block < 0).all()) else signs.get(name, 0.0)
        return signs


def _blocks(cell: RecurrentCell, layer: nn.Module) -> Sequence[str]:
    """The names of the blocks that a linear map produces, where they are known."""
    named: Sequence[str] = vars(layer).get("blocks", ())
    if not named and cell.gates and layer is cell.input:
        return cell.gates
    if not named and layer is getattr(cell, "recurrent", None):
        return cell.gates if cell.recurrent_gates is None else cell.recurrent_gates
    return named
