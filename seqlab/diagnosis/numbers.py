"""Numbers as they are written: few digits, and none that JSON does not have."""

import math
from collections.abc import Iterable

import numpy as np

DIGITS = 6
LOW, HIGH = 0.1, 0.9
"""Quantiles of the bands."""


def plain(value: float) -> float | None:
    """A number of six digits; None for what is infinite or no number."""
    value = float(value)
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def plains(values: Iterable[float]) -> list[float | None]:
    """:func:`plain` for each."""
    return [plain(value) for value in values]


def quantiles(values_DB: np.ndarray) -> dict[str, list[float | None]]:
    """Median, 10 % and 90 % quantile of each row of numbers, NaN left out."""
    if not values_DB.size:
        return {"median": [], "low": [], "high": []}
    with np.errstate(invalid="ignore"):
        low_D, median_D, high_D = np.nanquantile(values_DB, [LOW, 0.5, HIGH], axis=1)
    return {"median": plains(median_D), "low": plains(low_D), "high": plains(high_D)}


def ratios(last: float, first: float, steps: int) -> float | None:
    """The factor that takes one number to another in so many steps."""
    if not first or not math.isfinite(last):
        return None
    return plain((last / first) ** (1 / steps))
