"""The sizes at which a model with a given cell has a given number of parameters."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import product
from typing import Any, NamedTuple

import torch
from lightning.pytorch.utilities.seed import isolate_rng
from torch.overrides import TorchFunctionMode

from seqlab.config import Settings
from seqlab.errors import UserError
from seqlab.training.summary import count_parameters

TOLERANCE = 0.01
"""How far the number of parameters may be from what was asked for, as a share of it."""
MOST_SIZE = 100_000
MOST_TRIALS = 64
EXACT = ("bpe", "unigram")
"""Kinds of tokenizers that have as many tokens as was asked for, whatever the text."""


class Sized(NamedTuple):
    """Sizes, and how many parameters the model has with them."""

    sizes: dict[str, int]
    parameters: int

    def __str__(self) -> str:
        return f"{self.parameters:,} ({', '.join(f'model.{name} {size}' for name, size in self.sizes.items())})"


class Counter:
    """Counts the parameters of a recipe's model for a cell and sizes.

    The model is made for it, but with weights that are not the usual ones, since those take longest. Where the size of
    a vocabulary is known from the settings, no data is read.

    Args:
        settings: The settings; their task must say what its sizes are.
    """

    def __init__(self, settings: Settings):
        self.settings = settings
        self._data: Any = None
        self._given = dict(settings.built.model)

    @property
    def base(self) -> dict[str, int]:
        """The settings' own sizes, by the argument of the task; none where the task has none to scale."""
        names = self.settings.task_class.sizes_of(self._given)  # type: ignore[attr-defined]
        return {name: self._given[name] for name in names}

    def __call__(self, cell: str, sizes: Mapping[str, int]) -> int:
        """The number of parameters.

        Raises:
            UserError: There is no model of such sizes.
        """
        model = vars(self.settings.built.model)
        try:
            model.update({"cell": cell, **sizes})
            with isolate_rng(), quick_weights():
                return count_parameters(self._make())
        finally:
            model.update(self._given)

    def _make(self) -> Any:
        if self._data is None and self.needs_no_data:
            task = self.settings.rehearse_task()
            if task is not None:
                return task
        if self._data is None:
            self._data = self.settings.make_data()
        return self.settings.make_task(self._data)

    @property
    def needs_no_data(self) -> bool:
        """Whether every vocabulary is as large as the settings say."""
        data = self.settings.config.data
        kinds = [vars(data[name]).get("kind") for name in vars(data) if name.endswith("tokenizer") and data[name]]
        return all(kind in EXACT for kind in kinds)


class _QuickWeights(TorchFunctionMode):
    """Leaves out the decomposition behind orthogonal weights, whose time grows with the cube of the size."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.linalg.qr:
            matrix = args[0]
            return matrix / math.sqrt(matrix.shape[0]), torch.ones(matrix.shape[1], matrix.shape[1])
        return func(*args, **(kwargs or {}))


@contextmanager
def quick_weights() -> Iterator[None]:
    """Within it, weights that should be orthogonal are random ones of about the same length."""
    with _QuickWeights():
        yield


def solve(count: Callable[[Mapping[str, int]], int], base: Mapping[str, int], wanted: int) -> Sized:
    """The sizes at which a model has nearly a number of parameters: all in the proportions of ``base``.

    Tried first are those whose proportions are exact, then all that are rounded to them, then their neighbours of which
    each size may be one more or less.

    Args:
        count: The number of parameters for some sizes; it raises a UserError where there is no such model.
        base: The sizes in their proportions.
        wanted: How many parameters.

    Raises:
        UserError: No sizes give that many within 1 %; or there is no model even of the base's sizes.
    """
    count(base)  # what is wrong with the cell itself is told as it is
    found: list[Sized] = []
    unit = math.gcd(*base.values())
    for per_step in ({name: size / unit for name, size in base.items()}, _by_the_largest(base)):

        def sizes(step: int, per_step: Mapping[str, float] = per_step) -> dict[str, int]:
            return {name: max(1, math.floor(step * share + 0.5)) for name, share in per_step.items()}

        most = int(MOST_SIZE / max(per_step.values()))
        found += _around(lambda step, sizes=sizes: _try(count, sizes(step)), wanted, 1, most)  # type: ignore[misc]
        best = min(found, key=lambda each: abs(each.parameters - wanted))
        if abs(best.parameters - wanted) <= TOLERANCE * wanted:
            return best
    found += _neighbours(count, best.sizes) if len(base) > 1 else []
    best = min(found, key=lambda each: abs(each.parameters - wanted))
    if abs(best.parameters - wanted) <= TOLERANCE * wanted:
        return best
    raise UserError(_unmet(found, wanted))


def _neighbours(count: Callable[[Mapping[str, int]], int], sizes: Mapping[str, int]) -> list[Sized]:
    """The models of which each size is one more or less, or the same."""
    choices = [[max(1, size + change) for change in (-1, 0, 1)] for size in sizes.values()]
    made = (_try(count, dict(zip(sizes, each, strict=True))) for each in product(*choices))
    return [each for each in made if each is not None]


def _by_the_largest(base: Mapping[str, int]) -> dict[str, float]:
    largest = max(base.values())
    return {name: size / largest for name, size in base.items()}


def _try(count: Callable[[Mapping[str, int]], int], sizes: dict[str, int]) -> Sized | None:
    """None where there is no such model."""
    try:
        return Sized(sizes, count(sizes))
    except UserError:
        return None


def _around(make: Callable[[int], Sized | None], wanted: int, least: int, most: int) -> list[Sized]:
    """The models at two neighbouring steps whose numbers of parameters lie around the one that is wanted.

    By a parabola through the last trials, as the number of parameters is about one of the size, and by halves where it
    is not. A step at which there is no model, such as of too small a size for an option, counts as too small.
    """
    low, high = least - 1, most + 1  # always: too few at low, too many at high
    known: dict[int, Sized] = {}
    step = 8
    for trial in range(MOST_TRIALS):
        made = make(step)
        if made is not None:
            known[step] = made
        if made is None or made.parameters <= wanted:
            low = step
        else:
            high = step
        if high - low <= 1:
            break
        guess = _root(known, wanted) if trial % 4 < 3 else None
        if guess is None:
            guess = (low + high) // 2 if high <= most else 2 * step
        step = min(max(guess, low + 1), high - 1, 8 * (low + 1))
    return [known[step] for step in (low, high) if step in known]


def _root(known: Mapping[int, Sized], wanted: int) -> int | None:
    """Where the parabola through three trials reaches a number, rounded down."""
    if len(known) < 3:
        return None
    (x, a), (y, b), (z, c) = (
        (step, known[step].parameters) for step in sorted(known, key=lambda n: abs(known[n].parameters - wanted))[:3]
    )
    slope, other = (b - a) / (y - x), (c - b) / (z - y)
    bend = (other - slope) / (z - x)
    linear = slope - bend * (x + y)
    constant = a - wanted - linear * x - bend * x * x
    if abs(bend) < 1e-12:
        return math.floor(-constant / linear) if linear > 0 else None
    inside = linear * linear - 4 * bend * constant
    if inside < 0:
        return None
    return math.floor((-linear + math.sqrt(inside)) / (2 * bend) + 1e-9)


def _unmet(found: list[Sized], wanted: int) -> str:
    below = max((each for each in found if each.parameters <= wanted), key=lambda each: each.parameters, default=None)
    above = min((each for each in found if each.parameters > wanted), key=lambda each: each.parameters, default=None)
    nearest = " and ".join(str(each) for each in (below, above) if each is not None)
    return f"no size gives {wanted:,} parameters within {TOLERANCE:.0%}; the nearest: {nearest}"
