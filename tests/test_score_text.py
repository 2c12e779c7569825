"""How a score is written, everywhere the same."""

import pytest

from seqlab.score_text import decimals, difference_text, percent, score_text


@pytest.mark.parametrize(
    ("value", "half", "shown"),
    [
        (37.456, None, "37.46"),
        (100.0, None, "100.00"),
        (6.1975, None, "6.20"),
        (-2.5, None, "-2.50"),
        (0.98765, None, "0.988"),
        (1 / 6, None, "0.167"),
        (0.0013249, None, "0.00132"),
        (3.14e-6, None, "3.14e-06"),
        (0.0, None, "0.00"),
        (12345.678, None, "12,345.68"),
        (1.5e9, None, "1.5e+09"),
        (float("nan"), None, "nan"),
        (float("inf"), None, "inf"),
        (38.0194, 1.5169, "38.02 ± 1.52"),
        (8.611, 11.986, "8.61 ± 11.99"),
        (100.0, 0.0, "100.00 ± 0.00"),
        (1.1003, 0.0026, "1.100 ± 0.003"),
        (1.118, 0.008, "1.12 ± 0.01"),
        (1.5, 0.00000001, "1.50 ± 0.00"),
        (0.98765, 0.0123, "0.988 ± 0.012"),
        (0.001234, 0.012, "0.001 ± 0.012"),
        (0.0, 0.5, "0.00 ± 0.50"),
        (12.0, float("nan"), "12.00 ± nan"),
    ],
)
def test_two_decimals_and_more_of_what_is_small(value: float, half: float | None, shown: str) -> None:
    assert score_text(value, half) == shown


def test_a_difference_has_the_decimals_of_its_scores() -> None:
    assert difference_text(36.3583 - 36.1585, decimals(36.1585, 1.5976)) == "+0.20"
    assert difference_text(-1234.5, 2) == "-1,234.50"


@pytest.mark.parametrize(
    ("share", "text"),
    [
        *(
            (0.0, "0 %"),
            (3.21e-22, "3.2e-20 %"),
            (0.000141, "0.014 %"),
            (0.0166, "1.7 %"),
            (0.02, "2 %"),
            (0.47, "47 %"),
        ),
        *((0.9951, "100 %"), (1.0, "100 %"), (3.141, "310 %"), (123.4, "12000 %"), (9876.0, "990000 %")),
        *((12345.0, "1.2e+06 %"), (1.23e7, "1.2e+09 %")),
    ],
)
def test_a_share_is_written_without_powers_up_to_a_million_percent(share: float, text: str) -> None:
    assert percent(share) == text
