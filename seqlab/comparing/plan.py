"""What is compared: from flags to runs, and the file that remembers it."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from seqlab import registry
from seqlab.errors import UserError
from seqlab.files import write_text
from seqlab.runs import Run
from seqlab.specs import parse_cell, read_yaml, split_cells

FILE, FORMAT, RESULTS = "comparison.yaml", 1, "results.json"
UNITS = {"k": 10**3, "m": 10**6, "g": 10**9}
MOST_PARAMETERS = 10**9
MOST_SEEDS = 1000
OWN = {"seed": "--seeds", "model.cell": "--cells"}
"""Flags of a fit that a comparison sets itself, and by which of its own."""
SIDES = ("encoder_cell", "decoder_cell")


@dataclass(frozen=True)
class Asked:
    """What was asked for: it makes a comparison what it is.

    Args:
        recipe: The recipe.
        cells: The cells as they were spelled; the others are tested against the first.
        seeds: The seeds.
        budget: ``{"steps": N}``, ``{"tokens": N}`` or ``{"minutes": X}``; empty for the recipe's own end.
        parameters: How many parameters each model has; None for the recipe's sizes.
        flags: All other flags, which every fit gets as they are.
    """

    recipe: str
    cells: tuple[str, ...]
    seeds: tuple[int, ...]
    budget: dict[str, float] = field(default_factory=dict)
    parameters: int | None = None
    flags: tuple[str, ...] = ()

    def command(self, out: Path) -> str:
        """The command that asks for it."""
        words = ["seqlab", "compare", "--recipe", self.recipe, "--cells", ",".join(self.cells)]
        words += ["--seeds", ",".join(map(str, self.seeds)) + ("," if len(self.seeds) == 1 else "")]
        words += [part for name, value in self.budget.items() for part in (f"--{name}", str(value))]
        words += [] if self.parameters is None else ["--parameters", str(self.parameters)]
        return shlex.join([*words, *self.flags, "--out", str(out)])


@dataclass(frozen=True)
class Plan:
    """What was asked for, and what follows from it on this data.

    Args:
        asked: What was asked for.
        recipe_sha256: Of the recipe's file, by which it is known again.
        monitor: The validation score that chooses the best checkpoint.
        mode: ``max`` if more of it is better, else ``min``.
        metrics: The recipe's scores.
        unit: What speed counts.
        split: What the runs are scored on in the end.
        ends: For each seed the flags that end its runs.
        sizes: For each cell the settings that give its model its size.
        budget: The budget, the recipe's own where none was asked for.
    """

    asked: Asked
    recipe_sha256: str
    monitor: str
    mode: str
    metrics: list[str]
    unit: str
    split: str
    ends: dict[int, list[str]]
    sizes: dict[str, dict[str, int]]
    budget: dict[str, float]

    def run(self, out: Path, cell: str, seed: int) -> Run:
        """The run of a cell and a seed."""
        return Run(out / "runs" / folder_names(self.asked.cells)[cell] / f"seed-{seed}")

    def flags(self, cell: str, seed: int) -> list[str]:
        """The flags of its fit."""
        sizes = [part for name, size in self.sizes[cell].items() for part in (f"--{name}", str(size))]
        sized = sizes if self.asked.parameters is not None else []
        return [*self.asked.flags, "--model.cell", cell, *sized, *self.ends[seed], "--seed", str(seed)]

    def write(self, out: Path) -> None:
        """Puts it into the directory of the comparison."""
        asked, found = dict(vars(self.asked)), {key: value for key, value in vars(self).items() if key != "asked"}
        asked |= {name: list(asked[name]) for name in ("cells", "seeds", "flags")}
        found["budget"] = dict(found["budget"])  # another one, lest YAML refer to the first
        found["ends"] = {str(seed): flags for seed, flags in self.ends.items()}
        write_text(out / FILE, yaml.safe_dump({"format": FORMAT, **asked, "found": found}, sort_keys=False))


def is_comparison(path: Path) -> bool:
    """Whether a directory is that of a comparison."""
    return any((path / name).is_file() for name in (FILE, RESULTS))


def counted(number: float, plural: str) -> str:
    """How many there are of something: ``3 runs``, ``1 run``."""
    return f"{number:,} {plural.removesuffix('s') if number == 1 else plural}"


def read_plan(out: Path) -> Plan:
    """The plan of a comparison.

    Raises:
        UserError: The directory holds none, or one that cannot be read.
    """
    path = out / FILE
    if not path.is_file():
        raise UserError(f"{out} holds no comparison (no {FILE}): begin one with --recipe and --cells")
    values = read_yaml(path)
    if values.get("format") != FORMAT:
        raise UserError(f"{path} is of another version of seqlab (format {values.get('format')!r}, not {FORMAT})")
    try:
        found = values.pop("found")
        asked = {name: value for name, value in values.items() if name != "format"}
        asked |= {name: tuple(asked[name]) for name in ("cells", "seeds", "flags")}
        found["ends"] = {int(seed): flags for seed, flags in found["ends"].items()}
        return Plan(Asked(**asked), **found)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path} is damaged: {error}; take another --out DIR") from error


def check_same(out: Path, before: Plan, asked: Asked, recipe_sha256: str) -> None:
    """Makes sure that what is asked for is the comparison that a directory holds.

    Raises:
        UserError: It is another one.
    """
    for name, now in vars(asked).items():
        was = vars(before.asked)[name]
        if was != now:
            raise UserError(
                f"{out} holds another comparison: its {name} {_is(name, was)}, not {_told(now)}; take another --out DIR"
            )
    if before.recipe_sha256 != recipe_sha256:
        raise UserError(
            f"{out} holds a comparison by another version of the recipe {asked.recipe}, which has changed since; take "
            "another --out DIR"
        )


def _is(name: str, value: Any) -> str:
    return f"{'are' if name.endswith('s') else 'is'} {_told(value)}"


def _told(value: Any) -> str:
    """A value as its flag spells it."""
    if isinstance(value, Mapping):
        return " ".join(counted(number, name) for name, number in value.items()) or "the recipe's own"
    if isinstance(value, tuple):
        return (" " if any(str(each).startswith("--") for each in value) else ",").join(map(str, value)) or "none"
    return "the recipe's own" if value is None else str(value)


# ---------------------------------------------------------------------------------------------------- flags to values


def read_cells(text: str) -> tuple[str, ...]:
    """The cells of ``--cells``; see :func:`seqlab.specs.split_cells`.

    Raises:
        UserError: There is none, one is not installed, or one is there twice.
    """
    cells = split_cells(text)
    if not cells:
        raise UserError("--cells names no cell (see: seqlab cells)")
    known: dict[str, str] = {}
    for cell in cells:
        name, options = parse_cell(cell)
        registry.find(registry.CELLS, name)
        key = repr((name, sorted(options.items(), key=lambda item: item[0])))
        if key in known:
            same = "" if known[key] == cell else f", as {known[key]}"
            raise UserError(f"--cells has {cell} twice{same}: leave one of them out")
        known[key] = cell
    return tuple(cells)


def read_seeds(text: str) -> tuple[int, ...]:
    """The seeds of ``--seeds``: a number N is 1 to N, a list with commas is just these.

    Raises:
        UserError: It is neither, there is none, or one is there twice.
    """
    parts = [part.strip() for part in text.split(",")]
    exact = len(parts) > 1
    if not all(re.fullmatch(r"\d{1,10}", part, re.ASCII) for part in parts if part or not exact) or not any(parts):
        raise UserError(f"--seeds {text}: give how many, such as 3, or which, such as 4,7")
    numbers = tuple(int(part) for part in parts if part)
    if not exact:
        if not 1 <= numbers[0] <= MOST_SEEDS:
            raise UserError(f"--seeds {text}: there must be at least 1 and at most {MOST_SEEDS:,}")
        return tuple(range(1, numbers[0] + 1))
    if len(set(numbers)) < len(numbers):
        raise UserError(f"--seeds {text} has a seed twice: leave one of them out")
    if max(numbers) >= 2**32:
        raise UserError(f"--seeds {text}: a seed must be between 0 and {2**32 - 1}")
    return numbers


def read_number(name: str, text: str, most: float, *, whole: bool = True) -> float:
    """A positive number, which may end in k, M or G.

    Raises:
        UserError: It is none, or too large.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?(?:e\d{1,2})?)([kmg]?)", text.strip().lower().replace("_", ""), re.ASCII)
    value = float(match[1]) * UNITS.get(match[2], 1) if match else 0
    if not 0 < value <= most or (whole and value < 1):
        what = "a whole number" if whole else "a number"
        raise UserError(f"--{name} {text}: give {what} above 0 and at most {most:,.0f}, such as 300k or 5M")
    return round(value) if whole else value


def check_flags(flags: Sequence[str], budget: Mapping[str, float]) -> None:
    """Refuses flags that the comparison sets itself, and a second budget.

    Raises:
        UserError: There is such a flag.
    """
    names = [flag.removeprefix("--").partition("=")[0] for flag in flags if flag.startswith("--")]
    for name in names:
        if name in OWN:
            raise UserError(f"--{name} is set by the comparison: give {OWN[name]}")
        if budget and name in ("trainer.max_steps", "trainer.max_epochs", "trainer.max_time"):
            if name == "trainer.max_steps" and "minutes" in budget:
                continue  # where a schedule ends
            raise UserError(f"two budgets, --{next(iter(budget))} and --{name}: give one of them")
    if all(f"model.{side}" in names for side in SIDES):
        raise UserError(f"--model.{SIDES[0]} and --model.{SIDES[1]} leave --cells without effect: give at most one")


def folder_names(cells: Sequence[str]) -> dict[str, str]:
    """For each cell the name of its folder: its spelling without what a file's name should not have."""
    names: dict[str, str] = {}
    for cell in cells:
        plain = re.sub(r"[^\w.-]+", "-", cell).strip("-.") or "cell"
        name, number = plain, 2
        while name.lower() in {other.lower() for other in names.values()}:
            name, number = f"{plain}-{number}", number + 1
        names[cell] = name
    return names
