"""How the weights of the built-in cells start."""

import pytest
import torch
from torch import nn

from seqlab.cells.base import RecurrentCell
from seqlab.cells.elman import Elman
from seqlab.cells.gru import GRU
from seqlab.cells.jordan import Jordan
from seqlab.cells.lstm import LSTM
from seqlab.cells.rrnn import RRNN

I, H, NARROW, WIDE = 3, 5, 2, 7  # noqa: E741
CELLS = [Elman, Jordan, LSTM, GRU, RRNN]
RECURRENT = [  # a cell, its recurrent maps, and their number of gates
    (Elman, {}, ["recurrent"], 1),
    (Jordan, {}, ["recurrent", "output"], 2),
    (LSTM, {}, ["recurrent"], 4),
    (LSTM, {"peephole": "full"}, ["recurrent", "peephole"], 7),
    (LSTM, {"layer_norm": True}, ["recurrent"], 4),
    (GRU, {}, ["recurrent"], 3),
    (GRU, {"reset": "before"}, ["recurrent", "candidate"], 3),
    (GRU, {"reset": "before", "layer_norm": True}, ["recurrent", "candidate"], 3),
    (RRNN, {}, ["recurrent", "auxiliary_recurrent"], 3),
]


@pytest.mark.parametrize(("cell_class", "options", "names", "gates"), RECURRENT)
def test_recurrent_weights_start_orthogonal_gate_by_gate(cell_class, options, names, gates):
    cell = cell_class(I, H, **options)
    blocks = [block for name in names for block in cell.get_submodule(name).weight.split(H)]
    assert len(blocks) == gates
    for block in blocks:
        torch.testing.assert_close(block @ block.T, torch.eye(H))


def test_projections_start_orthogonal_along_their_shorter_side():
    narrow, wide = LSTM(I, H, projection=NARROW), LSTM(I, H, projection=WIDE)
    for block in (narrow.project_output.weight, *(block.T for block in narrow.recurrent.weight.split(H))):
        assert block.shape == (NARROW, H)
        torch.testing.assert_close(block @ block.T, torch.eye(NARROW))
    for block in (wide.project_output.weight, *(block.T for block in wide.recurrent.weight.split(H))):
        assert block.shape == (WIDE, H)
        torch.testing.assert_close(block.T @ block, torch.eye(H))


@pytest.mark.parametrize("cell_class", CELLS)
def test_input_weights_start_xavier_gate_by_gate(cell_class):
    """Uniform up to the bound of one gate, which is wider than that of all gates in one matrix."""
    torch.manual_seed(1)
    inputs, hidden = 30, 50
    cell, bound = cell_class(inputs, hidden), (6 / (inputs + hidden)) ** 0.5
    for linear in [cell.input] + ([cell.auxiliary_input] if cell_class is RRNN else []):
        for block in linear.weight.split(hidden):
            assert 0.97 * bound < block.abs().max() <= bound
            assert block.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)


@pytest.mark.parametrize("options", [{}, {"peephole": "full"}, {"projection": NARROW}, {"layer_norm": True}])
def test_the_forget_gate_of_lstm_starts_open(options):
    """An offset of 1 in one of the two places that are added, and 0 in every other bias."""
    cell = LSTM(I, H, **options)
    norm = options.get("layer_norm", False)
    first, second = (cell.input_norm, cell.recurrent_norm) if norm else (cell.input, cell.recurrent)
    expected = torch.zeros(4 * H)
    expected[H : 2 * H] = 1.0  # gates i, f, g, o
    assert torch.equal(first.bias + second.bias, expected)
    assert not first.bias.any()
    assert not norm or not cell.memory_norm.bias.any()


def test_the_forget_gate_of_a_cell_of_ones_own_starts_open_wherever_it_is():
    class Parallel(RecurrentCell):
        gates = ("z", "f")
        recurrent_gates: tuple[str, ...] = ()
        forget_gate = "f"

    class OneProduct(Parallel):
        recurrent_gates = ("f",)

    opened = torch.tensor([0.0] * H + [1.0] * H)
    assert torch.equal(Parallel(I, H).input.bias, opened)
    assert torch.equal(OneProduct(I, H).recurrent.bias, torch.ones(H))
    assert not OneProduct(I, H).input.bias.any()
    assert not torch.equal(Parallel(I, H, init="torch").input.bias, opened)


@pytest.mark.parametrize(
    ("cell_class", "options", "count"),
    [
        (Elman, {}, 2),
        (Jordan, {}, 3),
        (GRU, {}, 2),
        (GRU, {"reset": "before"}, 3),
        (GRU, {"layer_norm": True}, 4),
        (RRNN, {}, 4),
    ],
)
def test_biases_of_the_other_cells_start_at_zero(cell_class, options, count):
    biases = [value for name, value in cell_class(I, H, **options).named_parameters() if name.endswith("bias")]
    assert len(biases) == count
    assert not any(bias.any() for bias in biases)


def test_norms_start_as_the_identity_and_peepholes_shut():
    norms = [
        module for module in LSTM(I, H, layer_norm=True, init="torch").modules() if isinstance(module, nn.LayerNorm)
    ]
    norms += [module for module in GRU(I, H, layer_norm=True).modules() if isinstance(module, nn.LayerNorm)]
    assert sorted(norm.normalized_shape[0] for norm in norms) == [H, H, H, 2 * H, 2 * H, 4 * H, 4 * H]
    assert all((norm.weight == 1).all() and not norm.bias.any() for norm in norms)
    assert torch.equal(LSTM(I, H, peephole="diagonal").diagonal, torch.zeros(3, H))


@pytest.mark.parametrize(
    ("cell_class", "options"),
    [
        *((cell_class, {}) for cell_class in CELLS),
        (LSTM, {"peephole": "full", "projection": 60}),
        (GRU, {"reset": "before"}),
    ],
)
def test_init_torch_is_uniform_within_one_over_root_hidden_size(cell_class, options):
    torch.manual_seed(1)
    cell = cell_class(30, 49, init="torch", **options)
    for parameter in cell.parameters():
        assert 0.85 / 7 < parameter.abs().max() <= 1 / 7
        assert parameter.std().item() == pytest.approx(1 / 7 / 3**0.5, rel=0.25)
