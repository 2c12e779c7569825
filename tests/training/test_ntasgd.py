"""NT-ASGD: plain SGD, the trigger of algorithm 1, the mean of the weights, and the state that a resume needs."""

import copy
import io
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seqlab.errors import UserError
from seqlab.training.averaging import Averages
from seqlab.training.ntasgd import NTASGD, Validated

SHAPES = [(3, 5), (7,), ()]


def make_weights(seed: int = 1, dtype: torch.dtype = torch.float64) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)) for shape in SHAPES]


def step(optimizer: torch.optim.Optimizer, weights: list[nn.Parameter], seed: int) -> list[Tensor]:
    """A step with gradients that depend on the seed; returns the new weights."""
    generator = torch.Generator().manual_seed(seed)
    for weight in weights:
        weight.grad = torch.randn(weight.shape, generator=generator, dtype=torch.float64).to(weight.dtype)
    optimizer.step()
    return [weight.detach().clone() for weight in weights]


def trigger(optimizer: NTASGD) -> None:
    """Lets the averaging begin with validations that get ever worse."""
    for value in range(optimizer.interval + 2):
        assert not optimizer.averages(optimizer.param_groups[0]["params"])
        optimizer.validated(10.0 + value)
    assert optimizer.averaged == 1


@pytest.mark.parametrize("triggered", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_steps_are_those_of_sgd(dtype, triggered):
    """Bit for bit, with weight decay, a rate that changes, and a group of its own; averaging changes none of them."""
    found, expected = make_weights(dtype=dtype), make_weights(dtype=dtype)
    optimizers = []
    for weights, make in ((found, NTASGD), (expected, torch.optim.SGD)):
        groups = [{"params": weights[:2]}, {"params": weights[2:], "weight_decay": 0.25}]
        optimizers.append(make(groups, lr=0.7, weight_decay=0.03))
    if triggered:
        trigger(optimizers[0])
    for number in range(9):
        for optimizer, weights in zip(optimizers, (found, expected), strict=True):
            optimizer.param_groups[0]["lr"] = 0.7 / (1 + number)
            step(optimizer, weights, number)
    for one, other, start in zip(found, expected, make_weights(dtype=dtype), strict=True):
        assert torch.equal(one, other) and not torch.equal(one, start)


def test_a_parameter_without_gradient_stays_as_it_is():
    weights = make_weights()
    optimizer = NTASGD(weights, lr=0.5, weight_decay=0.1)
    optimizer.step()
    trigger(optimizer)
    weights[0].grad = torch.ones(3, 5, dtype=torch.float64)
    before = [weight.detach().clone() for weight in weights]
    optimizer.step()
    assert not torch.equal(weights[0], before[0])
    assert torch.equal(weights[1], before[1]) and torch.equal(optimizer.averages(weights)[1], before[1])


def test_closure():
    """It is called with gradients enabled, before the step, and its loss is returned."""
    weight = nn.Parameter(torch.tensor(3.0))
    optimizer = NTASGD([weight], lr=0.25)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = weight**2
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 9.0
    assert weight.item() == 3.0 - 0.25 * 6.0


def algorithm_1(values: list[float], n: int) -> int | None:
    """The index of the validation at which averaging begins, by the loop of the paper; None if it never does."""
    t, T, logs = 0, None, []
    for k, v in enumerate(values):
        if T is None:
            if t > n and v > min(logs[index] for index in range(0, t - n)):
                T = k
            logs.append(v)
            t = t + 1
    return T


def begins(values: list[float], n: int) -> int | None:
    optimizer = NTASGD([nn.Parameter(torch.zeros(3))], lr=1.0, interval=n)
    for index, value in enumerate(values):
        optimizer.validated(value)
        if optimizer.averaged:
            return index
    return None


@pytest.mark.parametrize(
    ("values", "n", "expected"),
    [
        ([9, 8, 7, 6, 5, 4, 3, 2, 1], 2, None),  # always better
        ([1, 2, 3, 4, 5, 6], 3, 4),  # always worse: as soon as there are more than n before it
        ([5, 9, 9, 9, 9], 5, None),  # too few
        ([5, 5, 5, 5, 5], 1, None),  # no better, but no worse
        ([5, 5, 5, 5, 5.5], 1, 4),
        ([9, 8, 3, 4, 5, 6], 2, 5),  # the 3 is left out of the comparison until two have come after it
        ([9, 8, 3, 4, 5, 2, 3.5], 2, 6),
        ([9, 1, 2, 3, 0.5, 0.7, 0.9], 3, None),
        ([9, 1, 2, 3, 0.5, 0.7, 1.1], 3, 6),  # compared with the 1, not with the 0.5 among the last three
    ],
)
def test_trigger(values, n, expected):
    assert begins(values, n) == expected == algorithm_1(values, n)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_trigger_of_many_courses(n):
    """Against the loop of the paper, for noisy courses with ties that fall at different speeds."""
    random, found = np.random.default_rng(3), []
    for number in range(300):
        slope = random.uniform(-1, 1)
        values = [round(float(value), 1) for value in 20 + slope * np.arange(12) + random.normal(size=12)]
        found.append(begins(values, n))
        assert found[-1] == algorithm_1(values, n), f"course {number}: {values}"
    assert {None, n + 1, n + 2, 11} <= set(found), "the courses differ"


def test_a_validation_that_is_no_number_is_the_worst():
    assert begins([math.nan, 5.0, 4.0, math.nan], 1) == 3
    assert begins([math.nan, 5.0, 4.0, 3.0], 1) is None


def test_the_average_is_the_mean_of_the_weights_since_the_trigger():
    """Those at the trigger among them, none before."""
    weights = make_weights()
    optimizer = NTASGD(weights, lr=0.3, weight_decay=0.01, interval=2)
    course = [step(optimizer, weights, number) for number in range(4)]
    trigger(optimizer)
    since = course[-1:]
    for number in range(4, 204):
        since.append(step(optimizer, weights, number))
        if number in (4, 5, 203):
            for found, *values in zip(optimizer.averages(weights), *since, strict=True):
                torch.testing.assert_close(found, torch.stack(values).mean(0), rtol=0, atol=1e-12)
    optimizer.validated(1e9)
    assert optimizer.averaged == 201, "later validations do not begin anew"


def test_averages_of_what_is_asked_for():
    """In the order asked; a weight that is not optimized is its own average."""
    weights = make_weights()
    optimizer = NTASGD(weights[1:], lr=0.3)
    assert isinstance(optimizer, Averages) and isinstance(optimizer, Validated)
    assert not isinstance(torch.optim.SGD(weights, lr=1.0), Averages | Validated)
    trigger(optimizer)
    step(optimizer, weights[1:], 1)
    last, frozen = optimizer.averages([weights[2], weights[0]])
    assert last.shape == () and not torch.equal(last, weights[2]) and frozen is weights[0]


def test_parameters_added_later():
    """Once averaging has begun they count as having been what they are since then."""
    weights = make_weights()
    optimizer = NTASGD(weights[:2], lr=0.3)
    trigger(optimizer)
    step(optimizer, weights[:2], 1)
    start = weights[2].detach().clone()
    optimizer.add_param_group({"params": weights[2:], "lr": 0.9})
    end = step(optimizer, weights, 2)[2]
    torch.testing.assert_close(optimizer.averages(weights)[2], (start + start + end) / 3)
    assert not torch.equal(start, end)


@pytest.mark.parametrize("level", [0, 3])
def test_the_state_by_way_of_a_file(level):
    """Read as weights only, after the trigger (level 0) and before it; the course goes on the same, bit for bit."""
    ends = []
    for cut in (False, True):
        weights = make_weights(dtype=torch.float32)
        optimizer = NTASGD(weights, lr=0.3, interval=1)
        for number in range(6):
            if cut and number == 3:
                file = io.BytesIO()
                torch.save((optimizer.state_dict(), [weight.detach() for weight in weights]), file)
                file.seek(0)
                state, values = torch.load(file, weights_only=True)
                weights = [nn.Parameter(value) for value in values]
                optimizer = NTASGD(weights, lr=99.0, interval=1)
                optimizer.load_state_dict(state)
            step(optimizer, weights, number)
            optimizer.validated(float(max(level, number)))
        assert optimizer.averaged > 1
        ends.append((optimizer.averaged, optimizer.validations, *weights, *optimizer.averages(weights)))
    assert ends[0][:2] == ends[1][:2]
    assert all(torch.equal(one, other) for one, other in zip(ends[0][2:], ends[1][2:], strict=True))


def test_weights_of_half_precision_are_averaged_in_single():
    """In bfloat16 the mean would soon stand still; a saved state is not rounded to it either."""
    weight = nn.Parameter(torch.zeros(3, dtype=torch.bfloat16))
    optimizer = NTASGD([weight], lr=1.0)
    trigger(optimizer)
    for _ in range(999):
        weight.grad = torch.full_like(weight, -1 / 512)
        optimizer.step()
    (average,) = optimizer.averages([weight])
    assert average.dtype == torch.float32
    other = NTASGD([weight], lr=1.0)
    other.load_state_dict(optimizer.state_dict())
    assert torch.equal(other.averages([weight])[0], average)
    values, value = [], torch.zeros((), dtype=torch.bfloat16)
    for _ in range(1000):
        values.append(value)
        value = value + torch.tensor(1 / 512, dtype=torch.bfloat16)
    torch.testing.assert_close(average, torch.stack(values).float().mean().expand(3))


def test_a_copy_is_a_whole_optimizer():
    weights = make_weights()
    optimizer = NTASGD(weights, lr=0.3, interval=3, monitor="val/bits")
    trigger(optimizer)
    twin = copy.deepcopy(optimizer)
    assert (twin.monitor, twin.interval, twin.averaged) == ("val/bits", 3, 1)
    assert twin.validations == optimizer.validations and twin.validations is not optimizer.validations
    step(twin, twin.param_groups[0]["params"], 1)
    assert (twin.averaged, optimizer.averaged) == (2, 1)


def test_averaging_that_begins_in_inference_mode():
    """As Lightning validates: the averages can be changed in training."""
    weights = make_weights()
    optimizer = NTASGD(weights, lr=0.3)
    with torch.inference_mode():
        trigger(optimizer)
    step(optimizer, weights, 1)
    assert not torch.equal(optimizer.averages(weights)[0], weights[0])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"lr": 0.0}, "lr must be above 0, not 0.0"),
        ({"lr": -1.0}, "lr"),
        ({"lr": math.nan}, "lr"),
        ({"lr": math.inf}, "lr"),
        ({"lr": 1.0, "interval": 0}, "interval must be at least 1, not 0"),
        ({"lr": 1.0, "weight_decay": -0.1}, "weight_decay"),
        ({"lr": 1.0, "weight_decay": math.nan}, "weight_decay"),
    ],
)
def test_bad_arguments(arguments, expected):
    with pytest.raises(UserError, match=rf"^optimizer NTASGD: .*{expected}"):
        NTASGD([nn.Parameter(torch.zeros(3))], **arguments)
