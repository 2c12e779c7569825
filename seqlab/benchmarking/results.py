"""What was measured: ratios with their spread, as a table, as JSON and as a picture. Nothing here needs torch."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from seqlab.plots import BLUE

TRAINING, FORWARD = "training step", "forward"
"""The work that is timed: a forward and a backward pass, or a forward pass alone, without gradients."""
GREY, BLACK = "#AAAAAA", "#000000"
TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 20, 30, 50, 100, 200, 500)
NEAR_TICKS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.3, 1.4, 1.6, 1.8, 2, 2.5)
"""For ratios that are all within a factor of 2.5."""


class Size(NamedTuple):
    """Of a batch and of a cell."""

    rows: int
    hidden: int
    steps: int
    input: int

    def __str__(self) -> str:
        return f"{self.rows} rows x {self.hidden} hidden x {self.steps} steps, input {self.input}"


class Spread(NamedTuple):
    """Smallest value, lower quartile, median, upper quartile and largest value."""

    smallest: float
    lower: float
    median: float
    upper: float
    largest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """The spread of one value or more; a quartile between two values is interpolated."""
        lower, median, upper = statistics.quantiles(values, method="inclusive") if len(values) > 1 else [*values] * 3
        return cls(min(values), lower, median, upper, max(values))


@dataclass(frozen=True)
class Result:
    """What one contestant reached at one size.

    Args:
        cell: The cell as it was asked for, or torch's module.
        engine: How it was run; ``torch`` for torch's module.
        reference: The torch module that it is compared with.
        chosen: Whether seqlab would choose this engine.
        size: Of batch and cell.
        work: :data:`TRAINING` or :data:`FORWARD`.
        seconds: Its time in every round.
        reference_seconds: The reference's time in the same rounds.
        memory: Peak memory in bytes; see :func:`seqlab.benchmarking.measuring.peak_memory`.
    """

    cell: str
    engine: str
    reference: str
    chosen: bool
    size: Size
    work: str
    seconds: tuple[float, ...]
    reference_seconds: tuple[float, ...]
    memory: int

    @property
    def ratios(self) -> tuple[float, ...]:
        """Its time over the reference's, round by round: above 1 is slower."""
        return tuple(own / other for own, other in zip(self.seconds, self.reference_seconds, strict=True))

    @property
    def milliseconds(self) -> float:
        """The median of its times."""
        return 1000 * statistics.median(self.seconds)

    @property
    def tokens_per_second(self) -> float:
        """Rows x steps over the median of its times."""
        return self.size.rows * self.size.steps / statistics.median(self.seconds)

    @property
    def is_reference(self) -> bool:
        """Whether it is torch's module itself."""
        return self.cell == self.reference

    def as_json(self) -> dict[str, Any]:
        """Everything that is known of it, in the units its names say."""
        return {
            "cell": self.cell,
            "engine": self.engine,
            "chosen": self.chosen,
            "size": self.size._asdict(),
            "work": self.work,
            "reference": self.reference,
            "ratio": Spread.of(self.ratios)._asdict(),
            "milliseconds": self.milliseconds,
            "tokens_per_second": self.tokens_per_second,
            "peak_memory_bytes": self.memory,
            "rounds": {"seconds": self.seconds, "reference_seconds": self.reference_seconds, "ratios": self.ratios},
        }


class LeftOut(NamedTuple):
    """What could not be measured, and why."""

    cell: str
    engine: str
    """Empty for all of the cell's engines."""
    reason: str
    size: Size | None = None
    foreseen: bool = True
    """Whether seqlab says so itself, as an engine does of a cell that it is not made for."""

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return {**self._asdict(), "size": self.size and self.size._asdict()}

    def __str__(self) -> str:
        return f"{self.cell}{self.engine and ', '}{self.engine}: {self.reason}"


COLUMNS = ("cell", "engine", "ms", "ratio", "compared with", "tokens/s", "memory")
LEFT = (True, True, False, False, True, False, False)
"""Which of the columns are aligned on the left."""


def panels(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Results that may be compared, under a title that says of what size and work."""
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(f"{result.size}: {result.work}", []).append(result)
    return found


def table(results: Sequence[Result]) -> str:
    """A table for a terminal, grouped by size and work."""
    groups = {title: [_row(result) for result in group] for title, group in panels(results).items()}
    widths = [max(map(len, column)) for column in zip(COLUMNS, *chain.from_iterable(groups.values()), strict=True)]

    def line(cells: Sequence[str]) -> str:
        aligned = zip(cells, widths, LEFT, strict=True)
        return "  ".join(cell.ljust(width) if left else cell.rjust(width) for cell, width, left in aligned).rstrip()

    return "\n\n".join("\n".join([title, *map(line, [COLUMNS, *rows])]) for title, rows in groups.items())


def _row(result: Result) -> tuple[str, ...]:
    spread = Spread.of(result.ratios)
    return (
        result.cell,
        f"{result.engine} *" if result.chosen else result.engine,
        f"{result.milliseconds:.{0 if result.milliseconds >= 1000 else 1 if result.milliseconds >= 10 else 3}f}",
        "1" if result.is_reference else f"{spread.median:.2f} [{spread.lower:.2f}, {spread.upper:.2f}]",
        "" if result.is_reference else result.reference,
        f"{result.tokens_per_second:,.0f}",
        f"{result.memory / 2**20:,.1f} MiB" if result.memory >= 2**20 else f"{result.memory / 2**10:,.1f} KiB",
    )


def draw(results: Sequence[Result], picture: Path, title: str) -> None:
    """Draws the ratios as bars from 1, where torch's module stands, with the quartiles as whiskers; a panel per size.

    Args:
        results: At least one of a cell.
        picture: The PNG file to write.
        title: Title of the picture.
    """
    import matplotlib  # half a second to import, and only needed here

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.patches import Patch
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    groups = panels([result for result in results if not result.is_reference])
    heights = [len(group) + 1.5 for group in groups.values()]
    figure, axes = pyplot.subplots(
        len(groups),
        figsize=(9, 0.24 * sum(heights) + 1.4),
        height_ratios=heights,
        sharex=True,
        squeeze=False,
        layout="constrained",
    )
    for axis, (name, group) in zip(axes.flat, groups.items(), strict=True):
        for place, result in enumerate(group):
            spread = Spread.of(result.ratios)
            axis.barh(place, spread.median - 1, left=1, height=0.7, color=BLUE if result.chosen else GREY)
            axis.plot([spread.lower, spread.upper], [place, place], color=BLACK, linewidth=1.2, marker="|")
            axis.annotate(
                f"{spread.median:.2f} × {result.reference}",
                (max(spread.upper, 1), place),
                xytext=(6, 0),
                textcoords="offset points",
                verticalalignment="center",
                fontsize=8,
            )
        axis.axvline(1, color=BLACK, linewidth=0.8)
        axis.set_yticks(range(len(group)), [f"{result.cell}  {result.engine}" for result in group], fontsize=9)
        axis.invert_yaxis()
        axis.set_title(name, loc="left", fontsize=10)
        axis.grid(axis="x", alpha=0.3)
        axis.set_axisbelow(True)
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.tick_params(axis="y", length=0)
    spreads = [Spread.of(result.ratios) for group in groups.values() for result in group]
    lowest, highest = min(0.95, *(spread.lower for spread in spreads)), max(1.05, *(spread.upper for spread in spreads))
    last = axes.flat[-1]
    last.set_xscale("log")  # twice as fast is as far from 1 as half as fast
    room = 0.1 + 0.03 * max(len(result.reference) for group in groups.values() for result in group)
    last.set_xlim(lowest / (highest / lowest) ** 0.05, highest * (highest / lowest) ** room)
    last.xaxis.set_major_locator(FixedLocator(NEAR_TICKS if highest < 2.5 * lowest else TICKS))
    last.xaxis.set_minor_locator(NullLocator())
    last.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    last.set_xlabel("time over that of torch's module in the same round: median, quartiles; less is faster", fontsize=9)
    figure.suptitle(title, fontsize=10, horizontalalignment="left", x=0.01)
    marks = [Patch(color=BLUE, label="what seqlab would choose"), Patch(color=GREY, label="other engines")]
    figure.legend(handles=marks, loc="outside lower left", ncols=2, fontsize=8, frameon=False)
    figure.savefig(picture, dpi=130)
    pyplot.close(figure)
