"""What the tests of cells share: random cells and inputs, and the comparison with a loop over published equations.

Shape suffixes: T = time steps, B = rows, I = input size, H = hidden size, O = output size, X = any size.
"""

from types import MappingProxyType

import pytest
import torch

T, B = 7, 4
EXACT = {"rtol": 0, "atol": 1e-12}
FUNCTIONS = {"tanh": torch.tanh, "sigmoid": lambda x: 1 / (1 + torch.exp(-x)), "relu": lambda x: x.clamp(min=0)}


class Lab:
    """Random numbers in float64, and comparisons to 1e-12."""

    functions = MappingProxyType(FUNCTIONS)

    def draw(self, *shape, seed):
        return torch.randn(shape, dtype=torch.double, generator=torch.Generator().manual_seed(seed))

    def randomised(self, module):
        """The module in float64, with every weight and bias random, so that none is 0 or special."""
        module.double()
        with torch.no_grad():
            for seed, parameter in enumerate(module.parameters(), 100):
                parameter.copy_(0.5 * self.draw(*parameter.shape, seed=seed))
        return module

    def inputs(self, cell):
        """Inputs ``[T, B, I]`` and a state, all of which want a gradient."""
        sizes = enumerate(cell.state_sizes, 3)
        state = tuple(self.draw(B, size, seed=seed).requires_grad_() for seed, size in sizes)
        return self.draw(T, B, cell.input_size, seed=2).requires_grad_(), state

    def norm(self, x_X, layer):
        """Layer normalisation of a vector (Ba et al. 2016, equation 4), with the layer's scale and offset."""
        mean = x_X.sum() / len(x_X)
        variance = ((x_X - mean) ** 2).sum() / len(x_X)
        return layer.weight * (x_X - mean) / (variance + 1e-5) ** 0.5 + layer.bias

    def by_rows(self, step, x_TBI, state):
        """Outputs ``[T, B, O]`` and last state of ``step(x, *state) -> output, *new state`` on vectors."""
        outputs, lasts = [], []
        for row in range(x_TBI.shape[1]):
            parts, row_outputs = [part[row] for part in state], []
            for x_I in x_TBI[:, row]:
                output_O, *parts = step(x_I, *parts)
                row_outputs.append(output_O)
            outputs.append(torch.stack(row_outputs))
            lasts.append(parts)
        return torch.stack(outputs, 1), tuple(torch.stack(part) for part in zip(*lasts, strict=True))

    def by_the_cell(self, cell, x_TBI, state):
        """Outputs and last state, step by step through the cell's ``forward``."""
        outputs = []
        for x_BI in x_TBI:
            output_BO, state = cell(x_BI, state)
            outputs.append(output_BO)
        return torch.stack(outputs), state

    def gradients(self, results, inputs):
        """Gradients of a sum of all results with fixed random factors."""
        factors = [self.draw(*result.shape, seed=seed) for seed, result in enumerate(results, 50)]
        return torch.autograd.grad(results, inputs, factors)

    def assert_same(self, cell, expected, expected_weights=None):
        """The cell's outputs, last state and all gradients are those of the function ``expected(x_TBI, state)``."""
        x_TBI, state = self.inputs(cell)
        weights = list(cell.parameters())
        output_TBO, last = self.by_the_cell(cell, x_TBI, state)
        expected_TBO, expected_last = expected(x_TBI, state)
        results, expected_results = (output_TBO, *last), (expected_TBO, *expected_last)
        torch.testing.assert_close(results, expected_results, **EXACT)
        grads = self.gradients(results, (x_TBI, *state, *weights))
        expected_grads = self.gradients(expected_results, (x_TBI, *state, *(expected_weights or weights)))
        torch.testing.assert_close(grads, expected_grads, **EXACT)
        assert all(grad.abs().max() > 1e-3 for grad in grads)

    def assert_follows(self, cell, step):
        """The cell computes the equations in ``step(x, *state) -> output, *new state``."""
        self.assert_same(cell, lambda x_TBI, state: self.by_rows(step, x_TBI, state))


@pytest.fixture(scope="session")
def lab():
    return Lab()
