"""The cells that torch has too: outputs, last states and gradients of torch's modules, whichever holds the weights.

Shape suffixes: T = time steps, B = rows, I = input size, H = hidden size.
"""

import pytest
import torch
from torch import nn

from seqlab.cells.elman import Elman
from seqlab.cells.gru import GRU
from seqlab.cells.lstm import LSTM

I, H, P = 3, 5, 2  # noqa: E741
SAME = {
    "elman": (lambda: Elman(I, H), lambda: nn.RNN(I, H)),
    "elman-relu": (lambda: Elman(I, H, activation="relu"), lambda: nn.RNN(I, H, nonlinearity="relu")),
    "lstm": (lambda: LSTM(I, H), lambda: nn.LSTM(I, H)),
    "lstm-projection": (lambda: LSTM(I, H, projection=P), lambda: nn.LSTM(I, H, proj_size=P)),
    "gru": (lambda: GRU(I, H), lambda: nn.GRU(I, H)),
}


def pairs(cell, module):
    """The cell's weights, in the order of its parameters, and the module's."""
    names = {"input.weight": "weight_ih_l0", "input.bias": "bias_ih_l0", "project_output.weight": "weight_hr_l0"}
    names |= {"recurrent.weight": "weight_hh_l0", "recurrent.bias": "bias_hh_l0"}
    return [(weight, getattr(module, names[name])) for name, weight in cell.named_parameters()]


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("holder", ["cell", "module"])
@pytest.mark.parametrize("name", SAME)
def test_cell_is_torchs_module(lab, name, holder):
    make_cell, make_module = SAME[name]
    cell, module = make_cell().double(), make_module().double()
    lab.randomised(cell if holder == "cell" else module)
    with torch.no_grad():
        for weight, module_weight in pairs(cell, module):
            target, source = (module_weight, weight) if holder == "cell" else (weight, module_weight)
            target.copy_(source)
    assert len(pairs(cell, module)) == len(list(module.parameters()))

    def expected(x_TBI, state):
        parts = tuple(part[None] for part in state)
        output_TBH, last = module(x_TBI, parts if len(parts) > 1 else parts[0])
        return output_TBH, tuple(part[0] for part in (last if len(parts) > 1 else (last,)))

    lab.assert_same(cell, expected, [weight for _, weight in pairs(cell, module)])


@pytest.mark.parametrize("name", SAME)
def test_init_torch_has_the_spread_of_torchs_module(name):
    """The same bound for every weight and bias, that of 1/sqrt(H) and not of the width of h."""
    inputs, hidden, projection = 30, 49, 20
    make = {
        "elman": lambda: (Elman(inputs, hidden, init="torch"), nn.RNN(inputs, hidden)),
        "elman-relu": lambda: (Elman(inputs, hidden, activation="relu", init="torch"), nn.RNN(inputs, hidden)),
        "lstm": lambda: (LSTM(inputs, hidden, init="torch"), nn.LSTM(inputs, hidden)),
        "lstm-projection": lambda: (
            LSTM(inputs, hidden, projection=projection, init="torch"),
            nn.LSTM(inputs, hidden, proj_size=projection),
        ),
        "gru": lambda: (GRU(inputs, hidden, init="torch"), nn.GRU(inputs, hidden)),
    }
    torch.manual_seed(1)
    cell, module = make[name]()
    for weight, module_weight in pairs(cell, module):
        assert weight.shape == module_weight.shape
        for tensor in (weight, module_weight):
            assert 0.85 / 7 < tensor.abs().max() <= 1 / 7
            assert tensor.std().item() == pytest.approx(1 / 7 / 3**0.5, rel=0.25)
