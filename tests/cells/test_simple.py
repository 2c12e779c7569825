"""Elman, Jordan and RRNN against loops over the equations of their sources, row by row in float64."""

import pytest

from seqlab.cells.elman import Elman
from seqlab.cells.jordan import Jordan
from seqlab.cells.rrnn import RRNN

I, H = 3, 5  # noqa: E741
ACTIVATIONS = ["tanh", "sigmoid", "relu"]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_elman_is_its_equation(lab, activation):
    cell, f = lab.randomised(Elman(I, H, activation=activation)), lab.functions[activation]
    W_xh, W_hh, b_h = cell.input.weight, cell.recurrent.weight, cell.input.bias + cell.recurrent.bias

    def step(x, h):
        h = f(W_hh @ h + W_xh @ x + b_h)
        return h, h

    lab.assert_follows(cell, step)


@pytest.mark.parametrize("output_activation", ACTIVATIONS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_jordan_is_its_equations(lab, activation, output_activation):
    cell = lab.randomised(Jordan(I, H, activation=activation, output_activation=output_activation))
    f, g = lab.functions[activation], lab.functions[output_activation]
    W_xh, W_yh, b_h = cell.input.weight, cell.recurrent.weight, cell.input.bias + cell.recurrent.bias
    W_hy, b_y = cell.output.weight, cell.output.bias

    def step(x, y):
        h = f(W_xh @ x + W_yh @ y + b_h)
        y = g(W_hy @ h + b_y)
        return y, y

    lab.assert_follows(cell, step)


def test_activations_of_jordan_and_elman_start_as_tanh(lab):
    for cell_class in (Elman, Jordan):
        cell = lab.randomised(cell_class(I, H))
        explicit = cell_class(I, H, activation="tanh").double()
        explicit.load_state_dict(cell.state_dict())
        x_TBI, state = lab.inputs(cell)
        assert cell(x_TBI[0], state)[0].equal(explicit(x_TBI[0], state)[0])


RRNN_ACTIVATIONS = [
    {},
    {"activation": "relu"},
    {"activation": "sigmoid", "gate_activation": "tanh", "output_activation": "relu"},
    {"gate_activation": "relu", "output_activation": "sigmoid"},
]


@pytest.mark.parametrize("options", RRNN_ACTIVATIONS, ids=lambda options: "-".join(options.values()) or "default")
@pytest.mark.parametrize("feedback", ["main", "updated"])
def test_rrnn_is_its_equations(lab, feedback, options):
    cell = lab.randomised(RRNN(I, H, feedback=feedback, **options))
    f = lab.functions[options.get("activation", "tanh")]
    g = lab.functions[options.get("gate_activation", "sigmoid")]
    g_out = lab.functions[options.get("output_activation", "tanh")]
    W_xh, W_hh, b_h = cell.input.weight, cell.recurrent.weight, cell.input.bias + cell.recurrent.bias
    W_xr, W_xu = cell.auxiliary_input.weight[:H], cell.auxiliary_input.weight[H:]
    b_r, b_u = cell.auxiliary_input.bias[:H], cell.auxiliary_input.bias[H:]
    W_rr, W_uh = cell.auxiliary_recurrent.weight[:H], cell.auxiliary_recurrent.weight[H:]
    W_rh, W_uo, W_ho = cell.gate.weight, cell.output_updated.weight, cell.output_main.weight
    b_o = cell.output_updated.bias

    def step(x, back):  # what recurs: h or h'
        h = f(W_hh @ back + W_xh @ x + b_h)
        r = g(W_rr @ back + W_xr @ x + b_r)
        updated = f(W_uh @ back + W_xu @ x + (W_rh @ r) * back + b_u)
        o = g_out(W_uo @ updated + W_ho @ h + b_o)
        return o, (h if feedback == "main" else updated)

    lab.assert_follows(cell, step)
