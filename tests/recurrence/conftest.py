"""What the tests of the driver share: cells with random weights, random inputs, and the specification row by row.

Shape suffixes: T = time steps, B = rows, I = input size, O = output size, S = size of a state part.
"""

from types import MappingProxyType

import pytest
import torch
from torch import nn

from seqlab.cells.base import RecurrentCell
from seqlab.cells.elman import Elman
from seqlab.cells.gru import GRU
from seqlab.cells.jordan import Jordan
from seqlab.cells.lstm import LSTM
from seqlab.cells.rrnn import RRNN
from seqlab.recurrence.scan import linear_recurrence

T, B, I, H = 7, 4, 3, 5  # noqa: E741
EXACT = {"rtol": 0, "atol": 1e-12}


class Parallel(RecurrentCell):
    """A minimal gated unit without a recurrent product: h_t = (1 - z_t) h_{t-1} + z_t n_t, z and n of x alone."""

    gates = ("z", "n")
    recurrent_gates = ()

    def step(self, gx, state):
        z, n = gx.chunk(2, -1)
        return (state[0] + z.sigmoid() * (n - state[0]),)

    def sequence(self, gx, state):
        z, n = gx.chunk(2, -1)
        return (linear_recurrence(1 - z.sigmoid(), z.sigmoid() * n, state[0]),)


class Pointwise(RecurrentCell):
    """Weights inside a pointwise update, two state parts, and an output from the states before and after the step."""

    gates = ("f", "u")
    states = ("h", "m")

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.scale = nn.Parameter(torch.ones(2, hidden_size))
        self.output = self.make_linear(hidden_size, ("o",))

    def update(self, gx, gh, state):
        (f, u), (h, m) = (gx + gh).chunk(2, -1), state
        m = f.sigmoid() * self.scale[0] * m + u.tanh()
        return (self.scale[1] * m + 0.3 * h).tanh(), m

    def readout(self, x, previous, state):
        return self.output(state[0]) + previous[1] * x.sum(-1, keepdim=True)


class Learned(RRNN):
    """A cell that learns the state it starts from."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.start = nn.Parameter(torch.zeros(hidden_size))

    def initial_state(self, rows, like):
        return (self.start.to(like).expand(rows, -1),)


CELLS = {
    "elman": Elman,
    "elman-relu": lambda *sizes: Elman(*sizes, activation="relu"),
    "elman-sigmoid": lambda *sizes: Elman(*sizes, activation="sigmoid"),
    "jordan": Jordan,
    "jordan-sigmoid-relu": lambda *sizes: Jordan(*sizes, activation="sigmoid", output_activation="relu"),
    "lstm": LSTM,
    "lstm-full": lambda *sizes: LSTM(*sizes, peephole="full"),
    "lstm-diagonal": lambda *sizes: LSTM(*sizes, peephole="diagonal"),
    "lstm-sigmoid": lambda *sizes: LSTM(*sizes, candidate="sigmoid"),
    "lstm-norm": lambda *sizes: LSTM(*sizes, layer_norm=True),
    "lstm-narrow": lambda *sizes: LSTM(*sizes, projection=2),
    "lstm-same": lambda *sizes: LSTM(*sizes, projection=sizes[1]),
    "lstm-wide": lambda *sizes: LSTM(*sizes, projection=9),
    "lstm-all": lambda *sizes: LSTM(*sizes, peephole="full", candidate="sigmoid", layer_norm=True, projection=2),
    "lstm-diagonal-norm": lambda *sizes: LSTM(*sizes, peephole="diagonal", layer_norm=True),
    "gru": GRU,
    "gru-before": lambda *sizes: GRU(*sizes, reset="before"),
    "gru-norm": lambda *sizes: GRU(*sizes, layer_norm=True),
    "gru-before-norm": lambda *sizes: GRU(*sizes, reset="before", layer_norm=True),
    "rrnn": RRNN,
    "rrnn-updated": lambda *sizes: RRNN(*sizes, feedback="updated"),
    "parallel": Parallel,
    "pointwise": Pointwise,
    "learned": Learned,
}


class Lab:
    """Random numbers in float64, and comparisons to 1e-12."""

    cells = MappingProxyType(CELLS)

    def draw(self, *shape, seed):
        return torch.randn(shape, dtype=torch.double, generator=torch.Generator().manual_seed(seed))

    def randomised(self, module):
        """The module in float64, with every weight and bias random, so that none is 0 or special."""
        module.double()
        with torch.no_grad():
            for seed, parameter in enumerate(module.parameters(), 100):
                parameter.copy_(0.5 * self.draw(*parameter.shape, seed=seed))
        return module

    def cell(self, name, input_size=I, hidden_size=H):
        return self.randomised(CELLS[name](input_size, hidden_size))

    def inputs(self, steps=T, rows=B, size=I):
        """Inputs ``[T, B, I]``, with noise where padding will be."""
        return self.draw(steps, rows, size, seed=2).requires_grad_()

    def state(self, cell, rows=B, seed=3):
        return tuple(self.draw(rows, size, seed=seed + k).requires_grad_() for k, size in enumerate(cell.state_sizes))

    def row_by_row(self, cell, x_TBI, state, lengths=None, reverse=False):
        """The specification: outputs ``[T, B, O]`` and last state ``[B, S]``, each row alone and without padding."""
        outputs, lasts = [], []
        for row, length in enumerate(lengths or [len(x_TBI)] * x_TBI.shape[1]):
            parts = tuple(part[row : row + 1] for part in state)
            output_TO = [x_TBI.new_zeros(cell.output_size)] * len(x_TBI)
            for t in reversed(range(length)) if reverse else range(length):
                output_1O, parts = cell(x_TBI[t, row : row + 1], parts)
                output_TO[t] = output_1O[0]
            outputs.append(torch.stack(output_TO))
            lasts.append(parts)
        return torch.stack(outputs, 1), tuple(torch.cat(part) for part in zip(*lasts, strict=True))

    def gradients(self, results, inputs):
        """Gradients of a sum of all results with fixed random factors; 0 for what they do not depend on."""
        factors = [self.draw(*result.shape, seed=seed) for seed, result in enumerate(results, 50)]
        return torch.autograd.grad(results, inputs, factors, materialize_grads=True, retain_graph=True)

    def assert_same(self, results, expected, inputs):
        """Two lists of tensors are equal, and so are the gradients of the inputs that they depend on."""
        torch.testing.assert_close(tuple(results), tuple(expected), **EXACT)
        grads, expected_grads = (self.gradients(tuple(r), tuple(inputs)) for r in (results, expected))
        torch.testing.assert_close(grads, expected_grads, **EXACT)
        return grads


@pytest.fixture(scope="session")
def lab():
    return Lab()
