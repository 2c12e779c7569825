"""Who runs: every cell on every engine, and the torch module it is compared with.

Shape suffixes: T = time steps, B = rows, I = input size, O = output size.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from tqdm import tqdm

from seqlab.benchmarking.results import FORWARD, LeftOut, Result, Size
from seqlab.cells.base import RecurrentCell
from seqlab.errors import UserError
from seqlab.recurrence.choice import choose_engine
from seqlab.recurrence.engines import ENGINES
from seqlab.recurrence.unroll import unroll

KERNELS: dict[str, tuple[type[nn.LSTM] | type[nn.GRU] | type[nn.RNN], dict[str, Any]]] = {
    "lstm": (nn.LSTM, {}),
    "gru": (nn.GRU, {}),
    "rnn": (nn.RNN, {}),
    "rnn_tanh": (nn.RNN, {}),
    "rnn_relu": (nn.RNN, {"nonlinearity": "relu"}),
}
SEED, WARM_UP = 1, 2


class _Unrolled(nn.Module):
    def __init__(self, engine: str, cell: RecurrentCell):
        super().__init__()
        self.engine, self.cell = engine, cell

    def forward(self, x_TBI: Tensor) -> Tensor:
        return unroll(self.cell, x_TBI, engine=self.engine)[0]


class _Torch(nn.Module):
    def __init__(self, rnn: nn.RNNBase):
        super().__init__()
        self.rnn = rnn

    def forward(self, x_TBI: Tensor) -> Tensor:
        return self.rnn(x_TBI)[0]


Way = Callable[[RecurrentCell, Tensor], nn.Module]
"""``(cell, x_TBI) -> module``: a module that maps inputs like ``x_TBI`` to the cell's outputs."""


def ways(device: torch.device) -> dict[str, Way]:
    """The ways to run a cell: every engine and, on a GPU, the factored one in a CUDA graph."""
    found: dict[str, Way] = {engine: partial(_eager, engine) for engine in ENGINES}
    if device.type == "cuda" and "factored" in ENGINES:
        found["factored graphed"] = partial(_graphed, "factored")
    return found


def _eager(engine: str, cell: RecurrentCell, x_TBI: Tensor) -> nn.Module:
    return _Unrolled(engine, cell)


def _graphed(engine: str, cell: RecurrentCell, x_TBI: Tensor) -> nn.Module:
    """The engine's forward and backward pass, each as one CUDA graph.

    It is captured with a copy of the inputs, so that every call brings its own to where the graph reads them.
    """
    sample_TBI = x_TBI.detach().clone().requires_grad_()
    unrolled = _Unrolled(engine, cell)
    return cast(nn.Module, torch.cuda.make_graphed_callables(unrolled, (sample_TBI,), allow_unused_input=True))


def kernel_for(cell: RecurrentCell, kernel: str | None = None) -> tuple[str, Callable[[], nn.RNNBase]]:
    """The torch module that a cell is compared with: its name, and how to make it.

    It is the module that computes the same. For options that no kernel has, and for a subclass, it is the one that
    computes the cell's plain form; for all other cells it is nn.LSTM.

    Args:
        cell: The cell.
        kernel: A name in ``KERNELS`` that is taken instead.
    """
    module, options = KERNELS[kernel or cell.native_kernel or type(cell).native_kernel or "lstm"]
    if kernel is None and cell.native_kernel == "lstm" and cell.output_size != cell.hidden_size:
        options = {"proj_size": cell.output_size}
    name = f"nn.{module.__name__}"
    if options:
        name += f"({', '.join(f'{key}={value}' for key, value in options.items())})"
    return name, partial(module, cell.input_size, cell.hidden_size, **options)


@dataclass
class Contestant:
    """A module that maps inputs to outputs, and what was measured of it."""

    cell: str
    engine: str
    module: nn.Module
    x_TBI: Tensor
    reference: "Contestant | None" = None
    """None for a torch module."""
    chosen: bool = False
    held: int = 0
    """Bytes that it holds from step to step, other than weights: those of a CUDA graph."""
    seconds: dict[str, list[float]] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)
    weight_TBO: Tensor | None = None

    def step(self, work: str) -> None:
        """Does the work once; a training step's loss is the sum of all outputs, each with a random weight."""
        if work == FORWARD:
            with torch.no_grad():
                self.module(self.x_TBI)
            return
        output_TBO = self.module(self.x_TBI)
        if self.weight_TBO is None:
            self.weight_TBO = torch.randn_like(output_TBO)
        output_TBO.backward(self.weight_TBO)

    def clear(self) -> None:
        """Drops the gradients of a step."""
        self.module.zero_grad()
        self.x_TBI.grad = None

    def result(self, size: Size, work: str) -> Result:
        """What was measured of one kind of work."""
        other = self.reference or self
        return Result(
            cell=self.cell,
            engine=self.engine,
            reference=other.cell,
            chosen=self.chosen,
            size=size,
            work=work,
            seconds=tuple(self.seconds[work]),
            reference_seconds=tuple(other.seconds[work]),
            memory=self.memory[work],
        )


def line_up(
    cells: Mapping[str, Callable[[int, int], RecurrentCell]],
    engines: Sequence[str],
    size: Size,
    works: Sequence[str],
    *,
    device: torch.device,
    dtype: torch.dtype,
    kernel: str | None = None,
) -> tuple[list[Contestant], list[LeftOut]]:
    """Makes the contestants for one size and warms them up, which shows who can run.

    Args:
        cells: Makers of cells from input and hidden size, by name.
        engines: Names of :func:`ways`.
        size: Of batch and cells.
        works: What will be timed.
        device: Where the tensors live.
        dtype: Of inputs and weights.
        kernel: The torch kernel for all cells to be compared with; each cell's own if None.

    Returns:
        The contestants, torch's modules first, and what cannot run.
    """
    torch.manual_seed(SEED)
    references: dict[str, Contestant] = {}
    contestants: list[Contestant] = []
    left_out: list[LeftOut] = []
    with _noting(left_out, size, "the inputs"):
        x_TBI = torch.randn(size.steps, size.rows, size.input, device=device, dtype=dtype, requires_grad=True)
    if left_out:
        return [], left_out
    for name, make in tqdm(cells.items(), "warming up", leave=False, disable=None):
        with _noting(left_out, size, name):
            cell = make(size.input, size.hidden).to(device, dtype)
            chosen = choose_engine(cell, x_TBI)
            label, make_kernel = kernel_for(cell, kernel)
            if label not in references:
                with _noting(left_out, size, label, "torch"):
                    references[label] = Contestant(label, "torch", _Torch(make_kernel().to(device, dtype)), x_TBI)
                    _warm_up(references[label], works)
            for engine in engines if label in references else ():
                with _noting(left_out, size, name, engine):
                    before = _reserved(device)
                    module = ways(device)[engine](cell, x_TBI)
                    held = _reserved(device) - before
                    contestant = Contestant(
                        name, engine, module, x_TBI, references[label], chosen=engine == chosen, held=held
                    )
                    _warm_up(contestant, works)
                    contestants.append(contestant)
    needed = [reference for reference in references.values() if any(c.reference is reference for c in contestants)]
    return [*needed, *contestants], list(dict.fromkeys(left_out))


@contextmanager
def _noting(left_out: list[LeftOut], size: Size, cell: str, engine: str = "") -> Iterator[None]:
    """What fails within it is left out; a plugin's cell may raise anything."""
    try:
        yield
    except UserError as error:
        left_out.append(LeftOut(cell, engine, str(error), size))
    except Exception as error:
        first = str(error).strip().partition("\n")[0]
        left_out.append(LeftOut(cell, engine, f"{type(error).__name__}: {first}", size, foreseen=False))


def _warm_up(contestant: Contestant, works: Sequence[str]) -> None:
    """Runs the work until caches are filled and kernels chosen."""
    for work in works:
        for _ in range(WARM_UP):
            contestant.step(work)
            contestant.clear()
    synchronise(contestant.x_TBI.device)


def synchronise(device: torch.device) -> None:
    """Waits until the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _reserved(device: torch.device) -> int:
    """Bytes that torch cannot give back to a GPU: those of tensors and of graphs."""
    if device.type != "cuda":
        return 0
    torch.cuda.empty_cache()
    return torch.cuda.memory_reserved(device)
