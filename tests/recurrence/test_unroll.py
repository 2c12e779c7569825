"""Every engine computes what the cell computes row by row, without padding, one step after the other.

Shape suffixes: T = time steps, B = rows, I = input size, O = output size, S = size of a state part.
"""

import pytest
import torch

from seqlab.cells.elman import Elman
from seqlab.cells.gru import GRU
from seqlab.cells.lstm import LSTM
from seqlab.cells.rrnn import RRNN
from seqlab.errors import UserError
from seqlab.recurrence.choice import choose_engine
from seqlab.recurrence.unroll import reverse_time, unroll

T, I, H = 7, 3, 5  # noqa: E741
LENGTHS = [7, 3, 0, 5]
B = len(LENGTHS)
EXACT = {"rtol": 0, "atol": 1e-12}
CELLS = {
    "elman": Elman,
    "lstm": LSTM,
    "gru": GRU,
    "rrnn-main": lambda *sizes: RRNN(*sizes, feedback="main"),
    "rrnn-updated": lambda *sizes: RRNN(*sizes, feedback="updated"),
}
THREE, TWO = ("plain", "deferred", "factored"), ("plain", "deferred")
LOOPS = {"elman": THREE, "lstm": THREE, "gru": THREE, "rrnn-main": TWO, "rrnn-updated": TWO}
RUNS = [(cell, engine) for cell, loops in LOOPS.items() for engine in loops]
RUNS += [(cell, "native") for cell in ("elman", "lstm", "gru")]


def make(name):
    """A cell in float64 whose weights and biases are all random."""
    cell, generator = CELLS[name](I, H).double(), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.normal_(std=0.5, generator=generator)
    return cell


def draw(*shape, seed):
    return torch.randn(shape, dtype=torch.double, generator=torch.Generator().manual_seed(seed))


def draw_inputs(cell, given=True):
    """Inputs, with noise where padding will be, and a state: random, or the zeros a cell starts from."""
    x_TBI = draw(T, B, I, seed=2).requires_grad_()
    sizes = enumerate(cell.state_sizes, 3)
    state = [draw(B, size, seed=seed) if given else torch.zeros(B, size, dtype=torch.double) for seed, size in sizes]
    return x_TBI, tuple(part.requires_grad_() for part in state)


def row_by_row(cell, x_TBI, state, lengths, reverse):
    """The specification: outputs ``[T, B, O]`` and last state ``[B, S]``, each row alone and without padding."""
    outputs, lasts = [], []
    for row, length in enumerate(lengths):
        parts = tuple(part[row : row + 1] for part in state)
        output_TO = [torch.zeros(cell.output_size, dtype=torch.double)] * T
        for t in reversed(range(length)) if reverse else range(length):
            output_1O, parts = cell(x_TBI[t, row : row + 1], parts)
            output_TO[t] = output_1O[0]
        outputs.append(torch.stack(output_TO))
        lasts.append(parts)
    return torch.stack(outputs, 1), tuple(torch.cat(part) for part in zip(*lasts, strict=True))


def gradients(results, inputs):
    factors = [draw(*result.shape, seed=seed) for seed, result in enumerate(results, 7)]
    return torch.autograd.grad(results, inputs, factors, materialize_grads=True)


@pytest.mark.parametrize("given", [True, False], ids=["given-state", "default-state"])
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("lengths", [LENGTHS, None], ids=["padded", "full"])
@pytest.mark.parametrize(("name", "engine"), RUNS)
def test_engine_is_the_cell_row_by_row(name, engine, lengths, reverse, given):
    """Outputs, last state, and the gradients of inputs, initial state and weights."""
    cell = make(name)
    x_TBI, state = draw_inputs(cell, given)
    has_last = lengths is None or name != "lstm" or engine != "native"
    options = {"lengths": None if lengths is None else torch.tensor(lengths), "reverse": reverse, "engine": engine}
    output_TBO, last = unroll(cell, x_TBI, state if given else None, last=has_last, **options)
    expected_TBO, expected_last = row_by_row(cell, x_TBI, state, lengths or [T] * B, reverse)
    results, expected = (output_TBO, *(last or ())), (expected_TBO, *(expected_last if has_last else ()))
    torch.testing.assert_close(results, expected, **EXACT)
    inputs = (x_TBI, *cell.parameters(), *(state if given else ()))
    torch.testing.assert_close(gradients(results, inputs), gradients(expected, inputs), **EXACT)
    for row, length in enumerate(lengths or []):
        assert not output_TBO[length:, row].any()
        assert length or not has_last or all(torch.equal(p[row], q[row]) for p, q in zip(last, state, strict=True))


@pytest.mark.parametrize(("name", "engine"), [*RUNS, ("gru", None)])
def test_without_last_there_is_no_state(name, engine):
    for lengths in (None, torch.tensor(LENGTHS)):
        assert unroll(make(name), draw_inputs(make(name))[0], lengths=lengths, last=False, engine=engine)[1] is None


@pytest.mark.parametrize("lengths", [LENGTHS, None])
def test_reverse_time_reverses_each_row_before_its_length(lengths):
    x_TBX = draw(T, B, 2, seed=2)
    reversed_TBX = reverse_time(x_TBX, None if lengths is None else torch.tensor(lengths))
    for row, length in enumerate(lengths or [T] * B):
        for t in range(length):
            assert torch.equal(reversed_TBX[t, row], x_TBX[length - 1 - t, row])


class Leaky(LSTM):
    """A third party's cell: inherits everything of LSTM but its maths."""

    def update(self, gx, gh, state):
        h, c = super().update(gx, gh, state)
        return h + 0.1 * state[0], c


TABLE = [  # for many steps, for many steps and the state after each row's last one, for one step
    (Elman(I, H), "native", "native", "plain"),
    (Elman(I, H, activation="relu"), "native", "native", "plain"),
    (Elman(I, H, activation="sigmoid"), "deferred", "deferred", "plain"),
    (LSTM(I, H), "native", "deferred", "plain"),
    (GRU(I, H), "native", "native", "plain"),
    (RRNN(I, H), "deferred", "deferred", "plain"),
    (RRNN(I, H, feedback="updated"), "deferred", "deferred", "plain"),
    (Leaky(I, H), "deferred", "deferred", "plain"),
]


@pytest.mark.parametrize(("cell", "many", "many_and_last", "one"), TABLE)
def test_the_table_of_engines(cell, many, many_and_last, one):
    for steps, expected in ((T, many), (2, many), (1, one)):
        assert choose_engine(cell, torch.zeros(steps, B, I)) == expected
    for steps, expected in ((T, many_and_last), (1, one)):
        assert choose_engine(cell, torch.zeros(steps, B, I), last_of_lengths=True) == expected


@pytest.mark.parametrize("engine", ["plain", "deferred"])
def test_a_forced_engine_wins_over_the_table(engine):
    for cell, steps in ((GRU(I, H), T), (RRNN(I, H), 1)):
        assert choose_engine(cell, torch.zeros(steps, B, I), engine=engine) == engine


def test_a_subclass_with_its_own_maths_never_runs_native():
    cell = Leaky(I, H).double()
    x_TBI, state = draw_inputs(cell)
    torch.testing.assert_close(unroll(cell, x_TBI, state), row_by_row(cell, x_TBI, state, [T] * B, False), **EXACT)
    with pytest.raises(UserError, match="native cannot run Leaky"):
        unroll(cell, x_TBI, state, engine="native")


@pytest.mark.parametrize(
    ("cell", "engine", "problem"),
    [
        (LSTM(I, H), "native", "engine native cannot run LSTM here"),  # c_t at the lengths
        (RRNN(I, H), "native", "engine native cannot run RRNN here"),
        (Elman(I, H, activation="sigmoid"), "native", "engine native cannot run Elman here"),
        (GRU(I, H), "fast", "no engine named 'fast' .there are: plain, deferred, factored, sequence, native"),
    ],
)
def test_impossible_and_unknown_engines_are_refused(cell, engine, problem):
    with pytest.raises(UserError, match=problem):
        unroll(cell, torch.zeros(T, B, I), lengths=torch.tensor(LENGTHS), engine=engine)


@pytest.mark.parametrize("name", CELLS)
def test_plain_is_differentiable_twice(name):
    cell = CELLS[name](2, 3).double()
    x_TBI, *state = (draw(*shape, seed=2).requires_grad_() for shape in ((3, 2, 2), *[(2, 3)] * len(cell.states)))

    def run(x_TBI, weight, *state):  # the weight is perturbed in place, so the cell sees it
        return unroll(cell, x_TBI, state, lengths=torch.tensor([3, 1]), engine="plain")[0]

    assert torch.autograd.gradgradcheck(run, (x_TBI, cell.recurrent.weight, *state))


def results_of(cell, engine, x_TBI, state):
    output_TBO, last = unroll(cell, x_TBI, state, lengths=torch.tensor(LENGTHS), engine=engine)
    return (output_TBO, *last)


@pytest.mark.parametrize("frozen", ["recurrent.weight", "recurrent.bias", "recurrent", ""], ids="frozen={}".format)
@pytest.mark.parametrize("name", CELLS)
def test_deferred_with_frozen_weights(name, frozen):
    cell = make(name)
    for key, parameter in cell.named_parameters():
        parameter.requires_grad_(not key.startswith(frozen))
    x_TBI, state = draw_inputs(cell)
    inputs = (x_TBI, *state, *(parameter for parameter in cell.parameters() if parameter.requires_grad))
    grads, expected = (gradients(results_of(cell, e, x_TBI, state), inputs) for e in ("deferred", "plain"))
    torch.testing.assert_close(grads, expected, **EXACT)


@pytest.mark.parametrize("name", CELLS)
def test_deferred_gradients_add_up_over_backward_calls(name):
    """Over two sequences, and over two calls for one graph."""
    cell = make(name)
    x_TBI, state = draw_inputs(cell)
    first, second = (results_of(cell, "deferred", x, state) for x in (x_TBI, x_TBI.cos()))
    for results, retain in ((first, True), (second, False), (first, False)):
        sum(result.square().sum() for result in results).backward(retain_graph=retain)
    got, cell = [parameter.grad for parameter in cell.parameters()], make(name)
    for x, times in ((x_TBI, 2), (x_TBI.cos(), 1)):
        (times * sum(result.square().sum() for result in results_of(cell, "plain", x, state))).backward()
    torch.testing.assert_close(got, [parameter.grad for parameter in cell.parameters()], **EXACT)


def test_deferred_gradients_after_a_backward_pass_that_wanted_no_weight():
    cell = make("gru")
    x_TBI, state = draw_inputs(cell)
    results, expected = (results_of(cell, engine, x_TBI, state) for engine in ("deferred", "plain"))
    torch.autograd.grad(results[0].sum(), x_TBI, retain_graph=True)
    weight = cell.recurrent.weight
    torch.testing.assert_close(gradients(results, weight), gradients(expected, weight), **EXACT)


def test_deferred_is_differentiable_once():
    x_TBI, state = draw_inputs(make("gru"))
    output_TBO, _ = results_of(make("gru"), "deferred", x_TBI, state)
    (grad_TBI,) = torch.autograd.grad(output_TBO.square().sum(), x_TBI, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad_TBI.square().sum().backward()


def test_deferred_leaves_no_trace_after_an_exception():
    class Failing(GRU):
        def update(self, gx, gh, state):
            raise ZeroDivisionError("forward" in vars(self.recurrent))

    cell = Failing(I, H)
    with pytest.raises(ZeroDivisionError, match="True"):  # it was replaced
        unroll(cell, torch.zeros(T, B, I), engine="deferred")
    assert all("forward" not in vars(module) for module in cell.modules())


@pytest.mark.parametrize("name", CELLS)
def test_deferred_under_bfloat16_autocast(name):
    """The gradients of float32 weights are float32, and off by bfloat16's rounding from plain's and from exact ones."""
    cell = make(name).float()
    x_TBI, state = draw_inputs(cell)
    x_TBI, state = x_TBI.detach().float(), tuple(part.detach().float() for part in state)

    def grads(engine, enabled):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            results = results_of(cell, engine, x_TBI, state)
        found = torch.autograd.grad(sum(result.float().sin().sum() for result in results), tuple(cell.parameters()))
        assert {grad.dtype for grad in found} == {torch.float32}
        return torch.cat([grad.flatten() for grad in found])

    deferred, plain, exact = grads("deferred", True), grads("plain", True), grads("plain", False)
    assert 0 < (deferred - exact).norm() < 0.03 * exact.norm()
    assert (deferred - plain).norm() < 0.03 * exact.norm()
