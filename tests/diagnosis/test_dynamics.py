"""Jacobians against torch's own, and states over long inputs."""

import pytest
import torch
from torch import Tensor

from seqlab.cells.base import RecurrentCell
from seqlab.cells.elman import Elman
from seqlab.cells.gru import GRU
from seqlab.cells.jordan import Jordan
from seqlab.cells.lstm import LSTM
from seqlab.diagnosis.dynamics import long_inputs, long_states, points_of, spectra, step_jacobian
from seqlab.diagnosis.layers import in_double
from seqlab.diagnosis.tracing import Trace
from seqlab.recurrence.stack import RecurrentStack


def random(*shape: int, seed: int, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


@pytest.mark.parametrize("zoneout", [0.0, 0.25])
@pytest.mark.parametrize(
    "cell", [Elman(3, 5), Jordan(3, 5), GRU(3, 5, reset="before"), LSTM(3, 5, projection=2, peephole="full")]
)
def test_the_jacobian_is_autograds(cell: RecurrentCell, zoneout: float) -> None:
    cell = cell.double().eval()
    x, sizes = random(3, seed=1), list(cell.state_sizes)
    state = tuple(random(size, seed=2 + n, scale=0.5) for n, size in enumerate(sizes))

    def step(whole: torch.Tensor) -> torch.Tensor:
        old = tuple(part[None] for part in whole.split(sizes))
        new = cell(x[None], old)[1]
        return torch.cat([zoneout * one + (1 - zoneout) * other for one, other in zip(old, new, strict=True)], -1)[0]

    expected = torch.autograd.functional.jacobian(step, torch.cat(state))
    assert expected.shape == (sum(sizes), sum(sizes)) and not torch.equal(expected, expected.T)
    torch.testing.assert_close(step_jacobian(cell, x, state, zoneout), expected, rtol=0, atol=1e-13)


def test_spectra_by_hand() -> None:
    first, second = torch.diag(torch.tensor([2.0, -0.5, 1.0])), torch.diag(torch.tensor([0.0, 4.0, 3.0]))
    found = spectra([first, second])
    assert (found["points"], found["largest"], found["median"], found["smallest"]) == (2, 3.0, 1.5, 0.25)
    spectrum = found["spectrum"]
    assert (spectrum["median"][0], spectrum["median"][16], spectrum["median"][-1]) == (3.0, 2.0, 0.25)
    assert spectrum["low"][0] == pytest.approx(2.2) and spectrum["high"][0] == pytest.approx(3.8)
    assert spectra([torch.tensor([[0.5]])])["spectrum"]["median"] == [0.5] * 33


def test_points_are_real_steps_after_the_first() -> None:
    real_TB = torch.arange(9)[:, None] < torch.tensor([9, 0, 1, 4])
    points = points_of(real_TB, 10)
    assert len(points) == len(set(points)) >= 5
    assert all(real_TB[t, row] for t, row in points) and {row for _, row in points} == {0, 2, 3}
    assert all(t >= 1 for t, row in points if row != 2)
    assert len(points_of(real_TB, 4096)) == 1
    assert points_of(torch.zeros(3, 2, dtype=torch.bool), 5) == []


def test_long_inputs_are_the_real_steps_again_and_again() -> None:
    x = torch.arange(12.0).reshape(4, 3, 1)
    each = Trace(x, (), torch.tensor([2, 0, 3]), None, x, None)
    long = long_inputs(each, 12)[..., 0]
    assert long[:, 0].tolist() == [0, 3, 2, 5, 8] * 2 + [0, 3]
    assert {tuple(column[:5].sort().values.tolist()) for column in long.T} == {(0, 2, 3, 5, 8)}


def test_states_over_long_inputs_are_those_of_the_cell() -> None:
    torch.manual_seed(3)
    stack = in_double(RecurrentStack(lambda size: GRU(size, 4), 2, 2))
    x = random(5, 1, 2, seed=4)
    each = Trace(x, stack.initial_state(1, x), torch.tensor([5]), None, x, None)
    _, found = long_states(stack, each, 12)
    # Written out: the layer above reads what the one below has just made.
    lower, h, sizes = torch.zeros(8, 4, dtype=torch.double), torch.zeros(8, 4, dtype=torch.double), []
    for step in long_inputs(each, 12):
        lower, _ = stack.cells[0](step, (lower,))
        h, _ = stack.cells[1](lower, (h,))
        sizes.append(float(h.square().mean().sqrt()))
    assert found["step"] == list(range(1, 13))
    assert found["parts"]["h"] == pytest.approx(sizes, rel=1e-5)


def test_a_jacobian_that_is_not_finite_has_no_singular_values() -> None:
    """A state that has left all bounds has such ones, and an SVD refuses them."""
    broken = torch.full((2, 2), torch.nan)
    found = spectra([broken, torch.diag(torch.tensor([3.0, 2.0]))])
    assert found is not None and (found["points"], found["largest"], found["smallest"]) == (1, 3, 2)
    assert spectra([broken]) is None and spectra([]) is None
