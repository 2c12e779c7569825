"""Which cells are taken for one recurrent product and a pointwise update, and which mix units somewhere."""

import pytest
import torch
from torch import nn

from seqlab.cells.base import RecurrentCell
from seqlab.cells.contract import is_elementwise
from seqlab.cells.elman import Elman
from seqlab.cells.gru import GRU
from seqlab.cells.jordan import Jordan
from seqlab.cells.lstm import LSTM
from seqlab.cells.rrnn import RRNN

I, H = 3, 5  # noqa: E741
BUILT_IN = [
    (Elman, {}, True),
    (Elman, {"activation": "relu"}, True),
    (Elman, {"activation": "sigmoid"}, True),
    (Jordan, {}, False),  # a product after the activation
    (LSTM, {}, True),
    (LSTM, {"peephole": "diagonal"}, True),
    (LSTM, {"candidate": "sigmoid"}, True),
    (LSTM, {"peephole": "diagonal", "candidate": "sigmoid"}, True),
    (LSTM, {"peephole": "full"}, False),
    (LSTM, {"layer_norm": True}, False),
    (LSTM, {"projection": 2}, False),
    (LSTM, {"projection": H}, False),
    (LSTM, {"projection": 9}, False),
    (GRU, {}, True),
    (GRU, {"reset": "before"}, False),
    (GRU, {"layer_norm": True}, False),
    (GRU, {"reset": "before", "layer_norm": True}, False),
    (RRNN, {}, False),  # its step is its own
    (RRNN, {"feedback": "updated"}, False),
]


@pytest.mark.parametrize("hidden_size", [1, 2, H, 8])
@pytest.mark.parametrize(("cell_class", "options", "expected"), BUILT_IN)
def test_of_the_built_in_cells(lab, cell_class, options, expected, hidden_size):
    if hidden_size == 1 and not expected:
        return  # one unit has none to mix with
    for cell in (cell_class(I, hidden_size, **options), lab.randomised(cell_class(I, hidden_size, **options))):
        random_state = torch.get_rng_state()
        assert is_elementwise(cell) is expected
        assert torch.equal(torch.get_rng_state(), random_state)


class Own(RecurrentCell):
    """A third party's cell: a memory of the units, and what is given to mix them."""

    states = ("h", "c")

    def __init__(self, size, mix):
        super().__init__(I, size)
        self.mix, self.scale = mix, nn.Parameter(torch.full((size,), 0.7))

    def update(self, gx, gh, state):
        h, c = state
        return self.mix((gx + gh).tanh(), c), (self.scale * c + h).tanh()


def edge(h, c):
    return torch.cat([h[:, :1] + 0.1 * c[:, -1:], h[:, 1:]], -1)


def pairs(h, c):
    size = h.shape[-1] // 2 * 2
    return torch.cat([h[:, :size] + 0.1 * c[:, :size].unflatten(-1, (-1, 2)).flip(-1).flatten(-2), h[:, size:]], -1)


MIXING = {
    "roll": lambda h, c: h + 0.1 * c.roll(1, -1),
    "mean": lambda h, c: h + 0.1 * c.mean(-1, keepdim=True),
    "norm": lambda h, c: h * c.norm(dim=-1, keepdim=True),
    "softmax": lambda h, c: h.softmax(-1),
    "cumulative-sum": lambda h, c: h + c.cumsum(-1),
    "maximum": lambda h, c: h + c.amax(-1, keepdim=True),
    "flip": lambda h, c: h + 0.1 * c.flip(-1),
    "neighbours-in-pairs": pairs,
    "last-unit-to-the-first": edge,
}


@pytest.mark.parametrize("size", [2, H, 8])
@pytest.mark.parametrize("kind", MIXING)
def test_a_cell_that_mixes_units_anywhere_is_not(kind, size):
    """Also where most units are left alone, the middle one among them."""
    assert not is_elementwise(Own(size, MIXING[kind]))


@pytest.mark.parametrize("size", [2, H, 8])
@pytest.mark.parametrize("function", [lambda h, c: h * c.sigmoid(), lambda h, c: h.where(c > 0, c), lambda h, c: c])
def test_a_cell_of_ones_own_with_weights_in_update_is(function, size):
    assert is_elementwise(Own(size, function))


def test_a_cell_with_its_own_step_or_without_a_recurrent_product_is_not():
    class OwnStep(Own):
        def step(self, gx, state):
            return super().step(gx, state)

    class Parallel(Own):
        recurrent_gates = ()

    assert not is_elementwise(OwnStep(H, lambda h, c: h))
    assert not is_elementwise(Parallel(H, lambda h, c: h))
