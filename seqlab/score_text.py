"""How a score is written for people: in tables, in reports and while training. Files of numbers have all digits."""

import math

DECIMALS, MOST = 2, 4
"""Decimals of a score, as sacreBLEU has them, and the most that a small interval takes."""
DIGITS = 3
"""Of a score below 1."""


def decimals(value: float, half_width: float | None = None) -> int:
    """The decimals that a score is written with: two, or more where it is below 1 or its interval would show as 0.00.

    Of a score that is known less well than that, no more than two digits of its interval.
    """
    found = DECIMALS
    if math.isfinite(value) and 0 < abs(value) < 1:
        found = DIGITS - 1 - math.floor(math.log10(abs(value)))
    if half_width and math.isfinite(half_width) and half_width >= 10**-MOST:
        first = -math.floor(math.log10(half_width))  # the decimal that shows it
        least = first if half_width < 0.5 * 10**-DECIMALS else DECIMALS
        found = min(max(found, least), max(DECIMALS, first + 1))
    return found


def score_text(value: float, half_width: float | None = None) -> str:
    """A score, with half the width of its interval: ``37.46``, ``1.100 ± 0.003``, ``0.988``, ``1.3e-06``."""
    places = decimals(value, half_width)
    if not math.isfinite(value):
        text = str(value)
    elif abs(value) >= 10**6 or places > MOST + 1:
        text = f"{value:.{DIGITS}g}"
        places = min(places, MOST)
    else:
        text = f"{value:,.{places}f}"
    return text if half_width is None else f"{text} ± {half_width:,.{places}f}"


def difference_text(value: float, places: int) -> str:
    """How much better or worse a score is than another, with the decimals of both."""
    return f"{value:+,.{places}f}"


def percent(share: float) -> str:
    """A share with two digits, as ``1.7 %``; in powers of ten only from a million on and below a ten-thousandth."""
    return f"{float(f'{100 * share:.2g}'):g} %"
