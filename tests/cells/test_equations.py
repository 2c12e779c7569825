"""The equations that a cell tells of itself, computed as they are printed, are what it computes, for every option."""

import itertools
import re

import pytest
import torch

from seqlab.cells.elman import Elman
from seqlab.cells.gru import GRU
from seqlab.cells.jordan import Jordan
from seqlab.cells.lstm import LSTM
from seqlab.cells.rrnn import RRNN

I, H, P, B = 3, 5, 4, 2  # noqa: E741
FUNCTIONS = {"tanh": torch.tanh, "sigmoid": torch.sigmoid, "relu": torch.relu}
EXACT = {"rtol": 0, "atol": 1e-12}


class Matrix:
    """Weights to the left of a vector in each row."""

    def __init__(self, weight):
        self.weight = weight

    def __matmul__(self, vector):
        return vector @ self.weight.T


def blocks(tensor, names):
    """Weights or biases, one below the other, by the names of the gates."""
    return dict(zip(names, tensor.chunk(len(names)), strict=True))


def matrices(of, linear, names):
    return {f"W_{of}{name}": Matrix(block) for name, block in blocks(linear.weight, names).items()}


def biases(form, names, *linears):
    found = [blocks(linear.bias, names) for linear in linears]
    return {form.format(name): sum(each[name] for each in found) for name in names}


def weights_of(cell):
    """The weights and norms of a cell by the names that its equations have for them."""
    norms = {}
    if isinstance(cell, Elman):
        named = matrices("x", cell.input, "h") | matrices("h", cell.recurrent, "h")
        return named | biases("b_{}", "h", cell.input, cell.recurrent), norms
    if isinstance(cell, Jordan):
        named = matrices("x", cell.input, "h") | {"W_yh": Matrix(cell.recurrent.weight)}
        named |= biases("b_{}", "h", cell.input, cell.recurrent) | {"b_y": cell.output.bias}
        return named | {"W_hy": Matrix(cell.output.weight)}, norms
    if isinstance(cell, RRNN):
        sides = ("r", "hu")
        given, recurrent = (blocks(each.weight, sides) for each in (cell.auxiliary_input, cell.auxiliary_recurrent))
        linear = {
            **{"xr": given["r"], "xuh": given["hu"], "rr": recurrent["r"], "huh": recurrent["hu"]},
            **{"xh": cell.input.weight, "hh": cell.recurrent.weight, "rh": cell.gate.weight},
            **{"ho": cell.output_updated.weight, "hou": cell.output_main.weight},
        }
        named = {f"W_{name}": Matrix(weight) for name, weight in linear.items()}
        named |= biases("b_{}", "h", cell.input, cell.recurrent) | biases("b_{}", sides, cell.auxiliary_input)
        return named | {"b_o": cell.output_updated.bias}, norms
    if isinstance(cell, LSTM):
        named = matrices("x", cell.input, "ifgo") | matrices("h", cell.recurrent, "ifgo")
        named |= {"W_x": Matrix(cell.input.weight), "W_h": Matrix(cell.recurrent.weight)}
        named |= {} if cell.input.bias is None else biases("b_{}", "ifgo", cell.input, cell.recurrent)
        named |= {} if cell.peephole is None else matrices("c", cell.peephole, "ifo")
        if cell.diagonal is not None:
            named |= dict(zip(("w_ci", "w_cf", "w_co"), cell.diagonal, strict=True))
        named |= {} if cell.project_output is None else {"W_r": Matrix(cell.project_output.weight)}
        return named, {"W_x": cell.input_norm, "W_h": cell.recurrent_norm, "c_t": cell.memory_norm}
    assert isinstance(cell, GRU)
    before = cell.reset == "before"
    named = matrices("x", cell.input, "rzn") | matrices("h", cell.recurrent, "rz" if before else "rzn")
    named |= {"W_hn": Matrix(cell.candidate.weight)} if before else {}
    named |= {"W_x": Matrix(cell.input.weight[: 2 * H]), "W_h": Matrix(cell.recurrent.weight[: 2 * H])}
    if cell.layer_norm:
        norms = dict(zip(("W_x", "W_xn"), cell.input_norms, strict=True))
        norms |= dict(zip(("W_h", "W_hn"), cell.recurrent_norms, strict=True))
        return named, norms
    named |= biases("b_x{}", "rzn", cell.input) | biases("b_h{}", "rz" if before else "rzn", cell.recurrent)
    return named | ({"b_hn": cell.candidate.bias} if before else {}), norms


def computed(cell, x, state):
    """The values of all names after the printed equations, one after the other."""
    named, norms = weights_of(cell)
    known = {**FUNCTIONS, **named, "norms": norms, "x_t": x}
    known |= {f"{name}_before": part for name, part in zip(cell.states, state, strict=True)}
    if isinstance(cell, RRNN):
        known["hu_before"] = state[0]
    known |= {f"part_{gate}": slice(n * H, (n + 1) * H) for n, gate in enumerate(cell.gates)}
    for equation, _ in cell.equations():
        left, right = equation.replace("'", "u").replace("_{t-1}", "_before").split("=")
        right = re.sub(r"\b(W_\w+) (?=[\w(])", r"\1 @ ", right)  # side by side is a product
        right = re.sub(r"LN\((\w+)", r'norms["\1"](\1', right)
        known[left.strip()] = eval(re.sub(r"\)_(\w)\b", r")[..., part_\1]", right), {}, known)
    return known


ACTIVATIONS = [dict(zip(("activation", "output_activation"), pair, strict=True))
               for pair in itertools.product(FUNCTIONS, FUNCTIONS)]  # fmt: skip
CELLS = [
    *((Elman, {"activation": name}) for name in FUNCTIONS),
    *((Jordan, options) for options in ACTIVATIONS),
    *((RRNN, {"feedback": feedback, **options}) for feedback in ("main", "updated") for options in ACTIVATIONS),
    (RRNN, {"gate_activation": "relu"}),
    *((GRU, {"reset": reset, "layer_norm": norm}) for reset in ("after", "before") for norm in (False, True)),
    *(
        (LSTM, {"peephole": peephole, "candidate": candidate, "layer_norm": norm, "projection": projection})
        for peephole in ("none", "diagonal", "full")
        for candidate in ("tanh", "sigmoid")
        for norm in (False, True)
        for projection in (None, P)
    ),
]


@pytest.mark.parametrize(("kind", "options"), CELLS)
def test_a_cell_computes_the_equations_that_it_tells(lab, kind, options):
    cell = lab.randomised(kind(I, H, **options))
    state = tuple(lab.draw(B, size, seed=size) for size in cell.state_sizes)
    x = lab.draw(B, I, seed=1)
    output, new = cell(x, state)
    known = computed(cell, x, state)
    recurs = ("hu_t",) if options.get("feedback") == "updated" else tuple(f"{name}_t" for name in cell.states)
    for name, part in zip(recurs, new, strict=True):
        torch.testing.assert_close(known[name], part, **EXACT)
    torch.testing.assert_close(known["o_t" if kind is RRNN else recurs[0]], output, **EXACT)


@pytest.mark.parametrize("kind", [Elman, Jordan, GRU, LSTM, RRNN])
def test_by_default_they_are_those_of_the_docstring(kind):
    """There f, g and g' stand for what the options say."""
    doc = kind.__doc__.replace("'", "u")
    letters = {"f": "tanh", "g": "tanh"} if kind is not RRNN else {"f": "tanh", "g": "sigmoid", "gu": "tanh"}
    for letter, function in letters.items():
        doc = re.sub(rf"(= ){letter}\(", rf"\1{function}(", doc)
    for equation, _ in kind(I, H).equations():
        assert equation.replace("'", "u") in doc
