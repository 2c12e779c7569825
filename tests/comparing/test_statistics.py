"""The test over seeds, beside published figures and the quantiles of Student's t."""

import pytest

from seqlab.comparing.statistics import student_tails, welch
from seqlab.metrics.significance import student_quantile


@pytest.mark.parametrize("freedom", [1, 2, 3, 7, 30])
@pytest.mark.parametrize("probability", [0.6, 0.9, 0.975, 0.9995])
def test_tails_are_those_of_the_quantiles(freedom: int, probability: float) -> None:
    quantile = student_quantile(probability, freedom)
    assert student_tails(quantile, freedom) == pytest.approx(2 * (1 - probability), rel=1e-5)
    assert student_tails(-quantile, freedom) == student_tails(quantile, freedom)


def test_tails_between_whole_degrees_of_freedom() -> None:
    tails = [student_tails(1.7, freedom) for freedom in (1.0, 1.3, 2.0, 2.6, 3.0)]
    assert tails == sorted(tails, reverse=True)
    assert student_tails(0.0, 1.5) == pytest.approx(1, abs=1e-3)


def test_welch_beside_published_figures() -> None:
    """W. S. Gosset's sleep data (Student 1908), as R's help of t.test has it: t = -1.8608, df = 17.776, p = 0.07939."""
    first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    assert welch(first, second) == pytest.approx(0.07939, abs=5e-6)
    assert welch(second, first) == welch(first, second)


def test_what_cannot_be_tested() -> None:
    assert welch([1.0], [1.0, 2.0]) is None
    assert welch([1.0, 1.0], [1.0, 1.0]) is None
    assert welch([], []) is None
    assert welch([1.0, 1.0], [1.0, 3.0]) == pytest.approx(0.5, abs=1e-4)  # t = 1 of one degree of freedom
