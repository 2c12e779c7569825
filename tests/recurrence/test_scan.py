"""The linear recurrence without a loop against the loop.

Shape suffixes: T = time steps, B = rows, H = hidden size.
"""

import pytest
import torch

from seqlab.recurrence.scan import linear_recurrence

B, H = 3, 5


def by_hand(a_TBH, b_TBH, h_BH):
    states = []
    for a_BH, b_BH in zip(a_TBH, b_TBH, strict=True):
        h_BH = a_BH * h_BH + b_BH
        states.append(h_BH)
    return torch.stack(states)


@pytest.mark.parametrize("factors", ["any", "negative", "some-zero", "all-zero", "gate"])
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 8, 9, 33])
def test_it_is_the_loop(lab, steps, factors):
    """For factors of any sign, outputs and gradients of factors, summands and first state."""
    a_TBH, b_TBH, h_BH = (lab.draw(*shape, seed=k) for k, shape in enumerate([(steps, B, H)] * 2 + [(B, H)]))
    if factors == "negative":
        a_TBH = -a_TBH.abs()
    elif factors == "some-zero":
        a_TBH[lab.draw(steps, B, H, seed=9) > 0] = 0.0
    elif factors == "all-zero":
        a_TBH = torch.zeros_like(a_TBH)
    elif factors == "gate":
        a_TBH = a_TBH.sigmoid()
    inputs = [tensor.requires_grad_() for tensor in (a_TBH, b_TBH, h_BH)]
    found, expected = linear_recurrence(*inputs), by_hand(*inputs)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    grads, expected_grads = (lab.gradients((result,), inputs) for result in (found, expected))
    torch.testing.assert_close(grads, expected_grads, rtol=1e-12, atol=1e-12)


def test_its_gradients_are_those_of_differences(lab):
    inputs = [lab.draw(*shape, seed=k).requires_grad_() for k, shape in enumerate([(5, 2, 2), (5, 2, 2), (2, 2)])]
    assert torch.autograd.gradcheck(linear_recurrence, inputs)
    assert torch.autograd.gradgradcheck(linear_recurrence, inputs)


def test_it_leaves_its_inputs_alone(lab):
    inputs = [lab.draw(*shape, seed=k) for k, shape in enumerate([(7, B, H), (7, B, H), (B, H)])]
    before = [tensor.clone() for tensor in inputs]
    assert linear_recurrence(*inputs).shape == (7, B, H)
    assert all(torch.equal(tensor, copy) for tensor, copy in zip(inputs, before, strict=True))


def test_no_steps_give_no_states(lab):
    assert linear_recurrence(torch.zeros(0, B, H), torch.zeros(0, B, H), torch.ones(B, H)).shape == (0, B, H)
