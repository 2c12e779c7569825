"""LSTM with each of its options and all their combinations against a loop over the equations of their sources."""

import itertools

import pytest

from seqlab.cells.lstm import LSTM
from seqlab.errors import UserError

I, H = 3, 5  # noqa: E741
NARROW, WIDE = 2, 7
OPTIONS = list(
    itertools.product(["none", "full", "diagonal"], ["tanh", "sigmoid"], [False, True], [None, NARROW, H, WIDE])
)


def test_plain_lstm_is_its_equations_gate_by_gate(lab):
    """Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000."""
    cell, sigmoid, tanh = lab.randomised(LSTM(I, H)), lab.functions["sigmoid"], lab.functions["tanh"]
    W_xi, W_xf, W_xg, W_xo = cell.input.weight.reshape(4, H, I)
    W_hi, W_hf, W_hg, W_ho = cell.recurrent.weight.reshape(4, H, H)
    b_i, b_f, b_g, b_o = (cell.input.bias + cell.recurrent.bias).reshape(4, H)

    def step(x, h, c):
        i = sigmoid(W_xi @ x + W_hi @ h + b_i)
        f = sigmoid(W_xf @ x + W_hf @ h + b_f)
        g = tanh(W_xg @ x + W_hg @ h + b_g)
        o = sigmoid(W_xo @ x + W_ho @ h + b_o)
        c = f * c + i * g
        h = o * tanh(c)
        return h, h, c

    lab.assert_follows(cell, step)


@pytest.mark.parametrize(("peephole", "candidate", "layer_norm", "projection"), OPTIONS)
def test_lstm_with_options_is_its_equations(lab, peephole, candidate, layer_norm, projection):
    cell = LSTM(I, H, peephole=peephole, candidate=candidate, layer_norm=layer_norm, projection=projection)
    lab.randomised(cell)
    sigmoid, tanh, squash = lab.functions["sigmoid"], lab.functions["tanh"], lab.functions[candidate]
    W_x, W_h = cell.input.weight, cell.recurrent.weight

    def step(x, h, c):
        if layer_norm:  # Ba et al. 2016, equation 20: one norm over all four gates for each product
            gates = lab.norm(W_x @ x, cell.input_norm) + lab.norm(W_h @ h, cell.recurrent_norm)
        else:
            gates = W_x @ x + cell.input.bias + W_h @ h + cell.recurrent.bias
        i, f, g, o = gates.reshape(4, H)
        if peephole == "full":  # all three gates see the old memory through matrices
            W_ci, W_cf, W_co = cell.peephole.weight.reshape(3, H, H)
            i, f, o = i + W_ci @ c, f + W_cf @ c, o + W_co @ c
        if peephole == "diagonal":  # Graves 2013, equations 7 and 8
            w_ci, w_cf, _ = cell.diagonal
            i, f = i + w_ci * c, f + w_cf * c
        c = sigmoid(f) * c + sigmoid(i) * squash(g)
        if peephole == "diagonal":  # Graves 2013, equation 10: the output gate sees the new memory
            o = o + cell.diagonal[2] * c
        h = sigmoid(o) * tanh(lab.norm(c, cell.memory_norm) if layer_norm else c)  # Ba et al. 2016, equation 22
        if projection is not None:  # Sak et al. 2014
            h = cell.project_output.weight @ h
        return h, h, c

    lab.assert_follows(cell, step)
    assert cell.state_sizes == (projection or H, H)
    assert cell.output_size == (projection or H)


def test_options_add_only_their_own_weights(lab):
    plain = {"input.weight", "input.bias", "recurrent.weight", "recurrent.bias"}
    norms = {f"{name}_norm.{kind}" for name in ("input", "recurrent", "memory") for kind in ("weight", "bias")}
    expected = [
        ({}, plain),
        ({"candidate": "sigmoid"}, plain),
        ({"peephole": "full"}, {*plain, "peephole.weight"}),
        ({"peephole": "diagonal"}, {*plain, "diagonal"}),
        ({"projection": NARROW}, {*plain, "project_output.weight"}),
        ({"layer_norm": True}, {"input.weight", "recurrent.weight", *norms}),  # the norms' offsets are the biases
    ]
    for options, names in expected:
        assert {name for name, _ in LSTM(I, H, **options).named_parameters()} == names


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"peephole": "half"}, "LSTM: peephole must be one of none, full, diagonal, not 'half'"),
        ({"candidate": "relu"}, "LSTM: candidate must be one of tanh, sigmoid, not 'relu'"),
        ({"projection": 0}, "LSTM: projection must be positive, not 0"),
        ({"projection": -2}, "LSTM: projection must be positive, not -2"),
    ],
)
def test_unknown_options_are_refused(options, problem):
    with pytest.raises(UserError) as refused:
        LSTM(I, H, **options)
    assert str(refused.value) == problem
