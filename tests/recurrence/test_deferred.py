"""The one weight gradient for all steps: frozen weights, several backward passes, and no trace left in the cell."""

import pytest
import torch

from seqlab.cells.gru import GRU
from seqlab.recurrence.unroll import unroll

T, B, I, H = 7, 4, 3, 5  # noqa: E741
LENGTHS = [7, 3, 0, 5]
EXACT = {"rtol": 0, "atol": 1e-12}
CELLS = ["elman", "jordan", "lstm", "lstm-all", "gru", "gru-before", "rrnn", "rrnn-updated", "pointwise"]
RUNS = [*((name, "deferred") for name in CELLS), *((name, "factored") for name in ("lstm", "gru", "pointwise"))]


def results_of(cell, engine, x_TBI, state):
    output_TBO, last = unroll(cell, x_TBI, state, lengths=torch.tensor(LENGTHS), engine=engine)
    return (output_TBO, *last)


@pytest.mark.parametrize("frozen", ["recurrent.weight", "recurrent.bias", "recurrent", "input", ""], ids="{}".format)
@pytest.mark.parametrize(("name", "engine"), RUNS)
def test_frozen_weights(lab, name, engine, frozen):
    cell, x_TBI = lab.cell(name), lab.inputs()
    for key, parameter in cell.named_parameters():
        parameter.requires_grad_(not key.startswith(frozen))
    state = lab.state(cell)
    inputs = (x_TBI, *state, *(parameter for parameter in cell.parameters() if parameter.requires_grad))
    results, expected = (results_of(cell, kind, x_TBI, state) for kind in (engine, "plain"))
    lab.assert_same(results, expected, inputs)


@pytest.mark.parametrize(("name", "engine"), RUNS)
def test_gradients_add_up_over_backward_calls(lab, name, engine):
    """Over two sequences, and over two calls for one graph."""
    cell, x_TBI = lab.cell(name), lab.inputs()
    state = lab.state(cell)
    first, second = (results_of(cell, engine, x, state) for x in (x_TBI, x_TBI.cos()))
    for results, retain in ((first, True), (second, False), (first, False)):
        sum(result.square().sum() for result in results).backward(retain_graph=retain)
    got, cell = [parameter.grad for parameter in cell.parameters()], lab.cell(name)
    for x, times in ((x_TBI, 2), (x_TBI.cos(), 1)):
        (times * sum(result.square().sum() for result in results_of(cell, "plain", x, state))).backward()
    torch.testing.assert_close(got, [parameter.grad for parameter in cell.parameters()], **EXACT)


@pytest.mark.parametrize(("name", "engine"), RUNS)
def test_gradients_after_a_backward_pass_that_wanted_no_weight(lab, name, engine):
    cell, x_TBI = lab.cell(name), lab.inputs()
    state = lab.state(cell)
    results, expected = (results_of(cell, kind, x_TBI, state) for kind in (engine, "plain"))
    torch.autograd.grad(results[0].sum(), x_TBI, retain_graph=True)
    torch.autograd.grad(results[1].sum(), state[0], retain_graph=True)
    lab.assert_same(results, expected, list(cell.parameters()))


@pytest.mark.parametrize("of", [0, 1, 2])
@pytest.mark.parametrize("engine", ["deferred", "factored"])
def test_gradients_of_one_result_alone(lab, engine, of):
    cell, x_TBI = lab.cell("lstm"), lab.inputs()
    state = lab.state(cell)
    result, expected = (results_of(cell, kind, x_TBI, state)[of] for kind in (engine, "plain"))
    lab.assert_same((result,), (expected,), (x_TBI, *state, *cell.parameters()))


@pytest.mark.parametrize("engine", ["deferred", "factored"])
def test_they_are_differentiable_once(lab, engine):
    cell, x_TBI = lab.cell("gru"), lab.inputs()
    output_TBO, _ = results_of(cell, engine, x_TBI, lab.state(cell))
    (grad_TBI,) = torch.autograd.grad(output_TBO.square().sum(), x_TBI, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad_TBI.square().sum().backward()


def test_deferred_leaves_no_trace_after_an_exception():
    class Failing(GRU):
        def update(self, gx, gh, state):
            raise ZeroDivisionError("forward" in vars(self.recurrent))

    cell = Failing(I, H)
    with pytest.raises(ZeroDivisionError, match="True"):  # it was replaced
        unroll(cell, torch.zeros(T, B, I), engine="deferred")
    assert all("forward" not in vars(module) for module in cell.modules())


def test_a_linear_map_that_computes_something_else_is_left_alone(lab):
    class Squared(torch.nn.Linear):
        def forward(self, input):
            return super().forward(input).square()

    class Own(GRU):
        def __init__(self, *sizes):
            super().__init__(*sizes)
            self.extra = Squared(H, H)

        def update(self, gx, gh, state):
            (h,) = super().update(gx, gh, state)
            return (h + 0.1 * self.extra(state[0]).tanh(),)

    cell, x_TBI = lab.randomised(Own(I, H)), lab.inputs()
    state = lab.state(cell)
    results, expected = (results_of(cell, kind, x_TBI, state) for kind in ("deferred", "plain"))
    lab.assert_same(results, expected, (x_TBI, *state, *cell.parameters()))
