"""What unroll does around its engines: reversal, windows, and what it refuses.

Shape suffixes: T = time steps, B = rows, X = any size.
"""

import pytest
import torch

from seqlab.cells.gru import GRU
from seqlab.cells.lstm import LSTM
from seqlab.errors import UserError
from seqlab.recurrence.stack import RecurrentStack
from seqlab.recurrence.unroll import reverse_time, unroll

T, I, H = 7, 3, 5  # noqa: E741
LENGTHS = [7, 3, 0, 5]
B = len(LENGTHS)
EXACT = {"rtol": 0, "atol": 1e-12}
RUNS = [
    *(("lstm", engine) for engine in ("plain", "deferred", "factored", "native")),
    *(("gru-before", engine) for engine in ("plain", "deferred")),
    *(("rrnn", engine) for engine in ("plain", "deferred")),
    *(("pointwise", engine) for engine in ("plain", "deferred", "factored")),
    *(("parallel", engine) for engine in ("plain", "deferred", "sequence")),
]


@pytest.mark.parametrize("lengths", [LENGTHS, None])
def test_reverse_time_reverses_each_row_before_its_length(lab, lengths):
    x_TBX = lab.draw(T, B, 2, seed=2)
    reversed_TBX = reverse_time(x_TBX, None if lengths is None else torch.tensor(lengths))
    for row, length in enumerate(lengths or [T] * B):
        for t in range(length):
            assert torch.equal(reversed_TBX[t, row], x_TBX[length - 1 - t, row])


def windows_by_hand(cell, x_TBI, state, window, **options):
    """Windows one after the other, with nothing but the numbers of the state passed on."""
    outputs = []
    for first in range(0, T, window):
        output_TBO, state = unroll(cell, x_TBI[first : first + window], state, **options)
        outputs.append(output_TBO)
        last, state = state, tuple(torch.tensor(part.tolist(), dtype=torch.double) for part in state)
    return torch.cat(outputs), last


@pytest.mark.parametrize("window", [1, 3, 6])
@pytest.mark.parametrize(("name", "engine"), RUNS)
def test_windows_are_run_one_after_the_other(lab, name, engine, window):
    """Outputs are those of one run; gradients end at the border of each window."""
    cell, x_TBI = lab.cell(name), lab.inputs()
    state = lab.state(cell)
    output_TBO, last = unroll(cell, x_TBI, state, window=window, engine=engine)
    expected_TBO, expected_last = windows_by_hand(cell, x_TBI, state, window, engine="plain")
    inputs = (x_TBI, *state, *cell.parameters())
    lab.assert_same((output_TBO, *last), (expected_TBO, *expected_last), inputs)
    whole_TBO, whole_last = unroll(cell, x_TBI, state)
    torch.testing.assert_close((output_TBO, last), (whole_TBO, whole_last), **EXACT)
    grads, whole = (lab.gradients((results,), inputs) for results in (output_TBO, whole_TBO))
    changed = [(grad - other).abs().max() > 1e-6 for grad, other in zip(grads, whole, strict=True)]
    assert any(changed)
    (to_state,) = torch.autograd.grad(last[0].sum(), state[0], allow_unused=True)
    assert to_state is None or not to_state.any()


@pytest.mark.parametrize("window", [T, T + 5])
@pytest.mark.parametrize(("name", "engine"), RUNS)
def test_a_window_as_long_as_the_sequence_changes_nothing(lab, name, engine, window):
    cell, x_TBI = lab.cell(name), lab.inputs()
    state = lab.state(cell)
    (output_TBO, last), (whole_TBO, whole_last) = (
        unroll(cell, x_TBI, state, window=size, engine=engine) for size in (window, None)
    )
    lab.assert_same((output_TBO, *last), (whole_TBO, *whole_last), (x_TBI, *state, *cell.parameters()))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("name", "engine"), [run for run in RUNS if run != ("lstm", "native")])
def test_windows_of_padded_rows(lab, name, engine, reverse):
    """They begin at each row's first step, which is its last one where it is read backwards."""
    cell, x_TBI, window = lab.cell(name), lab.inputs(), 3
    state, lengths = lab.state(cell), torch.tensor(LENGTHS)
    output_TBO, last = unroll(cell, x_TBI, state, lengths=lengths, reverse=reverse, window=window, engine=engine)
    outputs, lasts = [], []
    for row, length in enumerate(LENGTHS):
        x_T1I = x_TBI[:length, row : row + 1]
        parts, found = tuple(part[row : row + 1] for part in state), []
        steps = range(length)
        for count, t in enumerate(reversed(steps) if reverse else steps):
            parts = tuple(part.detach() for part in parts) if count % window == 0 and count else parts
            output_1O, parts = cell(x_T1I[t], parts)
            found.append(output_1O[0])
        padding = [torch.zeros(cell.output_size, dtype=torch.double)] * (T - length)
        outputs.append(torch.stack([*(found[::-1] if reverse else found), *padding]))
        lasts.append(parts)
    expected = (torch.stack(outputs, 1), *(torch.cat(part) for part in zip(*lasts, strict=True)))
    lab.assert_same((output_TBO, *last), expected, (x_TBI, *state, *cell.parameters()))


@pytest.mark.parametrize("engine", ["plain", "deferred"])
@pytest.mark.parametrize("name", ["lstm", "rrnn", "learned"])
def test_windows_and_resets(lab, name, engine):
    """A reset inside a window cuts there too, and the gradient of a learned first state is kept."""
    cell, x_TBI, window = lab.cell(name), lab.inputs(), 3
    state, resets = lab.state(cell), lab.draw(T, B, seed=8) > 0.5
    assert resets.any(0).all()
    output_TBO, last = unroll(cell, x_TBI, state, resets=resets, window=window, engine=engine)
    parts, outputs = state, []
    for t, x_BI in enumerate(x_TBI):
        parts = tuple(part.detach() for part in parts) if t % window == 0 and t else parts
        first = cell.initial_state(B, x_BI)
        parts = tuple(torch.where(resets[t][:, None], a, b) for a, b in zip(first, parts, strict=True))
        output_BO, parts = cell(x_BI, parts)
        outputs.append(output_BO)
    inputs = (x_TBI, *state, *cell.parameters())
    grads = lab.assert_same((output_TBO, *last), (torch.stack(outputs), *parts), inputs)
    assert all(grad.any() for grad in grads)


@pytest.mark.parametrize("window", [0, -3])
def test_a_window_without_steps_is_refused(window):
    with pytest.raises(UserError, match=f"^window must be at least 1, not {window}$"):
        unroll(GRU(I, H), torch.zeros(T, B, I), window=window)


STATES = [  # a state for something else, and what the message says
    ([(B, H)], f"expected h [{B}, {H}], c [{B}, {H}], not [{B}, {H}]"),  # a GRU's
    ([(B, H), (B, 6)], f"expected h [{B}, {H}], c [{B}, {H}], not [{B}, {H}], [{B}, 6]"),
    ([(3, H), (3, H)], f"expected h [{B}, {H}], c [{B}, {H}], not [3, {H}], [3, {H}]"),
    ([], f"expected h [{B}, {H}], c [{B}, {H}], not an empty one"),
]


@pytest.mark.parametrize("engine", [None, "plain", "deferred", "factored"])
@pytest.mark.parametrize(("shapes", "problem"), STATES)
def test_a_wrong_state_is_refused_before_anything_runs(shapes, problem, engine):
    state = tuple(torch.zeros(shape) for shape in shapes)
    with pytest.raises(UserError) as refused:
        unroll(LSTM(I, H), torch.zeros(T, B, I), state, engine=engine)
    assert str(refused.value) == f"the state is not one of LSTM for {B} rows: {problem}"


def test_a_state_of_another_stack_is_refused():
    gru, lstm = (RecurrentStack(lambda size, cell=cell: cell(size, H), I, 2) for cell in (GRU, LSTM))
    x_TBI = torch.zeros(T, B, I)
    _, state = gru(x_TBI)
    with pytest.raises(UserError, match="the state is not one of LSTM for 4 rows"):
        lstm(x_TBI, state)
    with pytest.raises(UserError, match="the state is not one of GRU for 4 rows"):
        unroll(gru.cells[0], x_TBI, state)  # that of all its cells
    with pytest.raises(UserError, match="the state is not one of GRU for 4 rows"):
        gru(x_TBI, (state[0][0], state[1][0]))
    with pytest.raises(UserError, match="the state is one of 1 cells, but the stack has 2"):
        gru(x_TBI, state[:1])
    with pytest.raises(UserError, match="the state is not one of GRU for 3 rows"):
        gru(x_TBI[:, :3], state)
