"""The built-in cells: their equations, their gradients, how their weights start, and what they refuse.

Shape suffixes: T = time steps, B = rows, I = input size, H = hidden size.
"""

import pytest
import torch
from torch import nn

from seqlab.cells.base import RecurrentCell
from seqlab.cells.elman import Elman
from seqlab.cells.gru import GRU
from seqlab.cells.lstm import LSTM
from seqlab.cells.rrnn import RRNN
from seqlab.errors import UserError

T, B, I, H = 7, 4, 3, 5  # noqa: E741
CELLS = [Elman, LSTM, GRU, RRNN]
EXACT = {"rtol": 0, "atol": 1e-12}
FUNCTIONS = {"tanh": torch.tanh, "sigmoid": torch.sigmoid, "relu": lambda x: x.clamp(min=0)}


def randomised(cell):
    """The cell in float64, with every weight and bias random, so that none is 0 or special."""
    generator = torch.Generator().manual_seed(1)
    cell.double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.normal_(std=0.5, generator=generator)
    return cell


def random_inputs(cell):
    """Inputs ``[T, B, I]`` and an initial state, all of which want a gradient."""
    generator = torch.Generator().manual_seed(2)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.double).requires_grad_()

    return draw(T, B, I), tuple(draw(B, size) for size in cell.state_sizes)


def by_the_cell(cell, x_TBI, state):
    """Outputs and last state, step by step through ``forward``."""
    outputs = []
    for x_BI in x_TBI:
        output_BH, state = cell(x_BI, state)
        outputs.append(output_BH)
    return torch.stack(outputs), state


def gradients(results, inputs):
    """Gradients of a sum of all results with fixed random factors."""
    generator = torch.Generator().manual_seed(3)
    factors = [torch.randn(result.shape, generator=generator, dtype=torch.double) for result in results]
    return torch.autograd.grad(results, inputs, factors)


def assert_same(cell, expected, weights, expected_weights=None):
    """The cell's outputs, last state and gradients are those of the function ``expected(x, state)``."""
    x_TBI, state = random_inputs(cell)
    output_TBH, last = by_the_cell(cell, x_TBI, state)
    expected_TBH, expected_last = expected(x_TBI, state)
    results, expected_results = (output_TBH, *last), (expected_TBH, *expected_last)
    torch.testing.assert_close(results, expected_results, **EXACT)
    grads = gradients(results, (x_TBI, *state, *weights))
    expected_grads = gradients(expected_results, (x_TBI, *state, *(expected_weights or weights)))
    torch.testing.assert_close(grads, expected_grads, **EXACT)
    assert all(grad.abs().max() > 1e-3 for grad in grads)


@pytest.mark.parametrize(("cell_class", "torch_class"), [(Elman, nn.RNN), (LSTM, nn.LSTM), (GRU, nn.GRU)])
def test_cell_is_torchs_module(cell_class, torch_class):
    cell, module = randomised(cell_class(I, H)), torch_class(I, H).double()
    weights = [cell.input.weight, cell.recurrent.weight, cell.input.bias, cell.recurrent.bias]
    expected_weights = [module.weight_ih_l0, module.weight_hh_l0, module.bias_ih_l0, module.bias_hh_l0]
    with torch.no_grad():
        for weight, expected in zip(weights, expected_weights, strict=True):
            expected.copy_(weight)

    def expected(x_TBI, state):
        parts = tuple(part[None] for part in state)
        output_TBH, last = module(x_TBI, parts if len(parts) > 1 else parts[0])
        return output_TBH, tuple(part[0] for part in (last if len(parts) > 1 else (last,)))

    assert_same(cell, expected, weights, expected_weights)


@pytest.mark.parametrize("activation", FUNCTIONS)
def test_elman_is_its_equation(activation):
    cell, f = randomised(Elman(I, H, activation=activation)), FUNCTIONS[activation]

    def expected(x_TBI, state):
        (h,), outputs = state, []
        for x in x_TBI:
            h = f(h @ cell.recurrent.weight.T + x @ cell.input.weight.T + cell.input.bias + cell.recurrent.bias)
            outputs.append(h)
        return torch.stack(outputs), (h,)

    assert_same(cell, expected, list(cell.parameters()))


RRNN_ACTIVATIONS = [
    {},
    {"activation": "relu"},
    {"activation": "sigmoid", "gate_activation": "tanh", "output_activation": "relu"},
    {"gate_activation": "relu", "output_activation": "sigmoid"},
]


@pytest.mark.parametrize("options", RRNN_ACTIVATIONS, ids=lambda options: "-".join(options.values()) or "default")
@pytest.mark.parametrize("feedback", ["main", "updated"])
def test_rrnn_is_its_equations(feedback, options):
    cell = randomised(RRNN(I, H, feedback=feedback, **options))
    f = FUNCTIONS[options.get("activation", "tanh")]
    g = FUNCTIONS[options.get("gate_activation", "sigmoid")]
    g_out = FUNCTIONS[options.get("output_activation", "tanh")]

    def expected(x_TBI, state):
        W_xh, W_hh, b_h = cell.input.weight, cell.recurrent.weight, cell.input.bias + cell.recurrent.bias
        W_xr, W_xu = cell.auxiliary_input.weight[:H], cell.auxiliary_input.weight[H:]
        b_r, b_u = cell.auxiliary_input.bias[:H], cell.auxiliary_input.bias[H:]
        W_rr, W_uh = cell.auxiliary_recurrent.weight[:H], cell.auxiliary_recurrent.weight[H:]
        W_rh, W_uo, W_ho, b_o = (
            cell.gate.weight,
            cell.output_updated.weight,
            cell.output_main.weight,
            cell.output_updated.bias,
        )
        outputs, rows = [], []
        for row in range(B):
            back = state[0][row]  # what recurs: h or h'
            for x in x_TBI[:, row]:
                h = f(W_hh @ back + W_xh @ x + b_h)
                r = g(W_rr @ back + W_xr @ x + b_r)
                updated = f(W_uh @ back + W_xu @ x + (W_rh @ r) * back + b_u)
                outputs.append(g_out(W_uo @ updated + W_ho @ h + b_o))
                back = h if feedback == "main" else updated
            rows.append(back)
        return torch.stack(outputs).unflatten(0, (B, T)).transpose(0, 1), (torch.stack(rows),)

    assert_same(cell, expected, list(cell.parameters()))


@pytest.mark.parametrize("cell_class", CELLS)
def test_project_and_readout_of_all_steps_are_those_of_each_step(cell_class):
    cell = randomised(cell_class(I, H))
    x_TBI, state = random_inputs(cell)
    states = [state]
    for x_BI in x_TBI:
        states.append(cell.step(cell.project(x_BI), states[-1]))
    parts = [torch.stack(part) for part in zip(*states, strict=True)]  # [T + 1, B, size]
    one_by_one = [cell.readout(x_TBI[t], states[t], states[t + 1]) for t in range(T)]
    at_once = cell.readout(x_TBI, tuple(part[:-1] for part in parts), tuple(part[1:] for part in parts))
    torch.testing.assert_close(at_once, torch.stack(one_by_one), **EXACT)
    torch.testing.assert_close(cell.project(x_TBI), torch.stack([cell.project(x_BI) for x_BI in x_TBI]), **EXACT)


@pytest.mark.parametrize(("cell_class", "parts"), [(Elman, 1), (LSTM, 2), (GRU, 1), (RRNN, 1)])
def test_initial_state_is_zeros_like_the_inputs(cell_class, parts):
    state = cell_class(I, H).initial_state(B, torch.ones(2, dtype=torch.double))
    assert len(state) == parts
    for part in state:
        torch.testing.assert_close(part, torch.zeros(B, H, dtype=torch.double), rtol=0, atol=0)


@pytest.mark.parametrize("cell_class", CELLS)
def test_recurrent_weights_start_orthogonal_gate_by_gate(cell_class):
    cell = cell_class(I, H)
    maps = [cell.recurrent] + ([cell.auxiliary_recurrent] if cell_class is RRNN else [])
    blocks = [block for linear in maps for block in linear.weight.split(H)]
    assert len(blocks) == {Elman: 1, LSTM: 4, GRU: 3, RRNN: 3}[cell_class]
    for block in blocks:
        torch.testing.assert_close(block @ block.T, torch.eye(H))


@pytest.mark.parametrize("cell_class", CELLS)
def test_input_weights_start_xavier_gate_by_gate(cell_class):
    """Uniform up to the bound of one gate, which is wider than that of all gates in one matrix."""
    inputs, hidden = 30, 50
    cell, bound = cell_class(inputs, hidden), (6 / (inputs + hidden)) ** 0.5
    for linear in [cell.input] + ([cell.auxiliary_input] if cell_class is RRNN else []):
        for block in linear.weight.split(hidden):
            assert 0.97 * bound < block.abs().max() <= bound
            assert block.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)


@pytest.mark.parametrize("cell_class", CELLS)
def test_biases_start_at_zero_but_the_forget_gates_at_one(cell_class):
    cell = cell_class(I, H)
    both = cell.input.bias + cell.recurrent.bias
    expected = torch.zeros_like(both)
    if cell_class is LSTM:
        expected[H : 2 * H] = 1.0  # gates i, f, g, o
    torch.testing.assert_close(both, expected, rtol=0, atol=0)
    others = [value for name, value in cell.named_parameters() if "bias" in name and name.split(".")[0] not in INPUTS]
    assert len(others) == (2 if cell_class is RRNN else 0)
    assert not any(bias.any() for bias in others)


INPUTS = ("input", "recurrent")


@pytest.mark.parametrize("cell_class", CELLS)
def test_init_torch_is_uniform_within_one_over_root_hidden_size(cell_class):
    cell = cell_class(30, 49, init="torch")
    for parameter in cell.parameters():
        assert 0.85 / 7 < parameter.abs().max() <= 1 / 7
        assert parameter.std().item() == pytest.approx(1 / 7 / 3**0.5, rel=0.25)


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
    with pytest.raises(UserError, match=f"^{cell_class.__name__}: {problem}"):
        cell_class(*sizes, **options)


@pytest.mark.parametrize(
    ("cell_class", "options", "problem"),
    [
        (Elman, {"activation": "gelu"}, "Elman: activation must be one of tanh, sigmoid, relu, not 'gelu'"),
        (RRNN, {"activation": "gelu"}, "RRNN: .*activation must be .*, not 'gelu'"),
        (RRNN, {"gate_activation": "swish"}, "RRNN: .*activation must be .*, not 'swish'"),
        (RRNN, {"output_activation": "linear"}, "RRNN: .*activation must be .*, not 'linear'"),
        (RRNN, {"feedback": "both"}, "RRNN: feedback must be one of main, updated, not 'both'"),
    ],
)
def test_unknown_options_are_refused(cell_class, options, problem):
    with pytest.raises(UserError, match=problem):
        cell_class(I, H, **options)


def test_a_cell_without_update_says_what_it_lacks():
    class Unfinished(RecurrentCell):
        pass

    cell = Unfinished(I, H)
    with pytest.raises(NotImplementedError, match="Unfinished must define update"):
        cell(torch.zeros(B, I), cell.initial_state(B, torch.zeros(1)))
