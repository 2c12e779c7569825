"""Averages against their definitions."""

import math

import pytest
import torch
from torch import Tensor

from seqlab.errors import UserError
from seqlab.training.averaging import EMA, LastN


def course(steps: int, dtype: torch.dtype = torch.float64) -> list[list[Tensor]]:
    """The values of three weights after each of some steps."""
    generator = torch.Generator().manual_seed(steps)
    shapes = ((3, 5), (7,), ())
    return [[torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes] for _ in range(steps)]


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.9, 0.999])
def test_ema_is_what_it_says(decay):
    """The mean in which a value counts decay times as much as the next one, in float64 to 1e-12."""
    average, values = EMA(decay), course(60)
    assert average.averages(values[0]) == []
    for number, weights in enumerate(values, 1):
        average.update(weights)
        shares = torch.tensor([decay**age for age in reversed(range(number))], dtype=torch.float64)
        for found, *history in zip(average.averages(weights), *values[:number], strict=True):
            expected = torch.tensordot(shares / shares.sum(), torch.stack(history), 1)
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("decay", [0.0, 0.3, 0.9, 0.999])
def test_ema_with_warmup_is_what_it_says(decay):
    """A plain loop of the definition, in float64 to 1e-12; a saved state in the middle of it is no matter."""
    average, values, expected = EMA(decay, warmup=True), course(60), None
    for number, weights in enumerate(values, 1):
        d = min(decay, (1 + number) / (10 + number))
        expected = (
            weights if expected is None else [d * a + (1 - d) * w for a, w in zip(expected, weights, strict=True)]
        )
        if number == 31:
            state, average = average.state_dict(), EMA(decay, warmup=True)
            average.load_state_dict(state)
        average.update(weights)
        for found, value in zip(average.averages(weights), expected, strict=True):
            torch.testing.assert_close(found, value, rtol=0, atol=1e-12)


@pytest.mark.parametrize("warmup, least, most", [(False, 0.55, 0.6), (True, 0.88, 0.92)])
def test_ema_with_warmup_lags_less_in_a_short_run(warmup, least, most):
    """Of a weight that grows by the same with each update: the average is some tenth of the run behind, or a half."""
    average = EMA(0.998, warmup=warmup)
    for number in range(1, 501):
        average.update([torch.tensor(float(number), dtype=torch.float64)])
    (found,) = average.averages([torch.zeros(())])
    assert least < float(found) / 500 < most and EMA().warmup is False


@pytest.mark.parametrize("count", [1, 3])
def test_last_n_is_the_mean_of_the_last(count):
    average, values = LastN(count), course(7)
    assert average.averages(values[0]) == []
    for number, weights in enumerate(values, 1):
        average.update(weights)
        for found, *history in zip(average.averages(weights), *values[:number], strict=True):
            torch.testing.assert_close(found, torch.stack(history[-count:]).mean(0), rtol=0, atol=1e-12)


@pytest.mark.parametrize("make", [lambda: EMA(0.9), lambda: LastN(3)])
def test_what_is_taken_in_is_copied(make):
    """The weights are changed in place by the next step."""
    average, weights = make(), [torch.zeros(3), torch.ones(5)]
    average.update(weights)
    weights[0].fill_(9.0)
    assert average.averages(weights)[0].tolist() == [0, 0, 0]


@pytest.mark.parametrize("make", [lambda: EMA(0.9), lambda: LastN(3)])
def test_half_precision_is_averaged_in_single(make):
    """Two neighbours in bfloat16 have a mean between them."""
    average = make()
    for value in (1.0, 1.0078125):
        average.update([torch.full((3,), value, dtype=torch.bfloat16)])
    (found,) = average.averages([torch.zeros(3)])
    assert found.dtype == torch.float32 and 1.0 < found[0] < 1.0078125


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: EMA(decay=1.0), "EMA: decay .*1.0"),
        (lambda: EMA(decay=-0.1), "EMA: decay"),
        (lambda: EMA(decay=math.nan), "EMA: decay"),
        (lambda: EMA(every=0), "EMA: every .*0"),
        (lambda: LastN(count=0), "LastN: count .*0"),
        (lambda: LastN(every=0), "LastN: every .*0"),
    ],
)
def test_bad_arguments(make, expected):
    with pytest.raises(UserError, match=f"^average {expected}"):
        make()
