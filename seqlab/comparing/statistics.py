"""Whether two cells differ, by the scores of several seeds each."""

import math
import statistics
from collections.abc import Sequence

import numpy as np

PANELS = 20_000


def welch(first: Sequence[float], second: Sequence[float]) -> float | None:
    """The two-sided p-value of Welch's t-test: how probable a difference of means of this size is by chance.

    The variances of the two need not be the same. (B. L. Welch, "The generalization of 'Student's' problem when several
    different population variances are involved", Biometrika 34, 1947; the degrees of freedom are those of Satterthwaite
    1946.)

    Args:
        first: Scores of one cell, a seed each.
        second: Scores of another.

    Returns:
        None where one has fewer than two scores, or neither varies, so that nothing is known of chance.
    """
    if min(len(first), len(second)) < 2:
        return None
    shares = [statistics.variance(scores) / len(scores) for scores in (first, second)]
    if not sum(shares) > 0:
        return None
    t = (statistics.fmean(second) - statistics.fmean(first)) / math.sqrt(sum(shares))
    freedom = sum(shares) ** 2 / sum(
        share**2 / (len(scores) - 1) for share, scores in zip(shares, (first, second), strict=True)
    )
    return student_tails(t, freedom)


def student_tails(t: float, freedom: float) -> float:
    """The probability that Student's t is at least as far from 0 as ``t``.

    With ``t = sqrt(freedom) tan(angle)`` its density is ``cos(angle)^(freedom - 1)`` up to a factor, which is summed up
    at the middles of small panels; degrees of freedom need not be whole.

    Args:
        t: The value.
        freedom: Degrees of freedom, at least 1.
    """
    start = math.atan(abs(t) / math.sqrt(freedom))
    width = (math.pi / 2 - start) / PANELS
    angles = start + width * (np.arange(PANELS) + 0.5)
    logarithm = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - 0.5 * math.log(math.pi)
    tail = float((np.cos(angles) ** (freedom - 1)).sum()) * width * math.exp(logarithm)
    return min(1.0, 2 * tail)
