"""How a score is shown while a model trains."""

import pytest

from seqlab.training.progress import score_text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (37.456, "37.46"),
        (100.0, "100.00"),
        (0.1667, "0.17"),
        (0.0, "0.00"),
        (0.0013249, "0.0013"),
        (-0.02041, "-0.02"),
        (3.14e-6, "3.1e-06"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
    ],
)
def test_a_small_score_keeps_two_digits(value: float, shown: str):
    assert score_text(value) == shown
