"""Stacks of layers: both directions, residuals, normalisation, and states that are carried, chosen and kept.

Shape suffixes: T = time steps, B = rows, I = input size, H = hidden size, O = output size.
"""

import io

import pytest
import torch

from seqlab.cells.lstm import LSTM
from seqlab.errors import UserError
from seqlab.recurrence.stack import RecurrentStack, detach_state, select_rows

T, B, I, H = 7, 4, 3, 5  # noqa: E741
LENGTHS = [7, 3, 1, 5]
EXACT = {"rtol": 0, "atol": 1e-12}
NAMES = ["elman", "jordan", "lstm", "lstm-narrow", "lstm-all", "gru", "gru-before-norm", "rrnn", "parallel", "learned"]


def make(lab, name, num_layers=2, **options):
    """A stack in float64 whose weights and biases are all random."""
    return lab.randomised(RecurrentStack(lambda size: lab.cells[name](size, H), I, num_layers, **options))


def norm(x_X, layer):
    """Layer normalisation of the last dimension (Ba et al. 2016, equation 4)."""
    mean = x_X.sum(-1, keepdim=True) / x_X.shape[-1]
    variance = ((x_X - mean) ** 2).sum(-1, keepdim=True) / x_X.shape[-1]
    return layer.weight * (x_X - mean) / (variance + 1e-5) ** 0.5 + layer.bias


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("normalization", ["none", "layer"])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("name", ["lstm", "rrnn"])
def test_layers_residuals_and_norms_are_an_explicit_loop(lab, name, residual, normalization, bidirectional):
    """A residual adds a layer's input to its output from the second layer on; outputs stay 0 past each length."""
    stack = make(lab, name, 3, residual=residual, normalization=normalization, bidirectional=bidirectional)
    x_TBI = lab.inputs()
    output_TBO, finals = stack(x_TBI, lengths=torch.tensor(LENGTHS))
    expected_TBO, expected_finals, directions = x_TBI, [], 2 if bidirectional else 1
    padding_TB1 = (torch.arange(T)[:, None] >= torch.tensor(LENGTHS))[..., None]
    for layer in range(3):
        before = expected_TBO
        if normalization == "layer" and layer:
            before = norm(before, stack.norms[layer - 1])
        both = []
        for back, cell in enumerate(stack.cells[directions * layer : directions * (layer + 1)]):
            initial = cell.initial_state(B, x_TBI)
            both.append(lab.row_by_row(cell, before, initial, LENGTHS, reverse=back == 1))
        expected_finals += [part for _, last in both for part in last]
        expected_TBO = torch.cat([output for output, _ in both], -1)
        if residual and layer:
            expected_TBO = (expected_TBO + before).masked_fill(padding_TB1, 0.0)
    results = (output_TBO, *(part for final in finals for part in final))
    lab.assert_same(results, (expected_TBO, *expected_finals), (x_TBI, *stack.parameters()))
    for row, length in enumerate(LENGTHS):
        assert not output_TBO[length:, row].any()


def test_norms_stand_between_layers_alone(lab):
    assert [norm.normalized_shape for norm in make(lab, "gru", 3, normalization="layer").norms] == [(H,), (H,)]
    wide = make(lab, "lstm-narrow", 2, normalization="layer", bidirectional=True)
    assert [norm.normalized_shape for norm in wide.norms] == [(2 * 2,)]
    assert not list(make(lab, "gru", 1, normalization="layer").norms)
    assert not list(make(lab, "gru", 3).norms.parameters())
    with pytest.raises(UserError, match=r"^normalization must be one of none, layer, batch, not 'group'$"):
        make(lab, "gru", normalization="group")


def test_full_rows_need_no_lengths(lab):
    stack, x_TBI = make(lab, "lstm", bidirectional=True), lab.inputs()
    torch.testing.assert_close(stack(x_TBI), stack(x_TBI, lengths=torch.tensor([T] * B)), **EXACT)


@pytest.mark.parametrize(("name", "sizes"), [("lstm", (H, H)), ("lstm-narrow", (2, H)), ("gru", (H,))])
def test_sizes_and_states_are_listed_layer_by_layer(lab, name, sizes):
    stack, output_size = make(lab, name, 2, bidirectional=True), 2 * sizes[0]
    assert [cell.input_size for cell in stack.cells] == [I, I, output_size, output_size]
    assert stack.output_size == output_size
    assert stack.state_sizes == [sizes] * 4
    output_TBO, finals = stack(lab.inputs())
    assert output_TBO.shape == (T, B, output_size)
    assert [[part.shape for part in state] for state in finals] == [[(B, size) for size in sizes]] * 4
    assert stack(lab.inputs(), last=False)[1] is None


@pytest.mark.parametrize("engine", [None, "plain"])
@pytest.mark.parametrize("name", NAMES)
def test_a_state_carried_across_two_calls_is_one_call(lab, name, engine):
    """With the gradients that flow from the second call into the first."""
    stack, x_TBI = make(lab, name, engine=engine), lab.inputs()
    state = tuple(lab.state(cell, seed=20 + 2 * k) for k, cell in enumerate(stack.cells))
    whole_TBO, whole = stack(x_TBI, state)
    first_TBO, middle = stack(x_TBI[:3], state)
    second_TBO, finals = stack(x_TBI[3:], middle)
    results, expected = ([part for parts in final for part in parts] for final in (finals, whole))
    inputs = (x_TBI, *(part for parts in state for part in parts), *stack.parameters())
    lab.assert_same((torch.cat([first_TBO, second_TBO]), *results), (whole_TBO, *expected), inputs)


@pytest.mark.parametrize("name", NAMES)
def test_a_state_at_padded_lengths_goes_on_where_each_row_ended(lab, name):
    stack, x_TBI, more_TBI = make(lab, name), lab.inputs(), lab.draw(3, B, I, seed=9)
    _, middle = stack(x_TBI, lengths=torch.tensor(LENGTHS))
    output_TBO, _ = stack(more_TBI, middle)
    for row, length in enumerate(LENGTHS):
        alone_T1I = torch.cat([x_TBI[:length, row : row + 1], more_TBI[:, row : row + 1]])
        torch.testing.assert_close(output_TBO[:, row], stack(alone_T1I)[0][length:, 0], **EXACT)


@pytest.mark.parametrize("name", NAMES)
def test_one_step_at_a_time_is_the_whole_sequence(lab, name):
    """As in decoding, where every step runs plain."""
    stack, x_TBI = make(lab, name), lab.inputs()
    outputs, state = [], None
    for x_BI in x_TBI:
        output_1BO, state = stack(x_BI[None], state)
        outputs.append(output_1BO)
    torch.testing.assert_close((torch.cat(outputs), state), stack(x_TBI), **EXACT)


@pytest.mark.parametrize("name", NAMES)
def test_chosen_rows_go_on_as_they_would_have(lab, name):
    stack, x_TBI, rows = make(lab, name), lab.inputs(), [2, 0, 2, 3, 2]
    _, state = stack(x_TBI)
    selected = select_rows(state, torch.tensor(rows))
    for cell, selected_cell in zip(state, selected, strict=True):
        for part, selected_part in zip(cell, selected_cell, strict=True):
            assert torch.equal(selected_part, torch.stack([part[row] for row in rows]))
    more_TBI = lab.draw(2, B, I, seed=9)
    found, whole = stack(more_TBI[:, rows], selected), stack(more_TBI, state)
    torch.testing.assert_close(found[0], whole[0][:, rows], **EXACT)


def test_a_detached_state_has_the_numbers_without_the_history(lab):
    stack, x_TBI = make(lab, "lstm-narrow"), lab.inputs()
    _, state = stack(x_TBI)
    detached = detach_state(state)
    assert [len(cell) for cell in detached] == [2, 2]
    for part, free in zip((p for cell in state for p in cell), (p for cell in detached for p in cell), strict=True):
        assert torch.equal(part, free)
        assert part.requires_grad
        assert not free.requires_grad


@pytest.mark.parametrize("name", NAMES)
def test_a_state_can_be_kept_in_a_file_without_code(lab, name):
    stack, x_TBI, file = make(lab, name), lab.inputs(), io.BytesIO()
    _, state = stack(x_TBI[:3])
    torch.save(detach_state(state), file)
    file.seek(0)
    loaded = torch.load(file, weights_only=True)
    torch.testing.assert_close(stack(x_TBI[3:], loaded), stack(x_TBI[3:], state), **EXACT)


def test_windows_reach_every_cell(lab):
    """Each layer cuts the gradient of its own state; the layers below still get theirs within a window."""
    stack, x_TBI = make(lab, "lstm"), lab.inputs()
    output_TBO, _ = stack(x_TBI, window=3)
    expected_TBO, state = [], None
    for first in (0, 3, 6):
        part_TBO, state = stack(x_TBI[first : first + 3], state and detach_state(state))
        expected_TBO.append(part_TBO)
    lab.assert_same((output_TBO,), (torch.cat(expected_TBO),), (x_TBI, *stack.parameters()))


def test_a_cell_is_made_for_each_place():
    sizes = []

    def make_cell(size):
        sizes.append(size)
        return LSTM(size, 2 + len(sizes))

    stack = RecurrentStack(make_cell, I, 2, bidirectional=True)
    assert sizes == [I, I, 3 + 4, 3 + 4]
    assert stack.output_size == 5 + 6
