"""Gradients by distance against hand-written loops and against autograd on a language model's own loss.

Shape suffixes: T = time steps, B = rows, I = input size, H = hidden size, D = distances.
"""

import math
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from seqlab.cells.base import RecurrentCell
from seqlab.cells.elman import Elman
from seqlab.cells.gru import GRU
from seqlab.cells.lstm import LSTM
from seqlab.cells.rrnn import RRNN
from seqlab.diagnosis import gradients
from seqlab.diagnosis.gradients import entries, norms_by_distance, summary, verdict
from seqlab.diagnosis.layers import in_double
from seqlab.diagnosis.tracing import Trace, trace
from seqlab.models.language_model import RecurrentLanguageModel
from seqlab.recurrence.stack import RecurrentStack

T, B, I, H = 7, 4, 3, 5  # noqa: E741
LENGTHS = torch.tensor([7, 3, 0, 5])


def random(*shape: int, seed: int, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def norms(layers: list[RecurrentCell], x_TI: Tensor, entering_O: Tensor, number: int = 0) -> list[list[float]]:
    """For each distance the norms of the gradient of ``<entering, last output>`` by each state part of one of some
    layers, of a single row from the cells' initial states.

    The state after step t becomes a variable; what follows from it, in its own layer and in those above, is computed
    anew.
    """
    found = []
    for t in reversed(range(len(x_TI))):
        below = x_TI
        for index, cell in enumerate(layers):
            state, outputs, leaves = cell.initial_state(1, below), [], None
            for step, x_I in enumerate(below):
                before, (_, state) = state, cell(x_I[None], state)
                if index == number and step == t:
                    state = leaves = tuple(part.detach().clone().requires_grad_() for part in state)
                outputs.append(cell.readout(x_I[None], before, state))
            if leaves is not None:
                wanted = leaves
            below = torch.cat(outputs)
        gradients = torch.autograd.grad((entering_O * below[-1]).sum(), wanted, materialize_grads=True)
        found.append([float(gradient.norm()) for gradient in gradients])
    return found


def made(cell: type, layers: int = 1, **options) -> RecurrentStack:
    torch.manual_seed(2)
    stack = RecurrentStack(lambda size: cell(size, H), I, layers, **options).double()
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return in_double(stack)


def given(stack: RecurrentStack, **changes) -> Trace:
    """Inputs, and gradients that enter at every real step: only those of the last may matter."""
    x_TBI, gradient = random(T, B, I, seed=3), random(T, B, stack.output_size, seed=4)
    gradient = gradient.masked_fill((torch.arange(T)[:, None] >= LENGTHS)[..., None], 0.0)
    made_of = {"resets_TB": None, "finals": None, "lengths_B": LENGTHS} | changes
    return Trace(x_TBI, stack.initial_state(B, x_TBI), gradient_TBO=gradient, **made_of)


def assert_equal(found_DB: Tensor, row: int, expected: list[float]) -> None:
    torch.testing.assert_close(
        found_DB[: len(expected), row], torch.tensor(expected, dtype=torch.double), rtol=0, atol=1e-12
    )
    assert found_DB[len(expected) :, row].isnan().all()


def test_elman_is_the_product_of_its_jacobians() -> None:
    stack = made(Elman)
    (cell,), each = stack.cells, given(stack)
    (found,) = norms_by_distance(stack, each)
    for row, length in enumerate(LENGTHS.tolist()):
        h, hidden = torch.zeros(H, dtype=torch.double), []
        for t in range(length):
            total = cell.input.weight @ each.x_TBI[t, row] + cell.input.bias + cell.recurrent.weight @ h
            h = (total + cell.recurrent.bias).tanh()
            hidden.append(h)
        expected = []
        if length:
            gradient = each.gradient_TBO[length - 1, row]
            for h in reversed(hidden):
                expected.append(float(gradient.norm()))
                gradient = cell.recurrent.weight.T @ ((1 - h**2) * gradient)
        assert_equal(found["h"], row, expected)
    assert found["h"].shape == (7, B)


@pytest.mark.parametrize(("cell", "layers"), [(LSTM, 1), (LSTM, 2), (GRU, 3), (RRNN, 2)])
def test_every_part_of_every_layer_is_autograds(cell: type, layers: int) -> None:
    stack = made(cell, layers)
    each = given(stack)
    found = norms_by_distance(stack, each)
    for row, length in [(0, 7), (1, 3)]:
        for number in range(layers):
            expected = norms(list(stack.cells), each.x_TBI[:length, row], each.gradient_TBO[length - 1, row], number)
            for name, values in zip(stack.cells[number].states, zip(*expected, strict=True), strict=True):
                assert_equal(found[number][name], row, list(values))


def test_backwards_distances_run_forward_in_time() -> None:
    stack = made(LSTM, bidirectional=True)
    each = given(stack)
    ahead, back = norms_by_distance(stack, each)
    for row, length in [(0, 7), (3, 5)]:
        x_TI, gradient = each.x_TBI[:length, row], each.gradient_TBO[:length, row]
        for found, cell, inputs, entering in (
            (ahead, stack.cells[0], x_TI, gradient[-1, :H]),
            (back, stack.cells[1], x_TI.flip(0), gradient[0, H:]),
        ):
            expected = norms([cell], inputs, entering)
            for name, values in zip(("h", "c"), zip(*expected, strict=True), strict=True):
                assert_equal(found[name], row, list(values))


def test_what_enters_by_the_last_states_is_added() -> None:
    stack = made(GRU)
    each = given(stack)
    finals_BH = random(B, H, seed=9)
    both = given(stack, finals=((finals_BH,),))
    (found,) = norms_by_distance(stack, both)
    for row, length in [(0, 7), (3, 5)]:
        entering = each.gradient_TBO[length - 1, row] + finals_BH[row]
        assert_equal(found["h"], row, [one for (one,) in norms([stack.cells[0]], each.x_TBI[:length, row], entering)])


def test_where_the_loss_enters_last() -> None:
    stack = made(GRU, bidirectional=True)
    each = given(stack)
    each.gradient_TBO[[0, 5, 6]] = 0.0
    each.gradient_TBO[:, 1] = 0.0
    each.gradient_TBO[2, 1, 0] = 1e-30
    place, own = entries(each, 0, 2)
    assert (place.tolist(), own.tolist()) == ([4, 2, -1, 4], [4, 2, -1, 4])
    place, own = entries(each, 1, 2)
    assert (place[[0, 1, 3]].tolist(), own.tolist()) == ([1, 2, 1], [5, 0, -1, 3])
    silent = given(stack)
    silent.gradient_TBO.zero_()
    assert summary(norms_by_distance(stack, silent)[0])["verdict"] is None


def test_nothing_comes_from_before_a_reset() -> None:
    stack = made(LSTM)
    resets_TB = torch.zeros(T, B, dtype=torch.bool)
    resets_TB[4, 0] = resets_TB[1, 0] = resets_TB[6, 3] = True
    each = given(stack, resets_TB=resets_TB)
    (found,) = norms_by_distance(stack, each)
    expected = norms([stack.cells[0]], each.x_TBI[4:, 0], each.gradient_TBO[6, 0])
    assert_equal(found["c"], 0, [c for _, c in expected])
    assert found["c"][:, 3].isfinite().sum() == 5


@pytest.mark.parametrize("cell", [Elman, LSTM])
def test_of_a_language_model_it_is_the_loss_of_the_last_token(cell: type) -> None:
    torch.manual_seed(5)
    model = RecurrentLanguageModel(11, lambda i, h: cell(i, h), embedding_size=H, layers=1).double().eval()
    tokens_TB = torch.randint(11, (T + 1, B), generator=torch.Generator().manual_seed(6))

    def loss() -> Tensor:
        features_TBE, _, _ = model(tokens_TB[:-1])
        return model.output.loss(features_TBE.flatten(0, 1), tokens_TB[1:].flatten())

    found = trace({"network": model.layers}, loss)["network"]
    assert found.lengths_B.tolist() == [T] * B and not found.in_steps
    (by_distance,) = norms_by_distance(in_double(model.layers), found.like(model.embedding.weight))
    for d in range(1, T):  # at distance 0 the state is the output itself
        with torch.no_grad():
            _, _, ((*state,),) = model(tokens_TB[: T - d])
        leaves = tuple(part.requires_grad_() for part in state)
        features_TBE, _, _ = model(tokens_TB[T - d : T], (leaves,))
        last = functional.cross_entropy(model.output(features_TBE[-1]), tokens_TB[-1], reduction="sum")
        for name, gradient in zip(model.layers.cells[0].states, torch.autograd.grad(last, leaves), strict=True):
            torch.testing.assert_close(by_distance[name][d], gradient.norm(dim=-1), rtol=1e-9, atol=1e-15)


def trained_to_add(cell: type, steps: int) -> dict:
    """What is found of a cell after some optimizer steps on the adding problem: the sum of two marked numbers of 30."""
    torch.manual_seed(2)
    generator = torch.Generator().manual_seed(4)
    stack, output = RecurrentStack(lambda size: cell(size, 32), 2), torch.nn.Linear(32, 1)
    parameters = [*stack.parameters(), *output.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=0.01)

    def draw() -> tuple[Tensor, Tensor]:
        x_TBI = torch.rand(30, 50, 2, generator=generator)
        x_TBI[..., 1] = 0.0
        for half in (0, 15):
            x_TBI[half + torch.randint(15, (50,), generator=generator), range(50), 1] = 1.0
        return x_TBI, x_TBI.prod(-1).sum(0)

    def loss(x_TBI: Tensor, sum_B: Tensor) -> Tensor:
        output_TBH, _ = stack(x_TBI, last=False)
        return (output(output_TBH[-1])[:, 0] - sum_B).square().mean()

    for _ in range(steps):
        optimizer.zero_grad()
        loss(*draw()).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    batch = draw()
    found = trace({"network": stack}, lambda: loss(*batch))["network"].like(torch.zeros((), dtype=torch.double))
    return summary(norms_by_distance(in_double(stack), found)[0])


def test_elmans_gradient_vanishes_where_that_of_an_lstm_does_not() -> None:
    elman, lstm = (trained_to_add(cell, 450) for cell in (Elman, LSTM))
    assert (elman["verdict"], elman["steps"]) == ("vanishes", 29) and elman["reach"] < 15
    assert (lstm["verdict"], lstm["reach"]) == ("keeps", 29)
    assert elman["relative"]["median"][29] < 1e-4 and lstm["relative"]["median"][29] > 0.1


def test_before_training_it_shrinks_in_both_but_faster_in_elmans() -> None:
    found = {}
    for cell in (Elman, LSTM):
        torch.manual_seed(1)
        stack = in_double(RecurrentStack(partial(as_wide, cell), 32))
        gradient = torch.zeros(60, 8, 32, dtype=torch.double)
        gradient[-1] = functional.normalize(random(8, 32, seed=7), dim=-1)
        x = random(60, 8, 32, seed=8)
        each = Trace(x, stack.initial_state(8, x), torch.full((8,), 60), None, gradient, None)
        found[cell] = summary(norms_by_distance(stack, each)[0])
    elman, lstm = (found[cell]["relative"]["median"][30] for cell in (Elman, LSTM))
    assert elman < 1e-6 and lstm > 1e-4
    assert 1.5 * found[Elman]["reach"] < found[LSTM]["reach"] < 59


def as_wide(cell: type, size: int) -> RecurrentCell:
    return cell(size, size)


def test_summary_by_hand() -> None:
    nan = math.nan
    h = torch.tensor([[3.0, 6.0, 0.0, nan], [0.3, 0.3, 0.0, nan], [0.03, nan, 0.0, nan]])
    c = torch.tensor([[4.0, 8.0, 0.0, nan], [0.4, 0.4, 0.0, nan], [0.04, nan, 0.0, nan]])
    found = summary({"h": h, "c": c})
    assert found["rows"] == [2, 2, 1]  # a row into which nothing enters is none
    assert found["median"] == [7.5, 0.5, 0.05]
    assert found["relative"]["median"] == [1, pytest.approx((0.1 + 0.05) / 2), 0.01]
    assert found["parts"]["c"]["median"] == [6, 0.4, 0.04]
    assert (found["steps"], found["reach"], found["verdict"]) == (2, 2, "fades")
    assert (found["left"], found["factor"]) == (0.01, pytest.approx(0.1))


@pytest.mark.parametrize(
    ("median", "rows", "first", "expected"),
    [
        ([1, 0.5, 0.009, 0.02, 0.001], [8, 8, 8, 8, 4], 0, (4, 3, "vanishes")),
        ([1, 0.5, 0.009, 0.02, 1e-9], [8, 8, 8, 8, 3], 0, (3, 3, "fades")),
        ([1, 99, 2], [3, 3, 3], 0, (2, 2, "keeps")),
        ([1, 0.5, 0.099], [3, 3, 3], 0, (2, 2, "fades")),
        ([1, 0.01, 0.1], [3, 3, 3], 0, (2, 2, "keeps")),
        ([1, 100, 2], [3, 3, 3], 0, (2, 2, "explodes")),
        ([1, None, None], [3, 3, 3], 0, (2, 2, "explodes")),
        ([1, 0.0, 0.0], [3, 3, 3], 0, (2, 0, "vanishes")),
        ([0, 1, 0.5], [3, 3, 3], 1, (2, 2, "keeps")),
        ([1], [3], 0, (0, None, None)),
        ([], [], 0, (0, None, None)),
    ],
)
def test_verdicts(median: list, rows: list, first: int, expected: tuple) -> None:
    found = verdict(median, rows, first)
    assert (found["steps"], found["reach"], found["verdict"]) == expected


@pytest.mark.parametrize("most", [1, 2, 3])
def test_rows_that_are_followed_apart_give_the_same(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """With unequal lengths, resets, final states and a row of nothing."""
    stack = made(LSTM, 2, bidirectional=True)
    output = random(T, B, stack.output_size, seed=6) * (torch.arange(T)[:, None] < LENGTHS)[..., None]
    finals = tuple((random(B, H, seed=n), random(B, H, seed=n + 9)) for n in range(4))
    resets_TB = torch.zeros(T, B, dtype=torch.bool).index_put(
        (torch.tensor([4]), torch.tensor([0])), torch.tensor(True)
    )
    x_TBI = random(T, B, I, seed=7)
    given = Trace(x_TBI, stack.initial_state(B, x_TBI), LENGTHS, resets_TB, output, finals)
    together = norms_by_distance(in_double(stack), given)
    monkeypatch.setattr(gradients, "HELD", most * T * 8 * H + 1)
    calls = []
    monkeypatch.setattr(
        gradients, "_norms", lambda *a, own=gradients._norms: calls.append(a[1].x_TBI.shape[1]) or own(*a)
    )
    apart = norms_by_distance(in_double(stack), given)
    assert calls == {1: [1, 1, 1, 1], 2: [2, 2], 3: [3, 1]}[most]
    for one, other in zip(together, apart, strict=True):
        for name, norms_DB in one.items():
            torch.testing.assert_close(other[name], norms_DB, equal_nan=True)
            assert norms_DB.nan_to_num().max() > 0
