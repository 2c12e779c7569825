"""Whether systems differ: paired tests of any metric, and intervals over seeds.

The tests are sacreBLEU's (:class:`sacrebleu.significance.PairedTest`), with its draws and p-values, but take what a
metric sums of each unit in place of texts, so that perplexity and accuracy have the same tests as BLEU.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from sacrebleu.significance import _compute_p_value, estimate_ci

from seqlab.errors import UserError
from seqlab.metrics.base import Metric
from seqlab.metrics.bootstrap import check_samples, draw, resampled_scores, resolve_seed
from seqlab.metrics.sacrebleu import SacreBLEU, reference_lists

SAMPLES = {"bs": 1000, "ar": 10000}
ROWS = 500
"""Trials that are added up at a time, which bounds the memory."""
ROUNDING = 1e-9
"""Differences this close to the observed one are equal to it. They count as evidence of chance, but not in sacreBLEU's
p-values, where hardly any are: a score of few values, such as the share of right sentences, has many."""


class Result(NamedTuple):
    """A system's score beside the first one's."""

    score: float
    p_value: float | None
    """How probable a difference from the first system's score is that is greater by chance alone; None for itself."""
    mean: float | None
    """Of the resampled scores; of the bootstrap only."""
    half_width: float | None
    """Of the 95 % interval of the resampled scores; of the bootstrap only."""


class Comparison(NamedTuple):
    """Of systems with the first of them."""

    results: dict[str, Result]
    """By system, the first one first."""
    signature: str
    """The metric's, with the test's samples or trials and its seed."""


class SeedInterval(NamedTuple):
    """Scores of one configuration trained from several seeds."""

    mean: float
    half_width: float
    """Of the 95 % interval of the mean, by Student's t."""
    seeds: int


def compare(
    metric: Metric,
    systems: Mapping[str, np.ndarray],
    test: Literal["bs", "ar"] = "bs",
    samples: int | None = None,
    seed: int | None = None,
) -> Comparison:
    """Tests each system against the first: is it different?

    * ``bs``, the paired bootstrap (Koehn 2004): the same units are drawn for both, with replacement.
    * ``ar``, approximate randomisation (Riezler and Maxwell 2005): of each unit it is tossed whose output is whose.

    Two systems of the very same outputs never differ in a sample, which by sacreBLEU's count of greater differences
    gives the least p-value of all; tell them apart by their scores.

    Args:
        metric: The metric.
        systems: By name what the metric sums of each unit ``[units, k]``; the first is the baseline.
        test: The test.
        samples: Samples or trials; as sacreBLEU's if None, 1,000 of ``bs`` and 10,000 of ``ar``.
        seed: Of the draws; as sacreBLEU's if None (see :func:`seqlab.metrics.bootstrap.interval`).

    Raises:
        UserError: There is one system only, they were not scored on the same units, or ``samples`` is below 1.
    """
    samples = SAMPLES[test] if samples is None else samples
    check_samples(samples)
    check_units(metric, systems)
    seed, told = resolve_seed(seed)
    run = _bootstrap if test == "bs" else _randomisation
    scorer, (first, *others) = metric.scorer(), systems
    base = systems[first]
    scores = {name: float(scorer(statistics.sum(0))) for name, statistics in systems.items()}
    results = {first: Result(scores[first], None, None, None)}
    for name in others:
        # Each system is drawn for anew with the seed, so that its p-value does not depend on the others.
        base_S, scores_S, differences_S = run(metric, base, systems[name], samples, np.random.default_rng(seed))
        observed = abs(scores[first] - scores[name])
        if not isinstance(metric, SacreBLEU):
            observed -= ROUNDING * max(1.0, observed)
        p_value = float(_compute_p_value(differences_S, observed))
        results[name] = Result(scores[name], p_value, *_estimate(scores_S))
        results[first] = Result(scores[first], None, *_estimate(base_S))
    return Comparison(results, metric.signature_of(base.sum(0), **{test: samples, "seed": told}))


def _bootstrap(
    metric: Metric, base: np.ndarray, other: np.ndarray, samples: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both systems' resampled scores, and by how much they differ more than on average."""
    drawn = draw(generator, len(base), samples)
    base_S, other_S = (resampled_scores(metric, statistics, drawn) for statistics in (base, other))
    differences_S = np.abs(other_S - base_S)
    return base_S, other_S, differences_S - differences_S.mean()


def _randomisation(
    metric: Metric, base: np.ndarray, other: np.ndarray, samples: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """No resampled scores, and by how much two systems of mixed outputs differ."""
    tossed = generator.integers(2, size=(samples, len(base)), dtype=bool)
    scorer = metric.scorer()
    differences: list[float] = []
    for start in range(0, samples, ROWS):
        mine = tossed[start : start + ROWS].astype(np.float64)
        yours = 1.0 - mine
        one, two = mine @ base + yours @ other, yours @ base + mine @ other
        differences.extend(abs(scorer(left) - scorer(right)) for left, right in zip(one, two, strict=True))
    return np.array([]), np.array([]), np.array(differences)


def _estimate(scores_S: np.ndarray) -> tuple[float | None, float | None]:
    if not len(scores_S):
        return None, None
    mean, half_width = estimate_ci(scores_S)
    return float(mean), float(half_width)


def check_units(metric: Metric, systems: Mapping[str, np.ndarray]) -> None:
    """Refuses systems whose statistics are not of the same units.

    Raises:
        UserError: There is one system only, another number of units, or a unit of another size or number of references.
    """
    if len(systems) < 2:
        raise UserError("a paired test needs two systems or more")
    name, columns = type(metric).__name__, _columns(metric)
    (first, base), *others = systems.items()
    for other, statistics in others:
        if len(statistics) != len(base):
            raise UserError(f"{name}: {other} has {len(statistics)} units, but {first} has {len(base)}")
        for state, column in columns.items():
            differ = np.flatnonzero(statistics[:, column] != base[:, column])
            if len(differ):
                unit = int(differ[0])
                raise UserError(
                    f"{name}: unit {unit + 1} of {other} and of {first} differ in {state} "
                    f"({statistics[unit, column]:g} and {base[unit, column]:g}): their scores do not compare"
                )


def check_references(references: Mapping[str, Sequence[str | Sequence[str]]]) -> None:
    """Refuses systems that were scored against different references.

    Args:
        references: By system those of each sentence.

    Raises:
        UserError: They differ in number or text.
    """
    (first, base), *others = references.items()
    for other, given in others:
        if len(given) != len(base):
            raise UserError(f"{other} has references of {len(given)} sentences, but {first} of {len(base)}")
        pairs = zip(reference_lists(base), reference_lists(given), strict=True)
        for number, (mine, yours) in enumerate(pairs, start=1):
            if list(mine) != list(yours):
                raise UserError(f"sentence {number} of {other} and of {first} have different references")


def _columns(metric: Metric) -> dict[str, int]:
    """The columns of statistics that are of the test set."""
    columns, start = {}, 0
    for state in metric._reductions:
        if state in metric.of_the_test_set:
            columns[state] = start
        start += getattr(metric, state).numel()
    return columns


def over_seeds(scores: Sequence[float]) -> SeedInterval:
    """The mean of the scores of several seeds, and its 95 % interval: ``t s / sqrt(n)``.

    Raises:
        UserError: There is one score only.
    """
    count = len(scores)
    if count < 2:
        raise UserError("an interval over seeds needs two or more")
    mean = math.fsum(scores) / count
    deviation = math.sqrt(math.fsum((score - mean) ** 2 for score in scores) / (count - 1))
    return SeedInterval(mean, student_quantile(0.975, count - 1) * deviation / math.sqrt(count), count)


def student_quantile(probability: float, freedom: int) -> float:
    """The quantile of Student's t.

    By bisection of its distribution, which for whole degrees of freedom is a finite sum (Abramowitz and Stegun 1964,
    26.7.3 and 26.7.4).

    Args:
        probability: From 0.5 to below 1.
        freedom: Degrees of freedom, at least 1.
    """
    low, high = 0.0, math.pi / 2  # of arctan(t / sqrt(freedom))
    for _ in range(100):
        angle = (low + high) / 2
        if 0.5 + _central(angle, freedom) / 2 < probability:
            low = angle
        else:
            high = angle
    return math.sqrt(freedom) * math.tan(angle)


def _central(angle: float, freedom: int) -> float:
    """The probability of ``|t| <= sqrt(freedom) tan(angle)``."""
    sine, cosine, odd = math.sin(angle), math.cos(angle), freedom % 2
    term, total = (cosine if odd else 1.0), 0.0
    for power in range(odd, freedom - 1, 2):
        total += term
        term *= cosine**2 * (power + 1) / (power + 2)
    return 2 / math.pi * (angle + sine * total) if odd else sine * total
