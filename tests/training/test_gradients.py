"""Penalties and norms of gradients, against their formulas."""

import math

import pytest
import torch
from torch import nn

from seqlab.training.freezing import freeze
from seqlab.training.gradients import normalize_gradients, weight_penalty


class Tied(nn.Module):
    """An embedding that is also the output, a layer norm, and a matrix of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 3, dtype=torch.double)
        self.norm = nn.LayerNorm(3, dtype=torch.double)
        self.layer = nn.Linear(3, 7, dtype=torch.double)
        self.output = nn.Linear(3, 5, dtype=torch.double)
        self.output.weight = self.embedding.weight


@pytest.mark.parametrize("frozen", [[], ["layer.*"]])
def test_a_penalty_is_on_matrices_that_are_trained(frozen: list[str]) -> None:
    torch.manual_seed(1)
    module = Tied()
    freeze(module, frozen)
    penalty = weight_penalty(module, 0.3, 0.8)
    penalty.backward()
    matrices = [module.embedding.weight, *([] if frozen else [module.layer.weight])]
    values = [value for weight in matrices for row in weight.tolist() for value in row]
    assert len(values) == (15 if frozen else 36), "the shared one counts once"
    expected = 0.3 * math.fsum(abs(value) for value in values) + 0.4 * math.fsum(value**2 for value in values)
    assert penalty.item() == pytest.approx(expected, rel=1e-14)
    for weight in matrices:
        torch.testing.assert_close(weight.grad, 0.3 * weight.sign() + 0.8 * weight.detach(), rtol=1e-14, atol=0)
    others = {id(parameter) for parameter in module.parameters()} - {id(weight) for weight in matrices}
    assert all(parameter.grad is None for parameter in module.parameters() if id(parameter) in others)


def test_a_penalty_in_16_bits_is_summed_in_32() -> None:
    """The sum of squares is past what 16 bits can hold."""
    layer = nn.Linear(300, 300, bias=False, dtype=torch.half)
    nn.init.constant_(layer.weight, 2.0)
    assert weight_penalty(layer, 0.0, 0.5).item() == 90_000


def test_gradients_get_a_norm() -> None:
    parameters = [nn.Parameter(torch.zeros(shape, dtype=torch.double)) for shape in ((2, 3), (5,), (7,))]
    parameters[0].grad = torch.full((2, 3), 2.0, dtype=torch.double)
    parameters[1].grad = torch.full((5,), -1.0, dtype=torch.double)
    normalize_gradients(iter(parameters), 0.5)
    length = math.sqrt(6 * 4 + 5)
    assert torch.equal(parameters[0].grad, torch.full((2, 3), 2 * (0.5 / length), dtype=torch.double))
    assert torch.equal(parameters[1].grad, torch.full((5,), -0.5 / length, dtype=torch.double))
    assert parameters[2].grad is None


def test_no_gradient_stays_none() -> None:
    parameter = nn.Parameter(torch.zeros(3))
    normalize_gradients([parameter], 2.0)
    assert parameter.grad is None
    parameter.grad = torch.zeros(3)
    normalize_gradients([parameter], 2.0)
    assert torch.equal(parameter.grad, torch.zeros(3))


@pytest.mark.parametrize("size", [1e30, 1e-30])
def test_gradients_too_large_or_small_to_be_squared_get_the_norm_too(size):
    parameter = torch.nn.Parameter(torch.zeros(3, 5))
    direction = torch.arange(1.0, 16.0).view(3, 5)
    parameter.grad = direction * size
    normalize_gradients([parameter], 2.0)
    torch.testing.assert_close(parameter.grad, 2 * direction / direction.norm())
