"""Batch normalisation over time and batch against its equation, and what padding and evaluation do to it.

Shape suffixes: T = time steps, B = rows, N = real steps, H = width.
"""

import io

import pytest
import torch
from torch import nn

from seqlab.cells.gru import GRU
from seqlab.cells.lstm import LSTM
from seqlab.models.language_model import RecurrentLanguageModel
from seqlab.recurrence.normalization import BatchNorm
from seqlab.recurrence.stack import RecurrentStack

T, B, I, H = 7, 4, 3, 5  # noqa: E741
LENGTHS = [7, 3, 1, 5]
EXACT = {"rtol": 0, "atol": 1e-12}
PADDING_TB1 = (torch.arange(T)[:, None] >= torch.tensor(LENGTHS))[..., None]


def make(lab, name="gru", num_layers=2, **options):
    make_cell = lab.cells[name]
    options = {"normalization": "batch", **options}
    return lab.randomised(RecurrentStack(lambda size: make_cell(size, H), I, num_layers, **options))


def real_steps(x_TBH, lengths):
    """The real steps ``[N, H]``, gathered one by one."""
    return torch.stack([x_TBH[t, b] for b, length in enumerate(lengths) for t in range(length)])


@pytest.mark.parametrize("lengths", [LENGTHS, [T] * B])
def test_it_is_its_equation_over_the_real_steps(lab, lengths):
    """In training by the batch, afterwards by what was learned of batches; with gradients, and none through padding."""
    layer, x_TBH = lab.randomised(BatchNorm(H)), lab.draw(T, B, H, seed=1).requires_grad_()
    padding_TB1 = (torch.arange(T)[:, None] >= torch.tensor(lengths))[..., None]
    x_NH, norm = real_steps(x_TBH, lengths), layer.norm
    mean_H, count = x_NH.sum(0) / len(x_NH), len(x_NH)
    variance_H = ((x_NH - mean_H) ** 2).sum(0) / count
    expected_NH = norm.weight * (x_NH - mean_H) / (variance_H + 1e-5) ** 0.5 + norm.bias
    found_NH = real_steps(layer.train()(x_TBH, padding_TB1), lengths)
    lab.assert_same((found_NH,), (expected_NH,), (x_TBH, norm.weight, norm.bias))
    running_H, spread_H = 0.1 * mean_H, 0.9 + 0.1 * variance_H * count / (count - 1)
    torch.testing.assert_close((norm.running_mean, norm.running_var), (running_H, spread_H), **EXACT)
    expected_NH = norm.weight * (x_NH - running_H) / (spread_H + 1e-5) ** 0.5 + norm.bias
    found_NH = real_steps(layer.eval()(x_TBH, padding_TB1), lengths)
    torch.testing.assert_close(found_NH, expected_NH, **EXACT)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("residual", [False, True])
def test_padding_changes_neither_outputs_nor_statistics(lab, residual, bidirectional):
    """Other numbers in the padding, and more of it: the same outputs, gradients and running statistics."""
    found = []
    for extra, noise in ((0, 0.0), (3, 50.0)):
        stack = make(lab, "lstm", 3, residual=residual, bidirectional=bidirectional).train()
        x_TBI = lab.inputs().detach()
        x_TBI = torch.cat([x_TBI + noise * PADDING_TB1 * lab.draw(T, B, I, seed=7), lab.draw(extra, B, I, seed=8)])
        output_TBO, _ = stack(x_TBI, lengths=torch.tensor(LENGTHS))
        assert not output_TBO[T:].any()
        real_NO = real_steps(output_TBO, LENGTHS)
        grads = torch.autograd.grad((real_NO * lab.draw(*real_NO.shape, seed=9)).sum(), list(stack.parameters()))
        found.append([real_NO, *grads, *stack.buffers()])
    torch.testing.assert_close(found[0], found[1], **EXACT)
    assert sum(buffer.dim() for buffer in stack.buffers()) == 4  # a mean and a variance for each of two norms


def test_stacks_of_full_rows_need_no_lengths(lab):
    first, second = make(lab).train(), make(lab).train()
    torch.testing.assert_close(first(lab.inputs())[0], second(lab.inputs(), lengths=torch.tensor([T] * B))[0], **EXACT)
    torch.testing.assert_close(list(first.buffers()), list(second.buffers()), **EXACT)


def test_one_step_at_a_time_uses_the_running_statistics(lab):
    """As in search and generation: what a step gives does not depend on which rows are beside it."""
    stack, x_TBI = make(lab, "lstm", 3).train(), lab.inputs()
    for _ in range(3):
        stack(x_TBI)
    stack.eval()
    whole_TBO, _ = stack(x_TBI)
    buffers, state = [buffer.clone() for buffer in stack.buffers()], None
    for t, x_BI in enumerate(x_TBI):
        output_1BO, state = stack(x_BI[None], state)
        torch.testing.assert_close(output_1BO[0], whole_TBO[t], **EXACT)
    torch.testing.assert_close(stack(x_TBI[:, 2:3])[0], whole_TBO[:, 2:3], **EXACT)
    assert all(torch.equal(*pair) for pair in zip(buffers, stack.buffers(), strict=True))


def test_running_statistics_are_in_a_checkpoint(lab):
    stack, other, file = make(lab).train(), make(lab), io.BytesIO()
    stack(lab.inputs())
    torch.save(stack.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other.eval()(lab.inputs())[0], stack.eval()(lab.inputs())[0])
    assert any(name.endswith("running_mean") for name in stack.state_dict())


def test_torchs_synchronised_module_can_take_its_place(lab):
    """As Lightning puts it there; the statistics stay those of the real steps."""
    stack, lengths = make(lab, "lstm", 3).train(), torch.tensor(LENGTHS)
    synchronised = nn.SyncBatchNorm.convert_sync_batchnorm(make(lab, "lstm", 3)).train()
    assert [type(norm.norm) for norm in synchronised.norms] == [nn.SyncBatchNorm] * 2
    torch.testing.assert_close(
        synchronised(lab.inputs(), lengths=lengths)[0], stack(lab.inputs(), lengths=lengths)[0], **EXACT
    )
    torch.testing.assert_close(synchronised.state_dict(), stack.state_dict(), **EXACT)


def test_a_single_step_is_normalised_by_the_running_statistics(lab):
    """It has no variance of its own; torch would raise an exception."""
    stack, x_1BI = make(lab), lab.inputs()[:1, :1]
    stack.train()(lab.inputs())
    buffers = [buffer.clone() for buffer in stack.buffers()]
    trained_1BO, _ = stack(x_1BI)
    assert all(torch.equal(*pair) for pair in zip(buffers, stack.buffers(), strict=True))
    assert torch.equal(trained_1BO, stack.eval()(x_1BI)[0])


def test_statistics_are_not_taken_in_half_precision():
    """A mean of 300 among numbers that bfloat16 holds to 2 of them."""
    layer, x_TBH = BatchNorm(H).train(), (300 + torch.randn(50, 20, H)).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        y_TBH = layer(x_TBH)
    expected_TBH = (x_TBH.double() - x_TBH.double().mean((0, 1))) / x_TBH.double().std((0, 1), correction=0)
    torch.testing.assert_close(y_TBH.double(), expected_TBH, rtol=0, atol=1e-3)


@pytest.mark.parametrize("cell", [GRU, LSTM])
def test_a_language_model_generates_with_the_running_statistics(cell):
    torch.manual_seed(1)
    model = RecurrentLanguageModel(11, cell, embedding_size=4, hidden_size=5, layers=3, normalization="batch").double()
    tokens_TB = torch.randint(11, (9, 3))
    for _ in range(5):
        model.train()(tokens_TB)
    expected_TBV = model.eval().output.log_probs(model(tokens_TB)[0])
    state = model.start(3)
    for t in range(9):
        log_probs_BV, state = model.step(tokens_TB[t], state)
        torch.testing.assert_close(log_probs_BV, expected_TBV[t], **EXACT)
