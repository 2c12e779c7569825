"""Step by step a stack computes what it computes at once, with the same masks under one seed.

Shape suffixes: T = time steps, B = rows, I = input size, H = hidden size.
"""

import pytest
import torch

from seqlab.cells.gru import GRU
from seqlab.errors import UserError
from seqlab.recurrence.stack import RecurrentStack
from seqlab.recurrence.stepwise import Stepwise, check_norms, check_stepwise

T, B, I, H = 7, 4, 3, 5  # noqa: E741
EXACT = {"rtol": 0, "atol": 1e-12}
CELLS = ["elman", "jordan", "lstm", "lstm-full", "lstm-all", "gru", "gru-before-norm", "rrnn", "rrnn-updated"]
CELLS += ["parallel", "pointwise", "learned"]
DROPOUTS = {"dropout": 0.3, "zoneout": 0.2}


def make(lab, name, num_layers=2, **options):
    """A stack in float64 whose weights and biases are all random."""
    return lab.randomised(RecurrentStack(lambda size: lab.cells[name](size, H), I, num_layers, **options))


def walk(stack, x_TBI, state, known=0):
    """Outputs ``[T, B, O]`` and the last states, with the first columns of the inputs known beforehand."""
    outputs, known_TBK = [], x_TBI[..., :known] if known else None
    with Stepwise(stack, len(x_TBI), B, x_TBI.detach(), known_TBK) as steps:
        for t, x_BI in enumerate(x_TBI):
            output_BO, state = steps.step(t, x_BI[:, known:], state)
            outputs.append(output_BO)
    return torch.stack(outputs), *(part for cell in state for part in cell)


def states(lab, stack):
    return tuple(lab.state(cell, seed=20 + number) for number, cell in enumerate(stack.cells))


@pytest.mark.parametrize("known", [0, 1, I])
@pytest.mark.parametrize("engine", ["plain", None])
@pytest.mark.parametrize("name", CELLS)
def test_it_is_the_stack(lab, name, engine, known):
    """Outputs, last states and gradients of every weight, without any random numbers."""
    stack = make(lab, name, residual=True, normalization="layer", engine=engine)
    x_TBI, state = lab.inputs(), states(lab, stack)
    expected_TBO, last = make_plain(stack)(x_TBI, state)
    expected = (expected_TBO, *(part for cell in last for part in cell))
    inputs = (x_TBI, *(part for cell in state for part in cell), *stack.parameters())
    lab.assert_same(walk(stack, x_TBI, state, known), expected, inputs)


def make_plain(stack):
    """The stack with the engine that is the specification."""
    twin = RecurrentStack.__new__(RecurrentStack)
    vars(twin).update(vars(stack))
    twin.engine = "plain"
    return twin


@pytest.mark.parametrize("locked", [False, True])
@pytest.mark.parametrize("name", ["lstm", "gru-before-norm", "rrnn", "pointwise"])
def test_its_masks_are_the_stacks_own(lab, name, locked):
    """With dropout between three layers, zoneout and weight drop, under one seed; and it draws as many numbers."""
    stack = make(lab, name, 3, residual=True, locked_dropout=locked, weight_drop=0.4, **DROPOUTS)
    x_TBI, state = lab.inputs(), states(lab, stack)
    torch.manual_seed(8)
    expected_TBO, last = make_plain(stack)(x_TBI, state)
    expected, after = (expected_TBO, *(part for cell in last for part in cell)), torch.rand(3)
    torch.manual_seed(8)
    found = walk(stack, x_TBI, state, known=2)
    assert torch.equal(torch.rand(3), after)
    lab.assert_same(found, expected, (x_TBI, *stack.parameters()))
    other = walk(stack, x_TBI, state, known=2)
    assert not torch.allclose(other[0], found[0])
    stack.eval()
    evaluated = walk(stack, x_TBI, state, known=2)
    torch.testing.assert_close(evaluated[0], stack(x_TBI, state)[0], **EXACT)


def test_without_a_gradient_it_is_the_same(lab):
    stack = make(lab, "rrnn")
    x_TBI, state = lab.inputs(), states(lab, stack)
    expected = walk(stack, x_TBI, state, known=2)
    with torch.no_grad():
        torch.testing.assert_close(walk(stack, x_TBI, state, known=2), expected, **EXACT)


def test_frozen_weights_get_no_gradient_and_the_others_theirs(lab):
    stack = make(lab, "gru")
    x_TBI, state = lab.inputs(), states(lab, stack)
    stack.cells[0].input.weight.requires_grad_(False)
    rest = [parameter for parameter in stack.parameters() if parameter.requires_grad]
    expected_TBO, last = make_plain(stack)(x_TBI, state)
    expected = (expected_TBO, *(part for cell in last for part in cell))
    lab.assert_same(walk(stack, x_TBI, state, known=2), expected, (x_TBI, *rest))


class Twice(GRU):
    """A cell whose input map is used on the input and on something else of the same width."""

    def project(self, x):
        return self.input(x) + self.input(2 * x)


def test_a_map_that_is_given_something_else_computes_it(lab):
    stack = lab.randomised(RecurrentStack(lambda size: Twice(size, H), I))
    x_TBI, state = lab.inputs(), states(lab, stack)
    expected_TBO, last = make_plain(stack)(x_TBI, state)
    lab.assert_same(walk(stack, x_TBI, state, known=2), (expected_TBO, *last[0]), (x_TBI, *stack.parameters()))


def test_afterwards_the_stack_is_as_it_was(lab):
    """Also where a step failed."""
    stack = make(lab, "lstm", weight_drop=0.5)
    x_TBI, state = lab.inputs(), states(lab, stack)
    weights, names = list(stack.parameters()), list(stack.state_dict())
    walk(stack, x_TBI, state, known=2)
    with pytest.raises(RuntimeError), Stepwise(stack, T, B, x_TBI, x_TBI[..., :2]) as steps:
        steps.step(0, torch.zeros(B, 9), state)
    assert all(new is old for new, old in zip(stack.parameters(), weights, strict=True))
    assert list(stack.state_dict()) == names
    assert not [module for module in stack.modules() if "forward" in vars(module)]


@pytest.mark.parametrize("engine", ["native", "factored", "sequence"])
def test_engines_for_all_steps_at_once_are_refused(lab, engine):
    with pytest.raises(
        UserError, match=rf"^feeding runs step by step, but engine {engine} runs all steps at once; leave"
    ):
        check_stepwise(make(lab, "gru", engine=engine), "feeding")
    for other in (None, "plain", "deferred"):
        check_stepwise(make(lab, "gru", engine=other), "feeding")


def test_norms_over_all_steps_are_refused(lab):
    for check in (check_norms, check_stepwise):
        with pytest.raises(UserError, match=r"^feeding runs step by step, but normalization batch is over all"):
            check(make(lab, "gru", normalization="batch"), "feeding")
        check(make(lab, "gru", 1, normalization="batch"), "feeding")  # it has no norm
