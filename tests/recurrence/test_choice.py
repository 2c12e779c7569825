"""Which engine runs a cell, why, and what an engine that cannot run it says."""

import pytest
import torch

from seqlab.cells.elman import Elman
from seqlab.cells.gru import GRU
from seqlab.cells.lstm import LSTM
from seqlab.cells.rrnn import RRNN
from seqlab.errors import UserError
from seqlab.recurrence.choice import choose_engine, explain_choice, why_not
from seqlab.recurrence.stack import RecurrentStack
from seqlab.recurrence.unroll import unroll

T, B, I, H = 7, 4, 3, 5  # noqa: E741


class Leaky(LSTM):
    """A third party's cell: inherits everything of LSTM but its maths."""

    def update(self, gx, gh, state):
        h, c = super().update(gx, gh, state)
        return h + 0.1 * state[0], c


# On a CPU: for many steps, where the state after each row's last one is needed, where it changes between steps;
# on a GPU: for many steps.
TABLE = {
    "elman": ("native", "native", "deferred", "native"),
    "elman-relu": ("native", "native", "deferred", "native"),
    "elman-sigmoid": ("deferred", "deferred", "deferred", "deferred"),
    "jordan": ("deferred", "deferred", "deferred", "deferred"),
    "lstm": ("native", "deferred", "deferred", "native"),
    "lstm-full": ("deferred", "deferred", "deferred", "deferred"),
    "lstm-diagonal": ("deferred", "deferred", "deferred", "deferred"),
    "lstm-sigmoid": ("deferred", "deferred", "deferred", "deferred"),
    "lstm-norm": ("deferred", "deferred", "deferred", "deferred"),
    "lstm-narrow": ("native", "deferred", "deferred", "native"),
    "lstm-same": ("deferred", "deferred", "deferred", "deferred"),  # torch's h is narrower than c, or not projected
    "lstm-wide": ("deferred", "deferred", "deferred", "deferred"),
    "lstm-all": ("deferred", "deferred", "deferred", "deferred"),
    "gru": ("native", "native", "deferred", "native"),
    "gru-before": ("deferred", "deferred", "deferred", "deferred"),
    "gru-norm": ("deferred", "deferred", "deferred", "deferred"),
    "rrnn": ("deferred", "deferred", "deferred", "deferred"),
    "rrnn-updated": ("deferred", "deferred", "deferred", "deferred"),
    "parallel": ("deferred", "deferred", "deferred", "sequence"),
    "pointwise": ("deferred", "deferred", "deferred", "deferred"),
}


@pytest.mark.parametrize("name", TABLE)
def test_the_table_of_engines(lab, name):
    many, with_last, with_between, on_a_gpu = TABLE[name]
    cell = lab.cell(name)
    for steps in (2, T):
        x_TBI = torch.zeros(steps, B, I)
        assert choose_engine(cell, x_TBI) == explain_choice(cell, steps, "cpu").engine == many
        assert choose_engine(cell, x_TBI, last_of_lengths=True) == with_last
        assert explain_choice(cell, steps, "cpu", last_of_lengths=True).engine == with_last
        assert choose_engine(cell, x_TBI, between=True) == with_between
        for device in ("cpu", "cuda"):
            assert explain_choice(cell, steps, device, between=True).engine == with_between
            assert explain_choice(cell, steps, device, between=True, last_of_lengths=True).engine == with_between
        assert explain_choice(cell, steps, "cuda").engine == on_a_gpu
    for last, between in ((False, False), (True, False), (False, True), (True, True)):
        assert choose_engine(cell, x_TBI[:1], last_of_lengths=last, between=between) == "plain"
        assert explain_choice(cell, 1, "cuda", last_of_lengths=last, between=between).engine == "plain"


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("lstm", {}, "the maths is that of torch's lstm kernel"),
        ("elman-relu", {}, "the maths is that of torch's rnn_relu kernel"),
        ("lstm", {"steps": 1}, "one step: nothing to share between steps"),
        (
            "lstm",
            {"last_of_lengths": True},
            "not native: torch's kernel does not return the memory in mid-sequence",
        ),
        ("gru", {"between": True}, "not native: only a loop can change the state between two steps"),
        ("gru-before", {}, "no kernel of torch computes this cell"),
        ("parallel", {"device": "cuda"}, "the cell has a parallel form, and a GPU"),
        ("parallel", {}, "no kernel of torch computes this cell"),
    ],
)
def test_the_reason_is_told(lab, name, options, why):
    assert explain_choice(lab.cell(name), **{"steps": T, "device": "cpu", **options}).why == why


@pytest.mark.parametrize(
    ("name", "engine", "options", "reason"),
    [
        ("lstm", "native", {}, ""),
        ("lstm", "native", {"last_of_lengths": True}, "torch's kernel does not return the memory in mid-sequence"),
        ("gru", "native", {"last_of_lengths": True}, ""),
        ("rrnn", "native", {}, "no kernel of torch computes this cell"),
        ("lstm-norm", "native", {"last_of_lengths": True}, "no kernel of torch computes this cell"),
        ("elman-sigmoid", "native", {}, "no kernel of torch computes this cell"),
        ("gru", "sequence", {}, "it has no parallel form"),
        ("parallel", "sequence", {"last_of_lengths": True}, ""),
        ("gru", "factored", {"last_of_lengths": True}, ""),
        ("jordan", "factored", {}, "its update is not pointwise"),
        ("rrnn", "factored", {}, "its update is not pointwise"),
        ("parallel", "factored", {}, "it has no recurrent product"),
        ("gru", "native", {"between": True}, "only a loop can change the state between two steps"),
        ("gru", "factored", {"between": True}, "only a loop can change the state between two steps"),
        ("parallel", "sequence", {"between": True}, "only a loop can change the state between two steps"),
        ("rrnn", "plain", {"between": True, "last_of_lengths": True}, ""),
        ("rrnn", "deferred", {"between": True, "last_of_lengths": True}, ""),
    ],
)
def test_what_keeps_an_engine_from_running_a_cell(lab, name, engine, options, reason):
    assert why_not(engine, lab.cell(name), **options) == reason


@pytest.mark.parametrize("engine", ["plain", "deferred"])
def test_a_forced_engine_wins_over_the_table(engine):
    for cell, steps in ((GRU(I, H), T), (RRNN(I, H), 1)):
        assert choose_engine(cell, torch.zeros(steps, B, I), engine=engine) == engine


def test_a_subclass_with_its_own_maths_never_runs_native(lab):
    cell = lab.randomised(Leaky(I, H))
    x_TBI, state = lab.inputs(), lab.state(cell)
    assert choose_engine(cell, x_TBI) == "deferred"
    torch.testing.assert_close(unroll(cell, x_TBI, state), lab.row_by_row(cell, x_TBI, state), rtol=0, atol=1e-12)
    with pytest.raises(UserError, match="native cannot run Leaky here: no kernel of torch computes this cell"):
        unroll(cell, x_TBI, state, engine="native")


def test_options_that_change_the_maths_never_run_native_in_a_subclass_either():
    class Named(Elman):
        pass

    class Kernel(Elman):
        native_kernel = "rnn_tanh"

    x_TBI = torch.zeros(T, B, I)
    assert choose_engine(Named(I, H), x_TBI) == "deferred"
    assert choose_engine(Kernel(I, H), x_TBI) == "native"  # it says so itself
    assert choose_engine(Kernel(I, H, activation="sigmoid"), x_TBI) == "deferred"


@pytest.mark.parametrize(
    ("cell", "engine", "options", "problem"),
    [
        (LSTM(I, H), "native", {}, "engine native cannot run LSTM here: torch's kernel does not return the memory"),
        (RRNN(I, H), "native", {}, "engine native cannot run RRNN here: no kernel of torch computes this cell"),
        (RRNN(I, H), "sequence", {}, "engine sequence cannot run RRNN here: it has no parallel form"),
        (RRNN(I, H), "factored", {}, "engine factored cannot run RRNN here: its update is not pointwise"),
        (GRU(I, H), "native", {"zoneout": 0.1}, "engine native cannot run GRU here: only a loop can change the state"),
        (GRU(I, H), "factored", {"resets": torch.zeros(T, B)}, "engine factored cannot run GRU here: only a loop"),
        (GRU(I, H), "fast", {}, "no engine named 'fast' .there are: plain, deferred, factored, sequence, native.$"),
    ],
)
def test_impossible_and_unknown_engines_are_refused(cell, engine, options, problem):
    with pytest.raises(UserError, match=f"^{problem}") as refused:
        unroll(cell, torch.zeros(T, B, I), lengths=torch.tensor([7, 3, 0, 5]), engine=engine, **options)
    assert engine == "fast" or str(refused.value).endswith("; leave the choice open or take deferred")


@pytest.mark.parametrize(
    ("cell_class", "options", "expected"),
    [
        (LSTM, {}, ["native", "native"]),
        (LSTM, {"bidirectional": True}, ["native"] * 4),
        (LSTM, {"zoneout": 0.1}, ["deferred", "deferred"]),
        (LSTM, {"zoneout": {"c": 0.1}}, ["deferred", "deferred"]),
        (LSTM, {"zoneout": {"c": 0.0}}, ["native", "native"]),
        (LSTM, {"weight_drop": 0.3}, ["native", "native"]),
        (LSTM, {"engine": "factored"}, ["factored", "factored"]),
        (RRNN, {}, ["deferred", "deferred"]),
    ],
)
def test_a_stack_lists_its_engines(cell_class, options, expected):
    assert RecurrentStack(lambda size: cell_class(size, H), I, 2, **options).engines() == expected


def test_a_forced_engine_reaches_every_cell():
    stack = RecurrentStack(lambda size: RRNN(size, H), I, 2, engine="native")
    with pytest.raises(UserError, match="native cannot run RRNN"):
        stack(torch.zeros(T, B, I))
    with pytest.raises(UserError, match="no engine named 'fast'"):
        RecurrentStack(lambda size: RRNN(size, H), I, 2, engine="fast")
