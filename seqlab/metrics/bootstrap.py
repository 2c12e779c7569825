"""Bootstrap intervals of any metric, from what it sums of each unit.

A unit is what a test set was drawn as: a sentence, or a window of a language model's stream. A metric's states are
sums, so its statistics of all units, an array ``[units, k]``, hold all there is to know of a system::

    statistics = unit_statistics(metric, units)
    score = score_from_sums(metric, statistics.sum(0))
    around = interval(metric, statistics)
    signature = metric.signature_of(statistics.sum(0), **around.resampling)
"""

import copy
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from sacrebleu.metrics.base import Score

from seqlab.errors import UserError
from seqlab.metrics.base import Metric

SAMPLES = 1000
SEED = "SACREBLEU_SEED"


class Interval(NamedTuple):
    """Where 95 % of the resampled scores lie."""

    mean: float
    """Of the resampled scores."""
    half_width: float
    """Half of the distance between their 2.5 % and 97.5 % quantiles."""
    resampling: dict[str, str | int]
    """What the signature gains: ``bs``, the number of samples, and ``seed``."""


def text_units(hypotheses: Sequence[str], references: Sequence[str | Sequence[str]]) -> Iterator[dict[str, Any]]:
    """Each sentence as a unit of the output ``text``.

    Raises:
        UserError: There are not as many hypotheses as lists of references.
    """
    if len(hypotheses) != len(references):
        raise UserError(f"{len(hypotheses)} hypotheses, but references of {len(references)}")
    for hypothesis, given in zip(hypotheses, references, strict=True):
        yield {"hypotheses": [hypothesis], "references": [given]}


def unit_statistics(metric: Metric, units: Iterable[Mapping[str, Any]]) -> np.ndarray:
    """What a metric sums of each unit.

    Args:
        metric: Its own states stay as they are.
        units: For each the arguments of the metric's ``update``.

    Returns:
        Float64 ``[units, k]``, which adds up to the states over all units.

    Raises:
        UserError: A state of the metric is no sum, or there is no unit.
    """
    probe, rows = copy.deepcopy(metric), []
    for unit in units:
        probe.reset()
        probe.update(**unit)
        rows.append(probe.sums())
    if not rows:
        raise UserError(f"{type(metric).__name__}: there is nothing to score")
    return np.stack(rows)


def score_from_sums(metric: Metric, sums: np.ndarray) -> float:
    """The score of summed statistics ``[k]``: for all units, exactly the metric's own."""
    return float(metric.scorer()(sums))


def unit_scores(metric: Metric, statistics: np.ndarray) -> np.ndarray:
    """The score of each unit by itself ``[units]``; BLEU's as ``sacrebleu --sentence-level``."""
    scorer = metric.unit_scorer()
    return np.array([scorer(row) for row in statistics])


def interval(metric: Metric, statistics: np.ndarray, samples: int = SAMPLES, seed: int | None = None) -> Interval:
    """The bootstrap interval of a score (Koehn 2004), as ``sacrebleu --confidence``, whose numbers it gives.

    Args:
        metric: The metric.
        statistics: What it sums of each unit ``[units, k]``.
        samples: How many times as many units are drawn, with replacement.
        seed: Of the draws; as sacreBLEU's if None: the environment's ``SACREBLEU_SEED`` (``none``: another each time),
            else 12345.

    Raises:
        UserError: ``samples`` is below 1, or the environment's seed is no number.
    """
    check_samples(samples)
    seed, told = resolve_seed(seed)
    drawn = draw(np.random.default_rng(seed), len(statistics), samples)
    estimate = Score("", 0.0)
    estimate.estimate_ci([Score("", score) for score in resampled_scores(metric, statistics, drawn)])
    return Interval(float(estimate._mean), float(estimate._ci), {"bs": samples, "seed": told})


def check_samples(samples: int) -> None:
    """Refuses to draw nothing.

    Raises:
        UserError: ``samples`` is below 1.
    """
    if samples < 1:
        raise UserError(f"number of resampled scores: at least 1, not {samples}")


def resolve_seed(seed: int | None) -> tuple[int | None, str]:
    """The seed of the draws, None for another each time, and how signatures tell of it.

    Raises:
        UserError: The environment's is no number.
    """
    told = str(seed) if seed is not None else os.environ.get(SEED, "12345").lower()
    if told != "none" and not told.isdecimal():
        raise UserError(f"{SEED}={told}: not a whole number (or none)")
    return (None if told == "none" else int(told)), told


def draw(generator: np.random.Generator, units: int, samples: int) -> np.ndarray:
    """The units of each sample ``[samples, units]``."""
    return generator.choice(units, size=(samples, units), replace=True)


def resampled_scores(metric: Metric, statistics: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """The score of each sample of units ``[samples, units]``."""
    # Sample by sample: all at once would need as many copies of the statistics as there are samples.
    scorer, statistics = metric.scorer(), np.ascontiguousarray(statistics, dtype=metric.resampled_in)
    # One array, of one type: of a sample without a match sacreBLEU's score is a float, of others float32, and its own
    # mean fails at both.
    return np.array([scorer(statistics[sample].sum(0)) for sample in drawn])
