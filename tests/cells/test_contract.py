"""Every kind of breach of the contract is named in one line before training; cells that keep it pass untouched."""

import pytest
import torch
from torch import nn

from seqlab.cells.base import RecurrentCell
from seqlab.cells.contract import check_contract, is_elementwise
from seqlab.cells.elman import Elman
from seqlab.cells.gru import GRU
from seqlab.cells.jordan import Jordan
from seqlab.cells.lstm import LSTM
from seqlab.cells.rrnn import RRNN
from seqlab.errors import UserError

I, H = 5, 7  # noqa: E741  # unlike the trial's 3 rows and 2 steps
WHO = "cell 'mine' of my-cells 1.2"
GOOD = [
    lambda: Elman(I, H),
    lambda: Elman(I, H, activation="relu").double(),
    lambda: Jordan(I, H),
    lambda: LSTM(I, H),
    lambda: LSTM(I, H, projection=2),
    lambda: LSTM(I, H, peephole="full", candidate="sigmoid", layer_norm=True, projection=9),
    lambda: LSTM(I, H, peephole="diagonal").bfloat16(),
    lambda: GRU(I, H),
    lambda: GRU(I, H, reset="before", layer_norm=True),
    lambda: RRNN(I, H),
    lambda: RRNN(I, H, feedback="updated"),
]


class Good(RecurrentCell):
    """What the bad cells are but for one method."""

    states = ("h", "c")

    def update(self, gx, gh, state):
        return (gx + gh).tanh(), (state[1] + gh).tanh()


def breach(method, function, **attributes):
    """A cell like the good one, with one method of its own."""
    return type("Bad", (Good,), {method: function, **attributes})(I, H)


def raises(error):
    def method(*arguments):
        raise error

    return method


def with_dropout():
    cell = breach("update", lambda self, gx, gh, state: (self.dropout((gx + gh).tanh()), state[1]))
    cell.dropout = nn.Dropout(0.5)
    return cell


def keeps_a_sum(self, gx, gh, state):
    self.sum = getattr(self, "sum", 0) + gh
    return gx + self.sum, state[1]


def update(function):
    return breach("update", lambda self, gx, gh, state: function(gx, gh, state))


PAIR = "a tuple of 2 (h, c)"
BREACHES = {
    "too-few-states": (update(lambda gx, gh, s: (gx + gh,)), f"update returned 1 state parts, expected {PAIR}"),
    "too-many-states": (update(lambda gx, gh, s: (*s, gx)), f"update returned 3 state parts, expected {PAIR}"),
    "a-tensor": (update(lambda gx, gh, s: gx + gh), f"update returned a Tensor, expected {PAIR}"),
    "nothing": (update(lambda gx, gh, s: None), f"update returned a NoneType, expected {PAIR}"),
    "a-dict": (update(lambda gx, gh, s: {"h": gx, "c": gh}), f"update returned a dict, expected {PAIR}"),
    "narrow-state": (
        update(lambda gx, gh, s: (gx, gh[:, 1:])),
        "update returned state part 'c' of shape [3, 6], expected [3, 7]",
    ),
    "rows-lost": (
        update(lambda gx, gh, s: (gx.mean(0), s[1])),
        "update returned state part 'h' of shape [7], expected [3, 7]",
    ),
    "part-of-another-type": (
        update(lambda gx, gh, s: (gx, 1.0)),
        "update returned state part 'c' as a float, expected a tensor",
    ),
    "nan": (
        update(lambda gx, gh, s: (gx, (s[1] - 50).sqrt())),
        "update made NaN or infinity of finite input (state part 'c')",
    ),
    "infinity": (
        update(lambda gx, gh, s: (gx / (gx - gx), s[1])),
        "update made NaN or infinity of finite input (state part 'h')",
    ),
    "memory-of-its-own": (
        breach("update", keeps_a_sum),
        "update gave two states for one input and state",
    ),
    "exception": (update(lambda gx, gh, s: gx @ gh), "update raised RuntimeError: "),
    "exception-of-python": (breach("update", raises(KeyError("memory"))), "update raised KeyError: 'memory'"),
    "no-update": (breach("update", RecurrentCell.update), "update raised NotImplementedError: Bad must define update"),
    "own-step": (
        breach("step", lambda self, gx, state: (gx, state[1], gx)),
        f"step returned 3 state parts, expected {PAIR}",
    ),
    "project": (
        breach("project", lambda self, x: self.input(x)[0]),
        "project returned projected inputs of shape [3, 7], expected [2, 3, any]",
    ),
    "project-as-tuple": (
        breach("project", lambda self, x: (self.input(x),)),
        "project returned projected inputs as a tuple, expected a tensor",
    ),
    "project-raises": (breach("project", raises(IndexError("no gate"))), "project raised IndexError: no gate"),
    "readout": (
        breach("readout", lambda self, x, previous, state: state[0][..., :2]),
        "readout returned output of shape [2, 3, 2], expected [2, 3, 7]",
    ),
    "readout-of-one-step": (
        breach("readout", lambda self, x, previous, state: state[0][-1]),
        "readout returned output of shape [3, 7], expected [2, 3, 7]",
    ),
    "readout-nan": (
        breach("readout", lambda self, x, previous, state: state[0].log()),
        "readout made NaN or infinity of finite input (output)",
    ),
    "initial-state": (
        breach("initial_state", lambda self, rows, like: (like.new_zeros(7), like.new_zeros(rows, 7))),
        "initial_state returned state part 'h' of shape [7], expected [3, 7]",
    ),
    "initial-state-number": (
        breach("initial_state", lambda self, rows, like: (like.new_zeros(rows, 7),)),
        f"initial_state returned 1 state parts, expected {PAIR}",
    ),
    "sequence": (
        breach("sequence", lambda self, gx, state: state),
        "sequence returned state part 'h' of shape [3, 7], expected [2, 3, 7]",
    ),
    "sequence-number": (
        breach("sequence", lambda self, gx, state: (gx,)),
        f"sequence returned 1 state parts, expected {PAIR}",
    ),
}


@pytest.mark.parametrize("kind", BREACHES)
def test_a_breach_is_named_in_one_line(kind):
    """Supplier, method, what was found and what was expected."""
    cell, problem = BREACHES[kind]
    with pytest.raises(UserError) as refused:
        check_contract(cell, WHO)
    message = str(refused.value)
    assert message.startswith(f"{WHO}: {problem}")
    assert "\n" not in message


NO_PRODUCT = "there is no recurrent product gh: override step(gx, state), not update(gx, gh, state)"


@pytest.mark.parametrize(
    ("attributes", "name"),
    [
        ({"recurrent_gates": ()}, "recurrent_gates"),
        ({"gates": ()}, "gates"),
        ({"gates": (), "recurrent_gates": ()}, ""),
    ],
)
def test_update_without_a_recurrent_product(attributes, name):
    """It is told what to write instead, before any of it runs."""
    cell = breach("project", raises(KeyError("not to be called")), **attributes)
    with pytest.raises(UserError) as refused:
        check_contract(cell, WHO)
    assert str(refused.value) == f"{WHO}: with {name or 'recurrent_gates'} = () {NO_PRODUCT}"


def test_other_forms_without_a_product_pass():
    """A step of its own, a product of its own, or one that is named where the input has none."""

    def step(self, gx, state):
        return (state[0] + gx).tanh(), state[1]

    check_contract(breach("step", step, recurrent_gates=()), WHO)
    own = type("Own", (Good,), {"gates": ()})(H, H)
    own.recurrent = nn.Sequential(nn.Linear(H, 2), nn.Linear(2, H))
    named = type("Named", (Good,), {"gates": (), "recurrent_gates": ("h",)})(H, H)
    for cell in (own, named):
        check_contract(cell, WHO)
        assert not is_elementwise(cell)  # an engine would look for both of the maps


def test_dropout_and_other_random_numbers_in_update_are_found():
    for cell in (with_dropout(), update(lambda gx, gh, s: (gx + torch.rand(()), s[1]))):
        with pytest.raises(UserError, match=f"^{WHO}: update .*random numbers") as refused:
            check_contract(cell, WHO)
        assert "dropout belongs to the driver" in str(refused.value)


@pytest.mark.parametrize("method", ["project", "readout", "initial_state", "sequence"])
def test_random_numbers_are_found_in_every_method(method):
    """None of a cell's methods may draw them, update or other."""
    drawing = {
        "project": lambda self, x: self.input(x) + torch.rand(()),
        "readout": lambda self, x, previous, state: state[0] + torch.rand(()),
        "initial_state": lambda self, rows, like: (torch.rand(rows, H), torch.rand(rows, H)),
        "sequence": lambda self, gx, state: (gx + torch.rand(()), gx),
    }
    with pytest.raises(UserError, match=f"^{WHO}: {method} .*random numbers"):
        check_contract(breach(method, drawing[method]), WHO)


def test_a_message_of_many_lines_is_told_in_one():
    with pytest.raises(UserError) as refused:
        check_contract(breach("update", raises(ValueError("the sizes\n  3 and 5\ndiffer"))), WHO)
    assert "\n" not in str(refused.value)
    assert "update raised ValueError: the sizes" in str(refused.value)


def test_a_cells_own_user_error_is_passed_on():
    with pytest.raises(UserError, match=r"^Bad: window must be odd$"):
        check_contract(breach("update", raises(UserError("Bad: window must be odd"))), WHO)


@pytest.mark.parametrize("make", GOOD)
def test_good_cells_pass(make):
    cell = make()
    random_state = torch.get_rng_state()
    weights = {name: weight.clone() for name, weight in cell.state_dict().items()}
    assert check_contract(cell, WHO) is None
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(weight, weights[name]) for name, weight in cell.state_dict().items())
    assert all(weight.grad is None and weight.requires_grad for weight in cell.parameters())


def test_a_bad_cell_leaves_the_random_state_untouched():
    cell, random_state = with_dropout(), torch.get_rng_state()
    with pytest.raises(UserError):
        check_contract(cell, WHO)
    assert torch.equal(torch.get_rng_state(), random_state)


def test_dropout_in_evaluation_is_no_breach():
    check_contract(with_dropout().eval(), WHO)
