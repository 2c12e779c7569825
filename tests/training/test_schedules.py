"""Schedules: the rate that a torch optimizer really has at each step, against the formulas."""

import itertools
import math

import pytest
import torch

from seqlab.errors import UserError
from seqlab.training.schedules import Constant, Cosine, InverseSquareRoot, Linear, Noam, Plateau, Step

RATE = 0.5


def make_optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)


def factors(schedule, steps: int, total: int = -1) -> list[float]:
    """The rate at each optimizer step, as a share of the optimizer's own."""
    optimizer = make_optimizer()
    scheduler = schedule.configure(optimizer, total)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"] / RATE)
        optimizer.step()
        scheduler.step()
    return found


def test_constant():
    assert factors(Constant(), 5) == [1.0] * 5


@pytest.mark.parametrize("total", [-1, 20])
def test_warm_up(total):
    """A line that reaches the whole rate at the last of its steps."""
    assert factors(Constant(warmup=4), 7, total) == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 1])
    assert factors(Constant(warmup=1), 3, total) == [1.0] * 3


def test_inverse_square_root():
    """Up to the whole rate at step 4, then sqrt(4 / step), steps counted from 1: half of it at step 16."""
    found = factors(InverseSquareRoot(warmup=4), 400)
    assert found[:4] == pytest.approx([0.25, 0.5, 0.75, 1])
    assert found[15] == pytest.approx(0.5)
    assert found[399] == pytest.approx(0.1)
    assert found[4] == pytest.approx(2 / math.sqrt(5))


def test_inverse_square_root_without_warm_up():
    assert factors(InverseSquareRoot(warmup=0), 9)[::4] == pytest.approx([1, 1 / math.sqrt(5), 1 / 3])


def test_noam():
    """lr = factor x d^-0.5 x min(step^-0.5, step x warmup^-1.5), steps from 1, the optimizer's rate the factor."""
    found = factors(Noam(size=25, warmup=4), 400)
    expected = [25**-0.5 * min(step**-0.5, step * 4**-1.5) for step in range(1, 401)]
    assert found == pytest.approx(expected, rel=1e-12)
    assert max(found) == found[3] == pytest.approx(1 / math.sqrt(25 * 4))


def test_noam_is_inverse_square_root_at_another_rate():
    found, other = factors(Noam(size=7, warmup=5), 50), factors(InverseSquareRoot(warmup=5), 50)
    assert found == pytest.approx([rate / math.sqrt(7 * 5) for rate in other])


def test_cosine():
    """Halfway down after half the way, at 1/6, 1/3, ... of it by the cosines of 30, 60, ... degrees."""
    found = factors(Cosine(), 12, total=12)
    assert found[0] == 1
    assert found[2] == pytest.approx((1 + math.sqrt(3) / 2) / 2)
    assert found[4] == pytest.approx(0.75)
    assert found[6] == pytest.approx(0.5)
    assert found[8] == pytest.approx(0.25)
    assert found[10] == pytest.approx((1 - math.sqrt(3) / 2) / 2)


def test_cosine_with_warm_up_and_final():
    """The way down begins where the warm-up ends, and ends at the final factor."""
    found = factors(Cosine(warmup=3, final=0.2), 16, total=11)
    assert found[:3] == pytest.approx([1 / 3, 2 / 3, 1])
    assert found[3] == pytest.approx(1)
    assert found[7] == pytest.approx(0.6)
    assert found[9] == pytest.approx(0.2 + 0.8 * (1 - math.sqrt(0.5)) / 2)
    assert found[11:] == pytest.approx([0.2] * 5), "past the end it stays"
    assert all(later <= earlier for earlier, later in itertools.pairwise(found[3:]))


def test_linear():
    assert factors(Linear(), 6, total=5) == pytest.approx([1, 0.8, 0.6, 0.4, 0.2, 0])
    assert factors(Linear(warmup=2, final=0.5), 9, total=6) == pytest.approx(
        [0.5, 1, 1, 0.875, 0.75, 0.625, 0.5, 0.5, 0.5]
    )


@pytest.mark.parametrize("schedule", [Cosine(warmup=9), Linear(warmup=9)])
def test_a_run_that_ends_within_its_warm_up(schedule):
    assert factors(schedule, 4, total=4) == pytest.approx([1 / 9, 2 / 9, 3 / 9, 4 / 9])


def test_step():
    """The first fall is at step ``after``, the next ones ``every`` steps apart."""
    found = factors(Step(after=5, every=3, factor=0.4), 13)
    assert found == pytest.approx([1] * 5 + [0.4] * 3 + [0.16] * 3 + [0.064] * 2)
    assert factors(Step(after=0, every=2), 5) == [0.5, 0.5, 0.25, 0.25, 0.125]
    assert factors(Step(after=3, every=2, warmup=4), 6) == pytest.approx([0.25, 0.5, 0.75, 0.5, 0.5, 0.25])


def test_step_counts_epochs_as_zaremba_does():
    """Their rate of epoch e, from 1: 1.2^-(e - 6) once e > 6, here with 7 steps to an epoch."""
    found = factors(Step(after=6 * 7, every=7, factor=1 / 1.2), 9 * 7)
    epochs = [1.2 ** -max(epoch - 6, 0) for epoch in range(1, 10)]
    assert found == pytest.approx([rate for rate in epochs for _ in range(7)])


@pytest.mark.parametrize("schedule", [Cosine(), Linear()])
@pytest.mark.parametrize("total", [-1, 0])
def test_what_falls_to_an_end_needs_one(schedule, total):
    with pytest.raises(UserError, match=rf"{type(schedule).__name__}.*trainer\.max_steps"):
        schedule.configure(make_optimizer(), total)


def plateau_rates(schedule: Plateau, scores: list[float]) -> list[float]:
    """The rate after each validation, as a share of the optimizer's own."""
    optimizer = make_optimizer()
    scheduler = schedule.configure(optimizer, -1)
    found = []
    for score in scores:
        optimizer.step()
        scheduler.step(score)
        found.append(optimizer.param_groups[0]["lr"] / RATE)
    return found


def test_plateau_lowers_after_its_patience():
    """Two validations without a better score are waited for, the third lowers the rate, and the wait begins anew."""
    schedule = Plateau(mode="max", factor=0.4, patience=2)
    assert schedule.monitor == "val/perplexity"
    scores = [10, 12, 12, 11, 12, 12, 12, 12, 13, 1, 1]
    assert plateau_rates(schedule, scores) == pytest.approx([1] * 4 + [0.4] * 3 + [0.16] * 4)


def test_plateau_where_less_is_better():
    """A falling score is left alone; the default mode is that of perplexity."""
    assert plateau_rates(Plateau(patience=0), [9, 8, 7, 6]) == [1] * 4
    assert plateau_rates(Plateau(patience=0), [6, 7, 7, 5]) == pytest.approx([1, 0.5, 0.25, 0.25])


def test_plateau_stops_at_its_minimum():
    rates = plateau_rates(Plateau(patience=0, minimum=0.2 * RATE), [1] * 6)
    assert rates == pytest.approx([1, 0.5, 0.25, 0.2, 0.2, 0.2])


@pytest.mark.parametrize(
    "make",
    [
        lambda: Constant(warmup=-1),
        lambda: Cosine(warmup=-5),
        lambda: Linear(warmup=-5),
        lambda: InverseSquareRoot(warmup=-5),
        lambda: Noam(size=0),
        lambda: Noam(size=5, warmup=0),
        lambda: Step(after=-1, every=2),
        lambda: Step(after=3, every=0),
        lambda: Step(after=3, every=2, factor=1.0),
        lambda: Step(after=3, every=2, factor=0.0),
        lambda: Step(after=3, every=2, warmup=-5),
        lambda: Plateau(mode="least"),
        lambda: Plateau(factor=1.0),
        lambda: Plateau(factor=0.0),
        lambda: Plateau(factor=-0.5),
    ],
)
def test_bad_arguments(make):
    with pytest.raises(UserError, match="schedule"):
        make()
