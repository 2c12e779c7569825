"""Every engine under bfloat16 and float16 autocast: float32 weights have float32 gradients, off by rounding alone.

Shape suffixes: T = time steps, B = rows, I = input size, H = hidden size.
"""

import pytest
import torch

from seqlab.recurrence.stack import RecurrentStack
from seqlab.recurrence.unroll import unroll

T, B, I, H = 7, 4, 3, 5  # noqa: E741
LENGTHS = [7, 3, 0, 5]
ENGINES = {
    "elman": "plain deferred factored native",
    "elman-relu": "plain deferred factored native",
    "jordan": "plain deferred",
    "lstm": "plain deferred factored native",
    "lstm-diagonal": "plain deferred factored",
    "lstm-narrow": "plain deferred native",
    "lstm-all": "plain deferred",
    "gru": "plain deferred factored native",
    "gru-before": "plain deferred",
    "gru-norm": "plain deferred",
    "rrnn": "plain deferred",
    "rrnn-updated": "plain deferred",
    "parallel": "plain deferred sequence",
    "pointwise": "plain deferred factored",
}
RUNS = [(cell, engine) for cell, engines in ENGINES.items() for engine in engines.split()]
ROUNDING = {torch.bfloat16: 0.04, torch.float16: 0.005}
"""A few roundings to 8 or 11 bits in a row, measured on the norm of all numbers."""


def flat(tensors):
    return torch.cat([tensor.flatten().double() for tensor in tensors])


def outcome(module, inputs, run, dtype=None):
    """All results and all gradients, each as one vector."""
    with torch.autocast("cpu", dtype, enabled=dtype is not None):
        results = run()
    wanted = (*inputs, *module.parameters())
    grads = torch.autograd.grad(sum(result.float().sin().sum() for result in results), wanted)
    assert {grad.dtype for grad in grads} == {torch.float32}
    return flat(results), flat(grads)


def assert_within_rounding(module, inputs, run, exact_run):
    exact = outcome(module, inputs, exact_run)
    for dtype, rounding in ROUNDING.items():
        found = outcome(module, inputs, run, dtype)
        for vector, exact_vector in zip(found, exact, strict=True):
            assert 0 < (vector - exact_vector).norm() < rounding * exact_vector.norm()


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize(("name", "engine"), RUNS)
def test_an_engine_is_off_by_rounding_alone(lab, name, engine, padded):
    cell, x_TBI = lab.cell(name).float(), lab.inputs().detach().float().requires_grad_()
    state = tuple(part.detach().float().requires_grad_() for part in lab.state(cell))
    last = not padded or engine != "native" or not name.startswith("lstm")
    options = {"lengths": torch.tensor(LENGTHS) if padded else None, "last": last}

    def run(engine):
        output_TBO, final = unroll(cell, x_TBI, state, engine=engine, **options)
        return (output_TBO, *(final or ()))

    inputs = (x_TBI, *(state if last else ()))
    assert_within_rounding(cell, inputs, lambda: run(engine), lambda: run("plain"))


@pytest.mark.parametrize("engine", [None, "plain", "deferred"])
@pytest.mark.parametrize("name", ["elman", "jordan", "lstm", "lstm-narrow", "gru", "rrnn"])
def test_a_stack_hands_on_what_its_layers_make(lab, name, engine):
    """The second layer's inputs, and the states of a second call, may be in less precision."""
    stack = RecurrentStack(
        lambda size: lab.cells[name](size, H), I, 2, bidirectional=True, normalization="layer", engine=engine
    )
    lab.randomised(stack).float()
    x_TBI = lab.inputs().detach().float().requires_grad_()

    def run():
        first_TBO, state = stack(x_TBI)
        second_TBO, state = stack(x_TBI.sin(), state)
        return (first_TBO, second_TBO, *(part for parts in state for part in parts))

    assert_within_rounding(stack, (x_TBI,), run, run)


@pytest.mark.parametrize("name", ["lstm", "rrnn"])
@pytest.mark.parametrize("option", ["zoneout", "resets", "weight_drop", "window"])
def test_options_of_the_driver(lab, name, option):
    cell, x_TBI = lab.cell(name).float(), lab.inputs().detach().float().requires_grad_()
    state = tuple(part.detach().float().requires_grad_() for part in lab.state(cell))
    resets = lab.draw(T, B, seed=8) > 0.5
    options = {option: {"zoneout": 0.3, "resets": resets, "weight_drop": 0.3, "window": 3}[option]}

    def run(engine):
        torch.manual_seed(2)
        output_TBO, final = unroll(cell, x_TBI, state, engine=engine, **options)
        return (output_TBO, *final)

    for engine in (None, "plain", "deferred"):
        assert_within_rounding(cell, (x_TBI, *state), lambda engine=engine: run(engine), lambda: run("plain"))
