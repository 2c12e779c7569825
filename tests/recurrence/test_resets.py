"""Resets inside a sequence: the pieces are run as if each were alone.

Shape suffixes: T = time steps, B = rows, I = input size.
"""

import itertools

import pytest
import torch

from seqlab.errors import UserError
from seqlab.recurrence.stack import RecurrentStack
from seqlab.recurrence.unroll import unroll

T, B, I, H = 7, 4, 3, 5  # noqa: E741
LENGTHS = [7, 4, 0, 5]
EXACT = {"rtol": 0, "atol": 1e-12}
BORDERS = [[0, 2, 3], [4], [1], [3, 4]]
"""Steps of each row before which its state is reset; row 0's first step is one, row 1's lies past its length."""
NAMES = ["elman", "jordan", "lstm", "lstm-all", "gru", "rrnn", "rrnn-updated", "parallel", "pointwise", "learned"]
ENGINES = [None, "plain", "deferred"]


def resets_at(borders):
    resets_TB = torch.zeros(T, len(borders), dtype=torch.bool)
    for row, steps in enumerate(borders):
        resets_TB[steps, row] = True
    return resets_TB


def pieces(borders, length):
    """The first step of each piece of a row and the step after its last one."""
    edges = sorted({0, length, *(border for border in borders if border < length)})
    return list(itertools.pairwise(edges))


def piece_by_piece(cell, x_TBI, state, lengths, reverse):
    """Every piece run alone; the first one to be run starts from the row's state, unless it begins with a reset."""
    outputs, lasts = [], []
    for row, length in enumerate(lengths):
        parts = tuple(part[row : row + 1] for part in state)
        found = [torch.zeros(T - length, 1, cell.output_size, dtype=torch.double)]
        order = pieces(BORDERS[row], length)[:: -1 if reverse else 1]
        for number, (first, stop) in enumerate(order):
            if number or (first in BORDERS[row] and not reverse):
                parts = cell.initial_state(1, x_TBI)
            piece_TBI = x_TBI[first:stop, row : row + 1]
            output_T1O, parts = unroll(cell, piece_TBI, parts, reverse=reverse, engine="plain")
            found.insert(0 if reverse else -1, output_T1O)
        outputs.append(torch.cat(found))
        lasts.append(parts)
    return torch.cat(outputs, 1), tuple(torch.cat(part) for part in zip(*lasts, strict=True))


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("lengths", [LENGTHS, None], ids=["padded", "full"])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", NAMES)
def test_pieces_are_run_alone(lab, name, engine, lengths, reverse):
    """Outputs, last states, and the gradients of inputs, initial state and weights, a learned first state included."""
    cell, x_TBI = lab.cell(name), lab.inputs()
    state = lab.state(cell)
    output_TBO, last = unroll(
        cell,
        x_TBI,
        state,
        lengths=None if lengths is None else torch.tensor(lengths),
        reverse=reverse,
        resets=resets_at(BORDERS),
        engine=engine,
    )
    expected_TBO, expected_last = piece_by_piece(cell, x_TBI, state, lengths or [T] * B, reverse)
    inputs = (x_TBI, *state, *cell.parameters())
    grads = lab.assert_same((output_TBO, *last), (expected_TBO, *expected_last), inputs)
    assert all(grad.abs().max() > 1e-3 for grad in grads)


@pytest.mark.parametrize("name", ["lstm", "rrnn"])
def test_both_directions_of_a_stack(lab, name):
    stack = lab.randomised(RecurrentStack(lambda size: lab.cells[name](size, H), I, 2, bidirectional=True))
    x_TBI = lab.inputs()
    state = tuple(lab.state(cell, seed=20 + k) for k, cell in enumerate(stack.cells))
    output_TBO, finals = stack(x_TBI, state, lengths=torch.tensor(LENGTHS), resets=resets_at(BORDERS))
    expected_TBO, expected_finals = x_TBI, []
    for layer in (0, 2):
        both = [
            piece_by_piece(stack.cells[layer + back], expected_TBO, state[layer + back], LENGTHS, back == 1)
            for back in (0, 1)
        ]
        expected_TBO = torch.cat([output for output, _ in both], -1)
        expected_finals += [last for _, last in both]
    results = (output_TBO, *(part for final in finals for part in final))
    expected = (expected_TBO, *(part for final in expected_finals for part in final))
    lab.assert_same(results, expected, (x_TBI, *stack.parameters(), *(part for parts in state for part in parts)))


@pytest.mark.parametrize("name", ["lstm", "learned"])
def test_a_reset_at_every_step_forgets_everything(lab, name):
    cell, x_TBI = lab.cell(name), lab.inputs()
    output_TBO, _ = unroll(cell, x_TBI, lab.state(cell), resets=torch.ones(T, B, dtype=torch.bool))
    for t in range(T):
        torch.testing.assert_close(output_TBO[t], cell(x_TBI[t], cell.initial_state(B, x_TBI))[0], **EXACT)


@pytest.mark.parametrize("reverse", [False, True])
def test_no_reset_changes_nothing(lab, reverse):
    cell, x_TBI = lab.cell("rrnn"), lab.inputs()
    state, resets = lab.state(cell), torch.zeros(T, B, dtype=torch.bool)
    options = {"lengths": torch.tensor(LENGTHS), "reverse": reverse}
    found, expected = (unroll(cell, x_TBI, state, resets=reset, **options) for reset in (resets, None))
    torch.testing.assert_close(found, expected, **EXACT)


@pytest.mark.parametrize("kind", [torch.uint8, torch.int64])
@pytest.mark.parametrize("reverse", [False, True])
def test_resets_may_be_zeros_and_ones(lab, reverse, kind):
    cell, x_TBI = lab.cell("gru"), lab.inputs()
    options = {"lengths": torch.tensor(LENGTHS), "reverse": reverse}
    found, expected = (unroll(cell, x_TBI, resets=resets_at(BORDERS).to(k), **options) for k in (kind, torch.bool))
    torch.testing.assert_close(found, expected, **EXACT)


@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("shape", [(B, T), (T, B, 1), (T - 1, B), (T,)])
def test_resets_of_another_shape_are_refused(lab, shape, reverse, lengths):
    cell, x_TBI = lab.cell("gru"), lab.inputs()
    lengths = None if lengths is None else torch.tensor(lengths)
    with pytest.raises(UserError, match=r"^resets must have shape \[7, 4\] as time and rows, not \["):
        unroll(cell, x_TBI, resets=torch.zeros(shape, dtype=torch.bool), reverse=reverse, lengths=lengths)
