"""Who runs, beside whom, and what a step of each does.

Shape suffixes: T = time steps, B = rows, I = input size, O = output size.
"""

from functools import partial

import pytest
import torch

from seqlab.benchmarking.contestants import Contestant, kernel_for, line_up, ways
from seqlab.benchmarking.results import FORWARD, TRAINING, Size
from seqlab.cells.elman import Elman
from seqlab.cells.gru import GRU
from seqlab.cells.lstm import LSTM
from seqlab.cells.rrnn import RRNN
from seqlab.recurrence.unroll import unroll

SIZE = Size(rows=2, hidden=5, steps=7, input=3)
CPU = torch.device("cpu")


class OtherGRU(GRU):
    """A subclass may compute anything."""


def enter(cells, *engines, works=(TRAINING,), **options):
    setting = {"device": CPU, "dtype": torch.float64} | options
    return line_up(cells, engines, SIZE, works, **setting)


@pytest.mark.parametrize(
    ("make", "kernel", "name", "module"),
    [
        (LSTM, None, "nn.LSTM", "LSTM(3, 5)"),
        (partial(LSTM, peephole="full"), None, "nn.LSTM", "LSTM(3, 5)"),
        (partial(LSTM, projection=2), None, "nn.LSTM(proj_size=2)", "LSTM(3, 5, proj_size=2)"),
        (GRU, None, "nn.GRU", "GRU(3, 5)"),
        (OtherGRU, None, "nn.GRU", "GRU(3, 5)"),
        (Elman, None, "nn.RNN", "RNN(3, 5)"),
        (partial(Elman, activation="relu"), None, "nn.RNN(nonlinearity=relu)", "RNN(3, 5)"),
        (RRNN, None, "nn.LSTM", "LSTM(3, 5)"),
        (RRNN, "rnn", "nn.RNN", "RNN(3, 5)"),
        (GRU, "lstm", "nn.LSTM", "LSTM(3, 5)"),
    ],
)
def test_the_kernel_of_the_same_kind(make, kernel: str | None, name: str, module: str) -> None:
    found, make_kernel = kernel_for(make(3, 5), kernel)
    assert (found, str(make_kernel())) == (name, module)
    assert ("relu" in name) == (getattr(make_kernel(), "nonlinearity", None) == "relu")


def test_references_come_first_and_once() -> None:
    cells = {"lstm": LSTM, "peephole": partial(LSTM, peephole="full"), "gru": GRU}
    contestants, left_out = enter(cells, "plain", "deferred")
    assert [(each.cell, each.engine) for each in contestants] == [
        ("nn.LSTM", "torch"),
        ("nn.GRU", "torch"),
        *((cell, engine) for cell in cells for engine in ("plain", "deferred")),
    ]
    assert not left_out
    lstm, gru = contestants[:2]
    assert [each.reference for each in contestants] == [None, None, lstm, lstm, lstm, lstm, gru, gru]


def test_the_engine_that_would_be_chosen_is_marked() -> None:
    contestants, _ = enter({"lstm": LSTM, "rrnn": RRNN}, "plain", "deferred", "native")
    assert [(each.cell, each.engine) for each in contestants if each.chosen] == [
        ("lstm", "native"),
        ("rrnn", "deferred"),
    ]


def test_who_cannot_run_is_left_out_with_the_reason() -> None:
    def broken(input_size, hidden_size):
        raise ZeroDivisionError("division by zero\nand more")

    class Wrong(GRU):
        def update(self, gx, gh, state):
            return (torch.zeros(4, 4, 4) + state[0],)

    contestants, left_out = enter({"broken": broken, "wrong": Wrong, "rrnn": RRNN}, "native", "plain")
    assert [(each.cell, each.engine) for each in contestants] == [("nn.LSTM", "torch"), ("rrnn", "plain")]
    assert [(each.cell, each.engine, each.foreseen) for each in left_out] == [
        ("broken", "", False),
        ("wrong", "native", True),
        ("wrong", "plain", False),
        ("rrnn", "native", True),
    ]
    assert left_out[0].reason == "ZeroDivisionError: division by zero"
    assert "no kernel of torch computes this cell" in left_out[3].reason
    assert all(each.size == SIZE for each in left_out)


@pytest.mark.parametrize("engine", ["plain", "deferred", "native"])
def test_a_training_step_leaves_the_gradients_of_a_weighted_sum(engine: str) -> None:
    contestants, _ = enter({"gru": GRU}, engine)
    contestant: Contestant = contestants[-1]
    cell = contestant.module.cell
    contestant.step(TRAINING)
    found = [contestant.x_TBI.grad, *(parameter.grad for parameter in cell.parameters())]
    contestant.clear()
    assert contestant.x_TBI.grad is None and all(parameter.grad is None for parameter in cell.parameters())
    loss = (unroll(cell, contestant.x_TBI, engine="plain")[0] * contestant.weight_TBO).sum()
    expected = torch.autograd.grad(loss, [contestant.x_TBI, *cell.parameters()])
    assert contestant.weight_TBO.std() > 0.5
    torch.testing.assert_close(found, list(expected), rtol=0, atol=1e-12)


def test_the_forward_pass_alone_leaves_no_gradient() -> None:
    contestants, _ = enter({"gru": GRU}, "plain", works=(FORWARD,))
    for contestant in contestants:
        contestant.step(FORWARD)
        assert contestant.weight_TBO is None and contestant.x_TBI.grad is None


def test_cells_are_made_for_the_size_and_the_type_asked_for() -> None:
    contestants, _ = enter({"gru": GRU}, "plain", dtype=torch.bfloat16)
    assert {parameter.dtype for each in contestants for parameter in each.module.parameters()} == {torch.bfloat16}
    assert contestants[0].x_TBI.shape == (7, 2, 3)
    cell = contestants[1].module.cell
    assert (cell.input_size, cell.hidden_size) == (3, 5)


def test_a_graph_needs_a_gpu() -> None:
    assert "factored graphed" not in ways(CPU)
    assert set(ways(torch.device("cuda"))) - set(ways(CPU)) == {"factored graphed"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_graph_computes_what_its_engine_does() -> None:
    contestants, left_out = enter({"lstm": LSTM}, "factored", "factored graphed", device=torch.device("cuda"))
    assert not left_out
    _, eager, graphed = contestants
    graphed.weight_TBO = eager.weight_TBO
    gradients = []
    for contestant in (eager, graphed):
        contestant.clear()
        contestant.step(TRAINING)
        parameters = contestant.module.cell.parameters()
        gradients.append([contestant.x_TBI.grad.clone(), *(parameter.grad.clone() for parameter in parameters)])
        contestant.clear()
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-10)
    assert graphed.held > 0 and eager.held == 0
