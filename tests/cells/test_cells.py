"""What every built-in cell keeps: its phases, its first state, its sizes, and what it refuses.

Shape suffixes: T = time steps, B = rows, I = input size.
"""

import pytest
import torch

from seqlab.cells.base import RecurrentCell
from seqlab.cells.elman import Elman
from seqlab.cells.gru import GRU
from seqlab.cells.jordan import Jordan
from seqlab.cells.lstm import LSTM
from seqlab.cells.rrnn import RRNN
from seqlab.errors import UserError

T, B, I, H = 7, 4, 3, 5  # noqa: E741
CELLS = [Elman, Jordan, LSTM, GRU, RRNN]
OPTIONS = [
    (Elman, {}),
    (Jordan, {}),
    (LSTM, {}),
    (LSTM, {"peephole": "diagonal", "layer_norm": True, "projection": 2}),
    (LSTM, {"peephole": "full", "candidate": "sigmoid"}),
    (GRU, {}),
    (GRU, {"reset": "before", "layer_norm": True}),
    (RRNN, {}),
    (RRNN, {"feedback": "updated"}),
]


@pytest.mark.parametrize(("cell_class", "options"), OPTIONS)
def test_project_and_readout_of_all_steps_are_those_of_each_step(lab, cell_class, options):
    cell = lab.randomised(cell_class(I, H, **options))
    x_TBI, state = lab.inputs(cell)
    states = [state]
    for x_BI in x_TBI:
        states.append(cell.step(cell.project(x_BI), states[-1]))
    parts = [torch.stack(part) for part in zip(*states, strict=True)]  # [T + 1, B, size]
    one_by_one = [cell.readout(x_TBI[t], states[t], states[t + 1]) for t in range(T)]
    at_once = cell.readout(x_TBI, tuple(part[:-1] for part in parts), tuple(part[1:] for part in parts))
    torch.testing.assert_close(at_once, torch.stack(one_by_one), rtol=0, atol=1e-12)
    projected = torch.stack([cell.project(x_BI) for x_BI in x_TBI])
    torch.testing.assert_close(cell.project(x_TBI), projected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("cell_class", "options"), OPTIONS)
def test_rows_do_not_see_each_other(lab, cell_class, options):
    cell = lab.randomised(cell_class(I, H, **options))
    x_TBI, state = lab.inputs(cell)
    output_BO, new = cell(x_TBI[0], state)
    for row in range(B):
        alone_1O, new_alone = cell(x_TBI[0, row : row + 1], tuple(part[row : row + 1] for part in state))
        expected = (output_BO[row : row + 1], *(part[row : row + 1] for part in new))
        torch.testing.assert_close((alone_1O, *new_alone), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("cell_class", "options", "sizes"),
    [
        (Elman, {}, [H]),
        (Jordan, {}, [H]),
        (LSTM, {}, [H, H]),
        (LSTM, {"projection": 2}, [2, H]),
        (GRU, {}, [H]),
        (RRNN, {}, [H]),
    ],
)
def test_initial_state_is_zeros_like_the_inputs(cell_class, options, sizes):
    state = cell_class(I, H, **options).initial_state(B, torch.ones(2, dtype=torch.double))
    assert [tuple(part.shape) for part in state] == [(B, size) for size in sizes]
    assert all(part.dtype == torch.double and not part.any() for part in state)


@pytest.mark.parametrize("cell_class", CELLS)
@pytest.mark.parametrize(
    ("sizes", "options", "problem"),
    [
        ((0, 5), {}, "sizes must be positive, not input 0, hidden 5"),
        ((3, -1), {}, "sizes must be positive, not input 3, hidden -1"),
        ((3, 5), {"init": "xavier"}, "init must be one of orthogonal, torch, not 'xavier'"),
    ],
)
def test_wrong_sizes_and_inits_are_refused(cell_class, sizes, options, problem):
    with pytest.raises(UserError, match=f"^{cell_class.__name__}: {problem}$"):
        cell_class(*sizes, **options)


@pytest.mark.parametrize(
    ("cell_class", "options", "problem"),
    [
        (Elman, {"activation": "gelu"}, "Elman: activation must be one of tanh, sigmoid, relu, not 'gelu'"),
        (Jordan, {"activation": "gelu"}, "Jordan: activation must be one of tanh, sigmoid, relu, not 'gelu'"),
        (Jordan, {"output_activation": "elu"}, "Jordan: output_activation must be .*, not 'elu'"),
        (RRNN, {"activation": "gelu"}, "RRNN: activation must be .*, not 'gelu'"),
        (RRNN, {"gate_activation": "swish"}, "RRNN: gate_activation must be .*, not 'swish'"),
        (RRNN, {"output_activation": "linear"}, "RRNN: output_activation must be .*, not 'linear'"),
        (RRNN, {"feedback": "both"}, "RRNN: feedback must be one of main, updated, not 'both'"),
    ],
)
def test_unknown_options_are_refused(cell_class, options, problem):
    with pytest.raises(UserError, match=f"^{problem}$"):
        cell_class(I, H, **options)


def test_a_cell_without_update_says_what_it_lacks():
    class Unfinished(RecurrentCell):
        pass

    cell = Unfinished(I, H)
    with pytest.raises(NotImplementedError, match="Unfinished must define update"):
        cell(torch.zeros(B, I), cell.initial_state(B, torch.zeros(1)))


def test_a_cell_without_recurrent_gates_has_no_recurrent_product():
    class Feedforward(RecurrentCell):
        recurrent_gates = ()

    cell = Feedforward(I, H)
    assert [name for name, _ in cell.named_parameters()] == ["input.weight", "input.bias"]
    with pytest.raises(NotImplementedError, match="Feedforward has no parallel form"):
        cell.sequence(torch.zeros(T, B, H), cell.initial_state(B, torch.zeros(1)))
