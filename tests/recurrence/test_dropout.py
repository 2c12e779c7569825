"""Dropout between layers, with a new mask for each step or with one for all.

Shape suffixes: T = time steps, B = rows, I = input size, H = hidden size, O = output size.
"""

import pytest
import torch

from seqlab.cells.gru import GRU
from seqlab.errors import UserError
from seqlab.recurrence.dropout import LockedDropout
from seqlab.recurrence.stack import RecurrentStack

T, B, I, H = 7, 4, 3, 5  # noqa: E741
EXACT = {"rtol": 0, "atol": 1e-12}


class Watching(GRU):
    """Keeps what it sees."""

    def project(self, x):
        self.seen = x
        return super().project(x)


def make(lab, hidden_size=H, layers=2, **options):
    return lab.randomised(RecurrentStack(lambda size: Watching(size, hidden_size), I, layers, **options))


def test_locked_dropout_drops_the_same_elements_at_all_steps(lab):
    layer, x_TBH = LockedDropout(0.3), lab.draw(T, 20, 30, seed=1).requires_grad_()
    torch.manual_seed(1)
    y_TBH = layer(x_TBH)
    kept_BH = y_TBH[0] != 0
    torch.testing.assert_close(y_TBH, torch.where(kept_BH, x_TBH / 0.7, 0.0), **EXACT)
    assert kept_BH.double().mean().item() == pytest.approx(0.7, abs=0.06)
    assert not torch.equal(kept_BH[0], kept_BH[1])
    (grad,) = torch.autograd.grad(y_TBH.sum(), x_TBH)
    torch.testing.assert_close(grad, (kept_BH.double() / 0.7).expand(T, -1, -1), **EXACT)
    assert not torch.equal(layer(x_TBH)[0] != 0, kept_BH)  # another call, another mask


def test_locked_dropout_keeps_the_dtype():
    assert LockedDropout(0.5)(torch.ones(T, B, H, dtype=torch.bfloat16)).dtype == torch.bfloat16


@pytest.mark.parametrize("probability", [0.4, 0.0])
def test_locked_dropout_is_the_identity_in_evaluation_and_without_a_probability(lab, probability):
    layer, x_TBH, random_state = LockedDropout(probability), lab.draw(T, B, H, seed=1), torch.get_rng_state()
    assert torch.equal(layer.eval()(x_TBH), x_TBH)
    if not probability:
        assert torch.equal(layer.train()(x_TBH), x_TBH)
    assert torch.equal(torch.get_rng_state(), random_state)


@pytest.mark.parametrize("locked", [False, True])
def test_dropout_acts_between_layers_while_training(lab, locked):
    """With everything dropped, the second layer sees zeros, while inputs and outputs of the stack are whole."""
    stack, x_TBI = make(lab, dropout=1.0, locked_dropout=locked), lab.inputs()
    first, second = stack.cells
    output_TBO, finals = stack(x_TBI)
    first_TBH, first_last = lab.row_by_row(first, x_TBI, first.initial_state(B, x_TBI))
    expected = lab.row_by_row(second, torch.zeros_like(first_TBH), second.initial_state(B, x_TBI))
    torch.testing.assert_close((output_TBO, finals), (expected[0], (first_last, expected[1])), **EXACT)

    whole_TBO, _ = lab.row_by_row(second, first_TBH, second.initial_state(B, x_TBI))
    torch.testing.assert_close(stack.eval()(x_TBI)[0], whole_TBO, **EXACT)
    single = make(lab, layers=1, dropout=1.0, locked_dropout=locked)
    expected = lab.row_by_row(single.cells[0], x_TBI, single.cells[0].initial_state(B, x_TBI))
    torch.testing.assert_close(single(x_TBI)[0], expected[0], **EXACT)


@pytest.mark.parametrize("locked", [False, True])
def test_dropout_has_the_given_probability(lab, locked):
    """The second layer sees 0 or the first layer's output divided by 1 - p, at all steps the same where locked."""
    torch.manual_seed(1)
    stack, x_TBI = make(lab, hidden_size=50, dropout=0.2, locked_dropout=locked, engine="deferred"), lab.inputs()
    stack(x_TBI)
    seen_TBH = stack.cells[1].seen
    kept_TBH = seen_TBH != 0
    first_TBH, _ = lab.row_by_row(stack.cells[0], x_TBI, stack.cells[0].initial_state(B, x_TBI))
    torch.testing.assert_close(seen_TBH, torch.where(kept_TBH, first_TBH / 0.8, 0.0), **EXACT)
    assert kept_TBH.double().mean().item() == pytest.approx(0.8, abs=0.08)
    assert torch.equal(kept_TBH[0].expand(T, -1, -1), kept_TBH) is locked


@pytest.mark.parametrize("locked", [False, True])
@pytest.mark.parametrize("probability", [1.5, -0.1])
def test_impossible_probabilities_are_refused(probability, locked):
    with pytest.raises(UserError, match=f"dropout .*{probability}"):
        RecurrentStack(lambda size: GRU(size, H), I, 2, dropout=probability, locked_dropout=locked)
