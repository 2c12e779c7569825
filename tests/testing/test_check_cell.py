"""The conformance kit passes good cells, and finds what is wrong with each of a row of bad ones."""

import pytest
import torch
from torch import nn

from seqlab.cells.gru import GRU
from seqlab.cells.lstm import LSTM
from seqlab.cells.rrnn import RRNN
from seqlab.cli import main
from seqlab.errors import UserError
from seqlab.recurrence.scan import linear_recurrence
from seqlab.testing import check_cell, examine

BUILT_IN = [
    *("elman", "elman:activation=relu", "elman:activation=sigmoid", "jordan", "jordan:output_activation=sigmoid"),
    *("lstm", "lstm:peephole=full", "lstm:peephole=diagonal", "lstm:candidate=sigmoid", "lstm:layer_norm=true"),
    *("lstm:projection=4", "lstm:peephole=full,candidate=sigmoid,layer_norm=true,projection=9"),
    *("gru", "gru:reset=before", "gru:layer_norm=true", "gru:reset=before,layer_norm=true"),
    *("rrnn", "rrnn:feedback=updated", "rrnn:output_activation=sigmoid", "gru:init=torch"),
]


@pytest.mark.parametrize("spec", BUILT_IN)
def test_every_built_in_cell_passes(spec: str) -> None:
    report = check_cell(spec)
    assert len(report.results) >= 16
    assert sum(not result.skipped for result in report.results) >= 13


class Mixing(GRU):
    """Rows see their batch's mean."""

    def update(self, gx, gh, state):
        return (super().update(gx, gh, state)[0] + 0.1 * gx.mean(0, keepdim=True)[..., : self.hidden_size].tanh(),)


class WrongSequence(GRU):
    """A parallel form of another recurrence."""

    def sequence(self, gx, state):
        return (linear_recurrence(torch.ones_like(gx[..., : self.hidden_size]), gx[..., : self.hidden_size], state[0]),)


class Cut(LSTM):
    """Its last step cuts a gradient that a copy in place lets through."""

    def update(self, gx, gh, state):
        h, c = super().update(gx, gh, state)
        return h, torch.where(c.abs() < 10, Rounded.apply(c), c)


class Rounded(torch.autograd.Function):
    """An identity with a wrong derivative."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, dy):
        return 0.9 * dy


class Forgetful(GRU):
    """Has no memory at all."""

    def update(self, gx, gh, state):
        return (gx[..., : self.hidden_size].tanh() + 0 * state[0],)


class Unsaved(GRU):
    """A weight that is no parameter."""

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.scale = torch.rand(hidden_size)

    def update(self, gx, gh, state):
        return (super().update(gx, gh, state)[0] * self.scale,)


class Peeking(RRNN):
    """Its readout looks at the next step, so a sequence is more than its steps."""

    def readout(self, x, previous, state):
        output = super().readout(x, previous, state)
        return output + 0.1 * output.roll(-1, 0) if output.dim() == 3 else output


class Single(GRU):
    """Fails in double precision."""

    def project(self, x):
        return nn.functional.linear(x.float(), self.input.weight.float()).to(x.dtype)


BAD = [
    (Mixing, "rows do not see each other"),
    (WrongSequence, "engine sequence"),
    (Cut, "central differences"),
    (Forgetful, "it learns"),
    (Unsaved, "can be saved"),
    (Peeking, "single steps are the sequence"),
    (Single, "central differences"),
]


@pytest.mark.parametrize(("cell", "expected"), BAD, ids=lambda value: getattr(value, "__name__", ""))
def test_a_bad_cell_fails(cell, expected: str) -> None:
    """In the check that says what is wrong with it; the others go on."""
    report = examine(cell)
    failed = [result.check for result in report.results if not result.passed]
    assert any(expected in check for check in failed)
    assert len(failed) < len(report.results)
    with pytest.raises(AssertionError, match="FAILED"):
        check_cell(cell)


def test_an_exception_in_a_check_is_a_failure_that_says_so() -> None:
    class Halting(GRU):
        def update(self, gx, gh, state):
            if torch.is_grad_enabled() and gx.shape[0] == 1:
                raise ZeroDivisionError("one row")
            return super().update(gx, gh, state)

    report = examine(Halting)
    (result,) = [result for result in report.results if result.check.startswith("lengths")]
    assert not result.passed and not result.skipped and "ZeroDivisionError: one row" in str(report)


def test_a_breach_of_the_contract_is_refused_before_the_checks() -> None:
    class Short(LSTM):
        def update(self, gx, gh, state):
            return super().update(gx, gh, state)[:1]

    with pytest.raises(UserError, match=r"Short: update returned 1 state part.*expected a tuple of 2 \(h, c\)"):
        check_cell(Short)


def test_the_random_state_is_left_alone() -> None:
    before = torch.get_rng_state()
    check_cell("gru")
    assert torch.equal(before, torch.get_rng_state())


def test_options_of_a_class_and_of_a_name() -> None:
    assert "projection=4" in str(check_cell("lstm:projection=4"))
    assert check_cell(LSTM, projection=4).passed
    with pytest.raises(UserError, match="options of a named cell go with its name"):
        check_cell("lstm", projection=4)


def test_the_command(capsys: pytest.CaptureFixture) -> None:
    assert main(["check", "gru", "lstm:projection=4"]) == 0
    shown = capsys.readouterr().out
    assert "cell 'gru' of seqlab" in shown and "projection=4" in shown
    assert shown.count("engine native is the plain loop") == 2 and shown.count(" 0 failed") == 2
    assert main(["check", "elmn"]) == 2
    assert "did you mean 'elman'?" in capsys.readouterr().err
