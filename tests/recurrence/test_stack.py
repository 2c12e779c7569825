"""Stacks of layers: both directions, residuals, dropout between layers, and the rows of their states.

Shape suffixes: T = time steps, B = rows, I = input size, H = hidden size, O = output size.
"""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seqlab.cells.gru import GRU
from seqlab.cells.lstm import LSTM
from seqlab.cells.rrnn import RRNN
from seqlab.errors import UserError
from seqlab.recurrence.stack import RecurrentStack, select_rows

T, B, I, H = 7, 4, 3, 5  # noqa: E741
LENGTHS = [7, 3, 1, 5]
EXACT = {"rtol": 0, "atol": 1e-12}


def draw(*shape, seed):
    return torch.randn(shape, dtype=torch.double, generator=torch.Generator().manual_seed(seed))


def make(cell_class, num_layers=2, **options):
    """A stack in float64 whose weights and biases are all random."""
    stack = RecurrentStack(lambda size: cell_class(size, H), I, num_layers, **options).double()
    with torch.no_grad():
        for seed, parameter in enumerate(stack.parameters()):
            parameter.copy_(0.5 * draw(*parameter.shape, seed=100 + seed))
    return stack


def gradients(results, inputs):
    return torch.autograd.grad(results, inputs, [draw(*result.shape, seed=seed) for seed, result in enumerate(results)])


def by_hand(cell, x_TBI, lengths, reverse=False):
    """Outputs ``[T, B, H]`` of one cell from its initial state, row by row, 0 past each length."""
    rows = []
    for row, length in enumerate(lengths):
        state, output_TH = cell.initial_state(1, x_TBI), [torch.zeros(H, dtype=torch.double)] * T
        for t in reversed(range(length)) if reverse else range(length):
            output_1H, state = cell(x_TBI[t, row : row + 1], state)
            output_TH[t] = output_1H[0]
        rows.append(torch.stack(output_TH))
    return torch.stack(rows, 1)


@pytest.mark.parametrize("given", [True, False], ids=["given-state", "default-state"])
@pytest.mark.parametrize("engine", [None, "plain", "deferred"])
@pytest.mark.parametrize(("cell_class", "torch_class"), [(LSTM, nn.LSTM), (GRU, nn.GRU)])
def test_two_bidirectional_layers_are_torchs_on_packed_sequences(cell_class, torch_class, engine, given):
    """Outputs, last states in torch's order, and the gradients of inputs, initial states and weights."""
    stack, module = make(cell_class, bidirectional=True, engine=engine), torch_class(I, H, 2, bidirectional=True)
    module.double()
    weights = [weight for c in stack.cells for linear in (c.input, c.recurrent) for weight in linear.parameters()]
    suffixes = ["_l0", "_l0_reverse", "_l1", "_l1_reverse"]
    names = [name + suffix for suffix in suffixes for name in ("weight_ih", "bias_ih", "weight_hh", "bias_hh")]
    expected_weights = [getattr(module, name) for name in names]
    with torch.no_grad():
        for weight, expected in zip(weights, expected_weights, strict=True):
            expected.copy_(weight)

    x_TBI = draw(T, B, I, seed=1).requires_grad_()
    parts = [draw(4, B, H, seed=seed).requires_grad_() for seed in range(2, 2 + len(stack.cells[0].states))]
    state = tuple(tuple(part[cell] for part in parts) for cell in range(4))
    output_TBO, finals = stack(x_TBI, state if given else None, lengths=torch.tensor(LENGTHS))
    packed = pack_padded_sequence(x_TBI, LENGTHS, enforce_sorted=False)
    initial = (tuple(parts) if len(parts) == 2 else parts[0]) if given else None
    packed, expected_finals = module(packed, initial)
    expected_TBO, _ = pad_packed_sequence(packed)

    results = (output_TBO, *(torch.stack(part) for part in zip(*finals, strict=True)))
    expected = (expected_TBO, *(expected_finals if len(parts) == 2 else (expected_finals,)))
    torch.testing.assert_close(results, expected, **EXACT)
    inputs = (x_TBI, *(parts if given else ()))
    grads, expected_grads = gradients(results, (*inputs, *weights)), gradients(expected, (*inputs, *expected_weights))
    torch.testing.assert_close(grads, expected_grads, **EXACT)


def test_full_rows_need_no_lengths():
    stack, x_TBI = make(LSTM, bidirectional=True), draw(T, B, I, seed=1)
    torch.testing.assert_close(stack(x_TBI), stack(x_TBI, lengths=torch.tensor([T] * B)), **EXACT)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("residual", [False, True])
def test_layers_and_residuals_are_an_explicit_loop(residual, bidirectional):
    """A residual adds a layer's input to its output from the second layer on; outputs stay 0 past each length."""
    stack = make(RRNN, 3, residual=residual, bidirectional=bidirectional)
    x_TBI = draw(T, B, I, seed=1)
    output_TBO, _ = stack(x_TBI, lengths=torch.tensor(LENGTHS), last=False)
    expected_TBO, cells = x_TBI, list(stack.cells)
    for layer in range(3):
        before = expected_TBO
        if bidirectional:
            there, back = cells[2 * layer], cells[2 * layer + 1]
            outputs = [by_hand(there, before, LENGTHS), by_hand(back, before, LENGTHS, reverse=True)]
            expected_TBO = torch.cat(outputs, 2)
        else:
            expected_TBO = by_hand(cells[layer], before, LENGTHS)
        if residual and layer > 0:
            expected_TBO = expected_TBO + before
    torch.testing.assert_close(output_TBO, expected_TBO, **EXACT)
    for row, length in enumerate(LENGTHS):
        assert not output_TBO[length:, row].any()


def test_sizes_and_states_are_listed_layer_by_layer():
    stack = make(LSTM, 2, bidirectional=True)
    assert [cell.input_size for cell in stack.cells] == [I, I, 2 * H, 2 * H]
    assert stack.output_size == 2 * H
    assert stack.state_sizes == [(H, H)] * 4
    output_TBO, finals = stack(draw(T, B, I, seed=1))
    assert output_TBO.shape == (T, B, 2 * H)
    assert [[part.shape for part in state] for state in finals] == [[(B, H)] * 2] * 4
    assert stack(draw(T, B, I, seed=1), last=False)[1] is None


def test_dropout_acts_between_layers_while_training():
    """With everything dropped, the second layer sees zeros, while inputs and outputs of the stack are whole."""
    dropping, x_TBI = make(GRU, dropout=1.0), draw(T, B, I, seed=1)
    output_TBO, finals = dropping(x_TBI)
    expected_TBO = by_hand(dropping.cells[1], torch.zeros(T, B, H, dtype=torch.double), [T] * B)
    torch.testing.assert_close(output_TBO, expected_TBO, **EXACT)
    first_TBO = by_hand(dropping.cells[0], x_TBI, [T] * B)
    torch.testing.assert_close((finals[0][0], finals[1][0]), (first_TBO[-1], expected_TBO[-1]), **EXACT)

    whole_TBO = by_hand(dropping.cells[1], first_TBO, [T] * B)
    torch.testing.assert_close(dropping.eval()(x_TBI)[0], whole_TBO, **EXACT)
    single = make(GRU, 1, dropout=1.0)
    torch.testing.assert_close(single(x_TBI)[0], by_hand(single.cells[0], x_TBI, [T] * B), **EXACT)


def test_dropout_has_the_given_probability():
    """The second layer's cell records what it sees: 0 or the first layer's output divided by 1 - p."""
    seen = []

    class Watching(GRU):
        def project(self, x):
            seen.append(x)
            return super().project(x)

    stack = RecurrentStack(lambda size: Watching(size, 50), I, 2, dropout=0.2, engine="deferred")
    torch.manual_seed(1)
    x_TBI = torch.randn(T, B, I)
    first_TBH = RecurrentStack(lambda size: stack.cells[0], I, 1)(x_TBI)[0]
    stack(x_TBI)
    kept = seen[-1] != 0
    torch.testing.assert_close(seen[-1], torch.where(kept, first_TBH / 0.8, 0.0))
    assert kept.double().mean().item() == pytest.approx(0.8, abs=0.05)


def test_a_forced_engine_reaches_every_cell():
    stack = RecurrentStack(lambda size: RRNN(size, H), I, 2, engine="native")
    with pytest.raises(UserError, match="native cannot run RRNN"):
        stack(torch.zeros(T, B, I))


def test_select_rows_keeps_the_given_rows_of_every_part():
    state = tuple(tuple(draw(B, size, seed=size) for size in sizes) for sizes in ((5, 7), (3,)))
    rows = [2, 0, 2, 3, 2]
    selected = select_rows(state, torch.tensor(rows))
    assert [len(cell) for cell in selected] == [2, 1]
    for cell, selected_cell in zip(state, selected, strict=True):
        for part, selected_part in zip(cell, selected_cell, strict=True):
            assert torch.equal(selected_part, torch.stack([part[row] for row in rows]))
