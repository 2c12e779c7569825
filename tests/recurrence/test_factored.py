"""The recurrence outside autograd: chunks of steps, weights inside update, and parts that nothing depends on."""

import pytest
import torch

from seqlab.cells.base import RecurrentCell
from seqlab.recurrence.factored import CHUNK, factored_states
from seqlab.recurrence.unroll import unroll

I, H = 3, 5  # noqa: E741


@pytest.mark.parametrize("steps", [CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 6])
@pytest.mark.parametrize("name", ["lstm-diagonal", "pointwise"])
def test_sequences_longer_than_a_chunk(lab, name, steps):
    cell, x_TBI = lab.cell(name), lab.inputs(steps, 2)
    state, lengths = lab.state(cell, 2), torch.tensor([steps, steps - 9])
    inputs = (x_TBI, *state, *cell.parameters())
    results, expected = (unroll(cell, x_TBI, state, lengths=lengths, engine=engine) for engine in ("factored", "plain"))
    grads = lab.assert_same((results[0], *results[1]), (expected[0], *expected[1]), inputs)
    assert all(grad.abs().max() > 1e-3 for grad in grads)


def test_update_may_be_wrapped_for_the_forward_loop(lab):
    cell, calls = lab.cell("gru"), []
    x_TBI, state = lab.inputs(), lab.state(cell)

    def wrap(update):
        def counted(gx, gh, state):
            calls.append(gx.shape)
            return update(gx, gh, state)

        return counted

    (wrapped,) = factored_states(cell, cell.project(x_TBI), state, wrap=wrap)
    (as_it_is,) = factored_states(cell, cell.project(x_TBI), state)
    assert calls == [(4, 3 * H)] * 7
    lab.assert_same((wrapped,), (as_it_is,), (x_TBI, *state, *cell.parameters()))


class Own(RecurrentCell):
    """Two gates and two state parts; what update does is given."""

    gates = ("a", "b")
    states = ("h", "m")

    def __init__(self, function):
        super().__init__(I, H)
        self.function = function

    def update(self, gx, gh, state):
        return self.function(*gx.chunk(2, -1), *gh.chunk(2, -1), *state)


UPDATES = {
    "a-part-kept-as-it-is": lambda xa, xb, ha, hb, h, m: ((xa + ha).tanh() * m, m),
    "a-part-of-the-input-alone": lambda xa, xb, ha, hb, h, m: ((xa + ha + hb).tanh() * m, xb),
    "one-gate-unused": lambda xa, xb, ha, hb, h, m: ((xa + ha).tanh(), m + xa),
    "no-old-state": lambda xa, xb, ha, hb, h, m: ((xa + ha).tanh(), (xb + hb).sigmoid()),
    "no-recurrent-product": lambda xa, xb, ha, hb, h, m: (h * xa.sigmoid() + xb, m * xb.sigmoid() + h),
    "a-constant-part": lambda xa, xb, ha, hb, h, m: ((xa + ha).tanh() * m, 0.5 + torch.zeros_like(m)),
    "a-part-without-gradient": lambda xa, xb, ha, hb, h, m: ((xa + ha).tanh() * m, (m + xb + hb).sin().detach()),
}


@pytest.mark.parametrize("kind", UPDATES)
def test_updates_that_leave_something_out(lab, kind):
    cell, x_TBI = lab.randomised(Own(UPDATES[kind])), lab.inputs()
    state = lab.state(cell)
    results, expected = (unroll(cell, x_TBI, state, engine=engine) for engine in ("factored", "plain"))
    inputs = (x_TBI, *state, *cell.parameters())
    lab.assert_same((results[0], results[1][0]), (expected[0], expected[1][0]), inputs)
    torch.testing.assert_close(results[1][1], expected[1][1], rtol=0, atol=1e-12)


def test_a_recurrent_map_without_bias(lab):
    class Unbiased(Own):
        def __init__(self):
            RecurrentCell.__init__(self, I, H, bias=False)
            self.function = UPDATES["one-gate-unused"]

    cell, x_TBI = lab.randomised(Unbiased()), lab.inputs()
    state = lab.state(cell)
    assert [name for name, _ in cell.named_parameters()] == ["input.weight", "recurrent.weight"]
    for engine in ("factored", "deferred"):
        results, expected = (unroll(cell, x_TBI, state, engine=kind) for kind in (engine, "plain"))
        inputs = (x_TBI, *state, *cell.parameters())
        lab.assert_same((results[0], *results[1]), (expected[0], *expected[1]), inputs)


def test_weights_and_random_state_are_left_alone(lab):
    cell, x_TBI = lab.cell("pointwise"), lab.inputs()
    before, random_state = {name: weight.clone() for name, weight in cell.state_dict().items()}, torch.get_rng_state()
    output_TBO, _ = unroll(cell, x_TBI, engine="factored")
    output_TBO.sum().backward()
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(weight, before[name]) for name, weight in cell.state_dict().items())
    assert all(parameter.is_leaf and parameter.grad is not None for parameter in cell.parameters())
