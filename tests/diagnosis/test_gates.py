"""The names of gates, and saturation against values computed by hand."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.cells.base import RecurrentCell, State
from seqlab.cells.elman import Elman
from seqlab.diagnosis.gates import Activations, GateStatistics, name_gates
from seqlab.tasks.cells import cell_factory

NAMES = {
    "elman": "h",
    "elman:activation=relu": "h",
    "jordan": "h, y",
    "lstm": "f, i, g, o, tanh(c)",
    "lstm:candidate=sigmoid": "f, i, g, o, tanh(c)",
    "lstm:peephole=diagonal": "f, i, g, o, tanh(c)",
    "lstm:peephole=full,projection=2": "f, i, g, o, tanh(c)",
    "lstm:layer_norm=true": "f, i, g, o, tanh 2",
    "gru": "r, z, n",
    "gru:reset=before": "r, z, n",
    "gru:layer_norm=true": "r, z, n",
    "rrnn": "h, r, h', o",
    "rrnn:feedback=updated": "r, h', h, o",
}


@pytest.mark.parametrize(("spec", "names"), NAMES.items())
def test_the_gates_of_every_built_in_cell_have_their_names(spec: str, names: str) -> None:
    state = torch.get_rng_state()
    cell = cell_factory(spec)(3, 5)
    torch.set_rng_state(state)
    found = [slot for slots in name_gates(cell).values() for call in slots for slot in call]
    assert [slot.name for slot in found] == names.split(", ")
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in cell.parameters())


def test_the_blocks_of_one_call_are_columns_of_it() -> None:
    (r, z), (n,) = name_gates(cell_factory("gru")(3, 5))["step"]
    assert (r.columns, z.columns, n.columns) == (slice(0, 5), slice(5, 10), slice(0, 5))


class Odd(RecurrentCell):
    """Gates of no block, a gate and its complement, a call that repeats another, and one that works in place."""

    gates = ("z", "u")

    def project(self, x: Tensor) -> Tensor:
        z, u = self.input(x).chunk(2, -1)
        return torch.cat([(-z).sigmoid(), z.sigmoid() * functional.hardtanh(u)], -1)

    def step(self, gx: Tensor, state: State) -> State:
        keep, new = gx.chunk(2, -1)
        return (keep * state[0] + new + nn.functional.relu(0.1 * state[0]) + torch.sigmoid(state[0]).tanh_(),)

    def readout(self, x: Tensor, previous: State, state: State) -> Tensor:
        return self.project(x).chunk(2, -1)[0] * state[0]


def test_what_has_no_block_is_counted_and_what_is_repeated_left_out() -> None:
    found = name_gates(Odd(3, 5))
    assert [[slot.name for slot in slots] for slots in found["project"]] == [["1 - z"], ["z"], ["u"]]
    assert [[slot.name for slot in slots] for slots in found["step"]] == [["relu 1"], ["sigmoid 3"], ["tanh 1"]]
    assert found["readout"] == [[], [], []]


def test_calls_are_taken_down_however_they_are_made() -> None:
    x = torch.tensor([-3.0, 0.0, 3.0])
    with Activations() as mode:
        torch.sigmoid(x), x.tanh(), nn.ReLU()(x), functional.hardsigmoid(x), nn.Hardtanh()(x), x.clone().sigmoid_()
        torch.exp(x), x.softmax(-1)
    assert [call.function for call in mode.calls] == ["sigmoid", "tanh", "relu", "hardsigmoid", "hardtanh", "sigmoid"]
    assert torch.equal(mode.calls[-1].given, x) and torch.equal(mode.calls[-1].result, x.sigmoid())


def test_shares_by_hand() -> None:
    cell = Elman(1, 2)
    with torch.no_grad():
        cell.input.weight.copy_(torch.tensor([[1.0], [-1.0]]))
        for rest in (cell.input.bias, cell.recurrent.weight, cell.recurrent.bias):
            rest.zero_()
    gates, real = GateStatistics(cell), torch.tensor([True, True, False])
    for x in (2.0, 0.5):  # tanh 2 = 0.964, tanh 0.5 = 0.462
        with gates.during("step", real), torch.no_grad():
            cell.step(cell.project(torch.tensor([[x], [x], [9.0]])), (torch.zeros(3, 2),))
    assert gates.report() == [{"name": "h", "function": "tanh", "left": 0.25, "right": 0.25, "mean": 0.0}]


@pytest.mark.parametrize(("function", "left", "right"), [("relu", 2 / 3, 0.0), ("sigmoid", 1 / 3, 1 / 3)])
def test_a_relu_is_dead_at_zero(function: str, left: float, right: float) -> None:
    cell = Elman(1, 1, activation=function)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.fill_(0.0)
        cell.input.weight.fill_(1.0)
    gates = GateStatistics(cell)
    with gates.during("step", torch.tensor([True] * 3)), torch.no_grad():
        cell.step(cell.project(torch.tensor([[-3.0], [0.0], [3.0]])), (torch.zeros(3, 1),))
    (gate,) = gates.report()
    assert (gate["left"], gate["right"]) == (pytest.approx(left, rel=1e-5), pytest.approx(right, rel=1e-5))


def test_no_real_step_is_no_gate() -> None:
    cell = Elman(1, 2)
    gates = GateStatistics(cell)
    with gates.during("step", torch.tensor([False])), torch.no_grad():
        cell.step(cell.project(torch.ones(1, 1)), (torch.zeros(1, 2),))
    assert gates.report() == []
