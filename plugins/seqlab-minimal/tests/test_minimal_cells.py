"""The cells against loops written from their equations, their parallel form, and seqlab's own checks.

Shape suffixes: T = time steps, B = rows, I = input size, H = hidden size.
"""

import os
import subprocess
import sys

import pytest
import torch
from seqlab_minimal.mingru import MinGRU
from seqlab_minimal.minlstm import MinLSTM
from seqlab_minimal.two_gate import TwoGate

from seqlab import UserError, unroll
from seqlab.testing import check_cell

T, B, I, H = 7, 4, 3, 5  # noqa: E741
EXACT = {"rtol": 0, "atol": 1e-12}
NAMES = {"mingru": MinGRU, "minlstm": MinLSTM, "two-gate": TwoGate}
LINEAR = [(MinGRU, "linear"), (MinGRU, "positive"), (MinLSTM, "linear"), (MinLSTM, "positive")]


def random(*shape, seed, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(*shape, generator=generator, dtype=torch.double)).requires_grad_()


def randomised(cell):
    """The cell in float64, with every weight and bias random, so that none is 0 or special."""
    cell.double()
    with torch.no_grad():
        for seed, parameter in enumerate(cell.parameters()):
            parameter.copy_(random(*parameter.shape, seed=seed, scale=0.7))
    return cell


def s(x):
    return 1 / (1 + (-x).exp())


def g(x):
    return torch.stack([v + 0.5 if v >= 0 else s(v) for v in x])


def candidate(kind, x):
    return x if kind == "linear" else g(x)


def min_gru(cell, x, h, kind):
    (W_z, W_h), (b_z, b_h) = cell.input.weight.split(H), cell.input.bias.split(H)
    z = s(W_z @ x + b_z)
    return (1 - z) * h + z * candidate(kind, W_h @ x + b_h)


def min_lstm(cell, x, h, kind):
    (W_f, W_i, W_h), (b_f, b_i, b_h) = cell.input.weight.split(H), cell.input.bias.split(H)
    f, i = s(W_f @ x + b_f), s(W_i @ x + b_i)
    return f / (f + i) * h + i / (f + i) * candidate(kind, W_h @ x + b_h)


def two_gate(cell, x, h, kind):
    W_f, W_i, W_c = torch.cat([cell.input.weight, cell.recurrent.weight], 1).split(H)
    b_f, b_i, b_c = (cell.input.bias + cell.recurrent.bias).split(H)
    xh = torch.cat([x, h])
    return s(W_f @ xh + b_f) * h + s(W_i @ xh + b_i) * s(W_c @ xh + b_c)


def by_the_equations(equations, cell, x_TBI, h_BH, kind="linear"):
    """Outputs and last state, row by row and step by step."""
    rows = []
    for row in range(x_TBI.shape[1]):
        states = [h_BH[row]]
        for x in x_TBI[:, row]:
            states.append(equations(cell, x, states[-1], kind))
        rows.append(torch.stack(states[1:]))
    output_TBH = torch.stack(rows, 1)
    return output_TBH, output_TBH[-1]


def assert_same(cell, results, expected, inputs):
    torch.testing.assert_close(results, expected, **EXACT)
    factors = [random(*result.shape, seed=20 + n).detach() for n, result in enumerate(expected)]
    inputs = (*inputs, *cell.parameters())
    grads, expected_grads = (torch.autograd.grad(each, inputs, factors) for each in (results, expected))
    torch.testing.assert_close(grads, expected_grads, **EXACT)
    assert all(grad.abs().max() > 1e-3 for grad in expected_grads)


@pytest.mark.parametrize("engine", ["plain", "deferred", "sequence"])
@pytest.mark.parametrize(("cell_class", "kind"), LINEAR)
def test_linear_cells_are_their_equations(cell_class, kind, engine):
    cell = randomised(cell_class(I, H, candidate=kind))
    x_TBI, h_BH = random(T, B, I, seed=10), random(B, H, seed=11)
    output_TBH, (last_BH,) = unroll(cell, x_TBI, (h_BH,), engine=engine)
    equations = min_gru if cell_class is MinGRU else min_lstm
    expected = by_the_equations(equations, cell, x_TBI, h_BH, kind)
    assert_same(cell, (output_TBH, last_BH), expected, (x_TBI, h_BH))


@pytest.mark.parametrize("engine", ["plain", "deferred", "factored"])
def test_two_gate_is_its_equations(engine):
    cell = randomised(TwoGate(I, H))
    x_TBI, h_BH = random(T, B, I, seed=10), random(B, H, seed=11)
    output_TBH, (last_BH,) = unroll(cell, x_TBI, (h_BH,), engine=engine)
    assert_same(cell, (output_TBH, last_BH), by_the_equations(two_gate, cell, x_TBI, h_BH), (x_TBI, h_BH))


@pytest.mark.parametrize("steps", [1, 2, 8, 9, 33])
@pytest.mark.parametrize(("cell_class", "kind"), LINEAR)
def test_all_steps_at_once_are_the_steps_one_by_one(cell_class, kind, steps):
    cell = randomised(cell_class(I, H, candidate=kind))
    gx_TBG, state = cell.project(random(steps, B, I, seed=12)), (random(B, H, seed=13),)
    (at_once_TBH,) = cell.sequence(gx_TBG, state)
    one_by_one = []
    for gx_BG in gx_TBG:
        state = cell.step(gx_BG, state)
        one_by_one.append(state[0])
    torch.testing.assert_close(at_once_TBH, torch.stack(one_by_one), **EXACT)


@pytest.mark.parametrize("cell_class", [MinGRU, MinLSTM])
def test_there_is_no_recurrent_product(cell_class):
    assert {name for name, _ in cell_class(I, H).named_parameters()} == {"input.weight", "input.bias"}


@pytest.mark.parametrize(("gates", "kept"), [((-200, -200), 0.5), ((-200, -190), 4.5e-5), ((200, 200), 0.5)])
def test_minlstm_with_both_gates_shut_or_open_shares_as_the_quotient_does(gates, kept):
    cell = MinLSTM(1, 1)
    with torch.no_grad():
        cell.input.weight.copy_(torch.tensor([*gates, 0.0])[:, None])
        cell.input.bias.copy_(torch.tensor([0.0, 0.0, 3.0]))
    x = torch.ones(1, 1, requires_grad=True)
    output, _ = cell(x, (torch.full((1, 1), 7.0),))
    assert output.item() == pytest.approx(kept * 7 + (1 - kept) * 3, rel=1e-3)
    output.sum().backward()
    assert x.grad.isfinite().all()


def test_positive_candidates_keep_the_state_above_zero():
    for cell_class in (MinGRU, MinLSTM):
        cell = randomised(cell_class(I, H, candidate="positive"))
        output_TBH, _ = unroll(cell, random(T, B, I, seed=14, scale=5.0))
        assert output_TBH.min() > 0


@pytest.mark.parametrize(("cell_class", "opened"), [(MinGRU, None), (MinLSTM, 0), (TwoGate, 0)])
def test_only_the_forget_gate_starts_open(cell_class, opened):
    cell = cell_class(I, H)
    biases = sum(value for name, value in cell.named_parameters() if name.endswith("bias"))
    expected = [float(gate == opened) for gate in range(len(cell.gates)) for _ in range(H)]
    assert biases.tolist() == expected
    assert cell_class(I, H, init="torch").input.bias.abs().max() <= H**-0.5


@pytest.mark.parametrize("cell_class", [MinGRU, MinLSTM])
def test_an_unknown_candidate_is_refused(cell_class):
    problem = f"{cell_class.__name__}: candidate must be one of linear, positive, not 'log'"
    with pytest.raises(UserError, match=f"^{problem}$"):
        cell_class(I, H, candidate="log")


def test_installed_the_names_are_listed():
    wide = {**os.environ, "COLUMNS": "200"}
    done = subprocess.run([sys.executable, "-m", "seqlab", "cells"], env=wide, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    listed = {line.split()[0]: line for line in done.stdout.splitlines()}
    for name, cell_class in NAMES.items():
        assert "seqlab-minimal 0.1.0" in listed[name]
        assert cell_class.__doc__.partition(":")[0] in listed[name]


@pytest.mark.parametrize("cell", [*NAMES, "mingru:candidate=positive", "minlstm:candidate=positive"])
def test_seqlabs_own_checks_pass(cell):
    check_cell(cell)
