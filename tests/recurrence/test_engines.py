"""Every engine computes what the cell computes row by row, without padding, one step after the other.

Shape suffixes: T = time steps, B = rows, I = input size, O = output size, S = size of a state part.
"""

import functools

import pytest
import torch

from seqlab.recurrence.unroll import unroll

EXACT = {"rtol": 0, "atol": 1e-12}
LENGTHS = [7, 3, 0, 5]
ENGINES = {  # those that can run each cell
    "elman": "plain deferred factored native",
    "elman-relu": "plain deferred factored native",
    "elman-sigmoid": "plain deferred factored",
    "jordan": "plain deferred",
    "jordan-sigmoid-relu": "plain deferred",
    "lstm": "plain deferred factored native",
    "lstm-full": "plain deferred",
    "lstm-diagonal": "plain deferred factored",
    "lstm-sigmoid": "plain deferred factored",
    "lstm-norm": "plain deferred",
    "lstm-narrow": "plain deferred native",
    "lstm-same": "plain deferred",
    "lstm-wide": "plain deferred",
    "lstm-all": "plain deferred",
    "lstm-diagonal-norm": "plain deferred",
    "gru": "plain deferred factored native",
    "gru-before": "plain deferred",
    "gru-norm": "plain deferred",
    "gru-before-norm": "plain deferred",
    "rrnn": "plain deferred",
    "rrnn-updated": "plain deferred",
    "parallel": "plain deferred sequence",
    "pointwise": "plain deferred factored",
    "learned": "plain deferred",
}
RUNS = [(cell, engine) for cell, engines in ENGINES.items() for engine in engines.split()]
WAYS = [  # lengths, reverse, whether the first state is given
    (LENGTHS, False, True),
    (LENGTHS, True, True),
    (LENGTHS, True, False),
    (None, False, False),
    (None, True, True),
]
IDS = ["padded", "padded-reverse", "padded-reverse-from-0", "full-from-0", "full-reverse"]


@functools.cache
def specification(lab, name, way):
    """Results and gradients of the cell row by row, with a fixed random factor for each number."""
    lengths, reverse, given = WAYS[way]
    cell, x_TBI = lab.cell(name), lab.inputs()
    state = lab.state(cell) if given else cell.initial_state(len(LENGTHS), x_TBI)
    output_TBO, last = lab.row_by_row(cell, x_TBI, state, lengths, reverse)
    inputs = (x_TBI, *cell.parameters(), *(state if given else ()))
    return (output_TBO, *last), lab.gradients((output_TBO,), inputs), lab.gradients((output_TBO, *last), inputs)


@pytest.mark.parametrize("way", range(len(WAYS)), ids=IDS)
@pytest.mark.parametrize(("name", "engine"), RUNS)
def test_engine_is_the_cell_row_by_row(lab, name, engine, way):
    """Outputs, last state, and the gradients of inputs, initial state and every weight."""
    lengths, reverse, given = WAYS[way]
    cell, x_TBI = lab.cell(name), lab.inputs()
    state = lab.state(cell) if given else cell.initial_state(len(LENGTHS), x_TBI)
    has_last = lengths is None or engine != "native" or not name.startswith("lstm")
    options = {"lengths": None if lengths is None else torch.tensor(lengths), "reverse": reverse, "engine": engine}
    output_TBO, last = unroll(cell, x_TBI, state if given else None, last=has_last, **options)
    expected, grads_without_last, grads_with_last = specification(lab, name, way)
    results = (output_TBO, *last) if has_last else (output_TBO,)
    torch.testing.assert_close(results, expected[: len(results)], **EXACT)
    grads = lab.gradients(results, (x_TBI, *cell.parameters(), *(state if given else ())))
    torch.testing.assert_close(grads, grads_with_last if has_last else grads_without_last, **EXACT)
    unused = given and name == "learned"
    assert sum(grad.abs().max() < 1e-3 for grad in grads) == unused
    for row, length in enumerate(lengths or []):
        assert not output_TBO[length:, row].any()
        assert length or not has_last or all(torch.equal(p[row], q[row]) for p, q in zip(last, state, strict=True))


def test_every_cell_has_its_engines(lab):
    assert set(ENGINES) == set(lab.cells)


@pytest.mark.parametrize("name", ENGINES)
def test_the_engine_that_is_chosen_is_plain(lab, name):
    cell, x_TBI = lab.cell(name), lab.inputs()
    state = lab.state(cell)
    for lengths in (None, torch.tensor(LENGTHS)):
        (found, last), (expected, expected_last) = (
            unroll(cell, x_TBI, state, lengths=lengths, engine=engine) for engine in (None, "plain")
        )
        lab.assert_same((found, *last), (expected, *expected_last), (x_TBI, *state, *cell.parameters()))


@pytest.mark.parametrize(("name", "engine"), RUNS)
def test_without_last_or_gradients_the_outputs_are_the_same(lab, name, engine):
    cell, x_TBI = lab.cell(name), lab.inputs()
    expected_TBO, expected_last = unroll(cell, x_TBI, engine=engine)
    with torch.no_grad():
        output_TBO, last = unroll(cell, x_TBI, engine=engine)
    torch.testing.assert_close((output_TBO, last), (expected_TBO, expected_last), **EXACT)
    output_TBO, last = unroll(cell, x_TBI, last=False, lengths=torch.tensor([7, 7, 7, 6]), engine=engine)
    assert last is None
    torch.testing.assert_close(output_TBO[:6], expected_TBO[:6], **EXACT)


@pytest.mark.parametrize(("name", "engine"), RUNS)
def test_one_step_and_one_row(lab, name, engine):
    cell = lab.cell(name)
    for steps, rows in ((1, 3), (2, 1)):
        x_TBI, state = lab.inputs(steps, rows), lab.state(cell, rows)
        output_TBO, last = unroll(cell, x_TBI, state, engine=engine)
        expected_TBO, expected_last = lab.row_by_row(cell, x_TBI, state)
        inputs = (x_TBI, *state, *cell.parameters())
        lab.assert_same((output_TBO, *last), (expected_TBO, *expected_last), inputs)


@pytest.mark.parametrize("name", ENGINES)
def test_no_steps_leave_the_state_as_it_is(lab, name):
    cell = lab.cell(name)
    state = lab.state(cell)
    output_TBO, last = unroll(cell, lab.inputs()[:0], state)
    assert output_TBO.shape == (0, 4, cell.output_size)
    assert all(torch.equal(found, expected) for found, expected in zip(last, state, strict=True))


@pytest.mark.parametrize(
    "name", ["elman", "jordan", "lstm", "lstm-diagonal", "gru", "rrnn", "rrnn-updated", "pointwise"]
)
def test_plain_is_differentiable_twice(lab, name):
    cell, x_TBI = lab.cell(name, 2, 3), lab.inputs(2, 2, 2)
    state, weight = lab.state(cell, 2), cell.recurrent.weight

    def run(x_TBI, weight, *state):  # the weight is perturbed in place, so the cell sees it
        return unroll(cell, x_TBI, state, lengths=torch.tensor([2, 1]), engine="plain")[0]

    assert torch.autograd.gradgradcheck(run, (x_TBI, weight, *state))
