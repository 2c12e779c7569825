"""The Mogrifier LSTM against a loop written from the paper's equations, and seqlab's own checks.

Shape suffixes: T = time steps, B = rows, I = input size, H = hidden size.
"""

import os
import subprocess
import sys

import pytest
import torch
from seqlab_mogrifier.mogrifier_lstm import MogrifierLSTM

from seqlab import UserError, unroll
from seqlab.cells.base import RecurrentLinear
from seqlab.cells.lstm import LSTM
from seqlab.testing import check_cell

T, B, I, H = 7, 4, 3, 5  # noqa: E741
EXACT = {"rtol": 0, "atol": 1e-12}
ROUNDS = [(rounds, rank) for rounds in range(7) for rank in (None, 2)]


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


def random_inputs():
    return random(T, B, I, seed=50), (random(B, H, seed=51), random(B, H, seed=52))


def s(x):
    return 1 / (1 + (-x).exp())


def mogrified(x, h, rounds, Q, R):
    """The modulated x and h of one row, from sequences that have the paper's indices."""
    xs, hs = {-1: x}, {0: h}
    for i in range(1, rounds + 1):
        if i % 2 == 1:
            xs[i] = 2 * s(Q[i] @ hs[i - 1]) * xs[i - 2]
        else:
            hs[i] = 2 * s(R[i] @ xs[i - 1]) * hs[i - 2]
    return xs[max(xs)], hs[max(hs)]


def by_the_equations(cell, rounds, x_TBI, state):
    """Outputs and last state, row by row and step by step."""
    weights = {i: cell.modulations[i - 1] for i in range(1, rounds + 1)}
    full = {
        i: each.weight if isinstance(each, torch.nn.Linear) else each[1].weight @ each[0].weight
        for i, each in weights.items()
    }
    Q, R = ({i: weight for i, weight in full.items() if i % 2 == odd} for odd in (1, 0))
    assert all(weight.shape == (I, H) for weight in Q.values())
    assert all(weight.shape == (H, I) for weight in R.values())
    W_xi, W_xf, W_xg, W_xo = cell.input.weight.split(H)
    W_hi, W_hf, W_hg, W_ho = cell.recurrent.weight.split(H)
    b_i, b_f, b_g, b_o = (cell.input.bias + cell.recurrent.bias).split(H)
    outputs, memories = [], []
    for row in range(B):
        h, c = (part[row] for part in state)
        for x in x_TBI[:, row]:
            x, h = mogrified(x, h, rounds, Q, R)
            i, f = s(W_xi @ x + W_hi @ h + b_i), s(W_xf @ x + W_hf @ h + b_f)
            g, o = torch.tanh(W_xg @ x + W_hg @ h + b_g), s(W_xo @ x + W_ho @ h + b_o)
            c = f * c + i * g
            h = o * torch.tanh(c)
            outputs.append(h)
        memories.append(c)
    output_TBH = torch.stack(outputs).unflatten(0, (B, T)).transpose(0, 1)
    return output_TBH, (output_TBH[-1], torch.stack(memories))


@pytest.mark.parametrize("engine", ["plain", "deferred"])
@pytest.mark.parametrize(("rounds", "rank"), ROUNDS)
def test_it_is_its_equations(rounds, rank, engine):
    cell = randomised(MogrifierLSTM(I, H, rounds=rounds, rank=rank))
    x_TBI, state = random_inputs()
    output_TBH, last = unroll(cell, x_TBI, state, engine=engine)
    expected_TBH, expected_last = by_the_equations(cell, rounds, x_TBI, state)
    results, expected = (output_TBH, *last), (expected_TBH, *expected_last)
    torch.testing.assert_close(results, expected, **EXACT)
    factors = [random(*result.shape, seed=60 + n).detach() for n, result in enumerate(expected)]
    inputs = (x_TBI, *state, *cell.parameters())
    grads, expected_grads = (torch.autograd.grad(each, inputs, factors) for each in (results, expected))
    torch.testing.assert_close(grads, expected_grads, **EXACT)
    assert all(grad.abs().max() > 1e-3 for grad in expected_grads)


@pytest.mark.parametrize("engine", ["plain", "deferred"])
def test_no_rounds_are_seqlabs_lstm_bit_by_bit(engine):
    lstm, cell = randomised(LSTM(I, H)), MogrifierLSTM(I, H, rounds=0).double()
    cell.load_state_dict(lstm.state_dict())
    x_TBI, state = random_inputs()
    (output_TBH, last), (expected_TBH, expected_last) = (
        unroll(each, x_TBI, state, engine=engine) for each in (cell, lstm)
    )
    assert torch.equal(output_TBH, expected_TBH)
    assert all(torch.equal(part, expected) for part, expected in zip(last, expected_last, strict=True))


def test_no_rounds_start_as_seqlabs_lstm_does():
    cells = []
    for make in (LSTM, lambda *sizes: MogrifierLSTM(*sizes, rounds=0)):
        torch.manual_seed(3)
        cells.append(make(I, H).state_dict())
    assert cells[0].keys() == cells[1].keys()
    assert all(torch.equal(cells[0][name], cells[1][name]) for name in cells[0])


def test_torchs_kernel_is_not_taken_for_it():
    with pytest.raises(UserError, match="engine native cannot run MogrifierLSTM"):
        unroll(MogrifierLSTM(I, H), torch.zeros(T, B, I), engine="native")


@pytest.mark.parametrize(("rank", "size"), [(None, 5 * I * H), (2, 5 * 2 * (I + H))])
def test_the_rank_is_that_of_every_round(rank, size):
    assert sum(weight.numel() for weight in MogrifierLSTM(I, H, rank=rank).modulations.parameters()) == size


@pytest.mark.parametrize(("rank", "of_state"), [(None, ["0", "2", "4"]), (2, ["0.0", "2.0", "4.0"])])
def test_weight_drop_knows_the_maps_of_the_state(rank, of_state):
    cell = MogrifierLSTM(I, H, rank=rank)
    found = [name for name, layer in cell.named_modules() if isinstance(layer, RecurrentLinear)]
    assert found == ["recurrent", *(f"modulations.{name}" for name in of_state)]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"rounds": -1}, "MogrifierLSTM: rounds must be at least 0, not -1"),
        ({"rank": 0}, "MogrifierLSTM: rank must be positive, not 0"),
    ],
)
def test_options_out_of_range_are_refused(options, problem):
    with pytest.raises(UserError, match=f"^{problem}$"):
        MogrifierLSTM(I, H, **options)


def test_installed_the_name_is_listed():
    wide = {**os.environ, "COLUMNS": "200"}
    done = subprocess.run([sys.executable, "-m", "seqlab", "cells"], env=wide, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("mogrifier-lstm "))
    assert "seqlab-mogrifier 0.1.0" in line
    assert "LSTM whose input and state modulate each other" in line


@pytest.mark.parametrize("cell", ["mogrifier-lstm", "mogrifier-lstm:rounds=0", "mogrifier-lstm:rounds=2,rank=2"])
def test_seqlabs_own_checks_pass(cell):
    check_cell(cell)
