"""What a pass over a split leaves: scores, what they are computed from, and outputs that are text.

Shape suffix: U = windows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seqlab.data.encoded_text import Sizes
from seqlab.data.language_text import EVALUATION_TOKENS
from seqlab.evaluation.units import Arguments, cut_outputs
from seqlab.metrics import Metric
from seqlab.metrics.bootstrap import unit_statistics
from seqlab.tasks.base import Outputs, Task

Text = str | list[str]


@dataclass
class Score:
    """A score.

    Args:
        value: The score.
        signature: How it was computed.
        metric: What computes it.
        statistics: What the score is computed from, of each unit of the data alone, in the order of the data.
        unit: What a unit is.
    """

    value: float
    signature: str
    metric: Metric
    statistics: np.ndarray
    unit: str


class Collected:
    """The outputs of a task for the batches of a split.

    Args:
        task: The task, whose metrics the batches are added to.
    """

    def __init__(self, task: Task):
        self.task: Any = task
        self._statistics: dict[str, dict[int, np.ndarray]] = {}
        """For each score the statistics of its units, by their numbers."""
        self._units: dict[str, str] = {}
        """What the units of an output are."""
        self._sizes: list[int] = []
        """Tokens of each stretch of running text."""
        self._windows: list[tuple[int, Arguments]] = []
        """Windows of running text, as the output ``sized_tokens``, and the stretch that each is of."""
        self._texts: dict[str, dict[int, dict[str, Text]]] = {}
        """Outputs that are text: for each output the parts of each example."""
        self._nll: dict[int, tuple[float, int]] = {}
        """Negative log-likelihood and number of tokens of each example, where tokens are of one example each."""

    def take(self, steps: Iterable[tuple[Any, Outputs]]) -> None:
        """Goes through batches and their outputs, which are added to the metrics meanwhile."""
        for batch, outputs in steps:
            examples = batch.index_B.tolist()
            stretch = self._stretch(batch)
            for output, units in cut_outputs(outputs, len(examples), self.task.example_of_tokens(batch)).items():
                whole = len(units) == 1 and units[0] is outputs[output]
                self._units.setdefault(output, _name(batch) if whole else self.task.example)
                if whole and output == "sized_tokens":
                    self._windows.append((stretch, outputs[output]))
                    continue
                self._add(output, [stretch] if whole else examples, units)
                if output == "tokens" and not whole:
                    for example, unit in zip(examples, units, strict=True):
                        self._nll[example] = float(unit["nll"].double().sum()), len(unit["nll"])
                if not whole and all(isinstance(value, list) for value in outputs[output].values()):
                    rows = ({name: value[0] for name, value in unit.items()} for unit in units)
                    self._texts.setdefault(output, {}).update(zip(examples, rows, strict=True))
        if self._windows:
            stretches, windows = zip(*self._windows, strict=True)
            self._add("sized_tokens", stretches, spread_sizes(windows))

    def _stretch(self, batch: Any) -> int:
        """The stretch of running text that a batch is of: windows are put together, since what is near is alike."""
        if not self._sizes or self._sizes[-1] + batch.tokens / 2 > EVALUATION_TOKENS:
            self._sizes.append(0)
        self._sizes[-1] += batch.tokens
        return len(self._sizes) - 1

    def _add(self, output: str, numbers: Sequence[int], units: Sequence[Arguments]) -> None:
        for name, metric in self.task.metrics.items():
            if metric.needs == output:
                known = self._statistics.setdefault(name, {})
                for number, sums in zip(numbers, unit_statistics(metric, units), strict=True):
                    known[number] = known[number] + sums if number in known else sums

    def scores(self, suffix: str = "", adapted: str = "") -> dict[str, Score]:
        """The scores of all that was taken.

        Args:
            suffix: Ends their names.
            adapted: Ends their signatures.
        """
        values = {name: float(value) for name, value in self.task.compute_metrics().items()}
        signatures = self.task.signatures()  # now that the scores are computed, which some of them tell of
        scores = {}
        for name, value in values.items():
            metric, found = self.task.metrics[name], self._statistics[name]
            statistics = np.stack([found[number] for number in sorted(found)])
            scores[name + suffix] = Score(
                value, signatures[name] + adapted, metric, statistics, self._units[metric.needs]
            )
        return scores

    def texts(self) -> dict[str, dict[str, list[Text]]]:
        """Outputs that are text: for each output, for each of its parts, the examples in their order."""
        found = {}
        for output, rows in self._texts.items():
            ordered = [rows[number] for number in sorted(rows)]
            found[output] = {part: [row[part] for row in ordered] for part in ordered[0]}
        return found

    def log_probabilities(self) -> list[tuple[float, int]]:
        """Log-probability and number of tokens of each example; none where text is not scored by examples."""
        return [(-nll, count) for _, (nll, count) in sorted(self._nll.items())]


def spread_sizes(windows: Sequence[Arguments]) -> list[Arguments]:
    """Windows of text with sizes in proportion to their tokens, which add up to the same.

    The size of a whole stream is told with its first window alone, and each is to be drawn with its own.
    """
    counts_U = np.array([len(window["nll"]) for window in windows])
    shares_U = np.cumsum(counts_U) / max(1, counts_U.sum())
    totals = np.array([window["sizes"] for window in windows]).sum(0)
    sizes_U3 = np.diff(np.round(shares_U[:, None] * totals), axis=0, prepend=0.0).astype(np.int64)
    return [{**window, "sizes": Sizes(*sizes.tolist())} for window, sizes in zip(windows, sizes_U3, strict=True)]


def _name(batch: Any) -> str:
    """What a unit is where batches are not cut."""
    return f"stretch|tokens:{EVALUATION_TOKENS}" if getattr(batch, "streams", 0) else "batch"
