"""Gradients that shrink further than the squares of floats do, and further than floats."""

import torch

from seqlab.cells.elman import Elman
from seqlab.diagnosis.gradients import norms_by_distance, summary, verdict
from seqlab.diagnosis.layers import in_double
from seqlab.diagnosis.tracing import Trace
from seqlab.recurrence.stack import RecurrentStack


def measured(share: float, steps: int) -> dict:
    """What is found of a cell whose states of 0 shrink by a share at each step."""
    stack = RecurrentStack(lambda size: Elman(size, 3), 2)
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.zero_()
        stack.cells[0].recurrent.weight.copy_(share * torch.eye(3))
    entering_TBO = torch.zeros(steps, 2, 3)
    entering_TBO[-1] = torch.tensor([[3.0, 4.0, 0.0], [0.0, 0.5, 0.0]])
    x_TBI = torch.zeros(steps, 2, 2)
    trace = Trace(x_TBI, stack.initial_state(2, x_TBI), torch.full((2,), steps), None, entering_TBO, None)
    return summary(norms_by_distance(in_double(stack), trace.like(x_TBI.double()))[0])


def test_a_half_can_be_followed_for_a_thousand_steps() -> None:
    found = measured(0.5, 1000)
    assert found["factor"] == 0.5 and found["reach"] == 6 and found["verdict"] == "vanishes"
    torch.testing.assert_close(found["relative"]["median"][999] / 0.5**999, 1.0, rtol=1e-5, atol=0)


def test_a_tenth_is_known_up_to_where_floats_end() -> None:
    found = measured(0.1, 400)
    assert abs(found["factor"] - 0.1) < 0.002 and found["median"][399] == 0


def test_a_growing_one_does_not_overflow_before_floats_do() -> None:
    found = measured(2.0, 600)
    assert found["factor"] == 2 and found["verdict"] == "explodes"


def test_what_is_nothing_has_the_factor_0() -> None:
    assert verdict([1.0, 0.5, 0.0, 0.0], [2, 2, 2, 2])["factor"] == 0
    assert verdict([1.0, 0.0], [2, 2])["factor"] == 0
