"""The lists of cells and recipes, and the card of a cell."""

import re
import subprocess
import sys

import pytest

from seqlab import registry
from seqlab.cells.base import RecurrentCell
from seqlab.cells.gru import GRU
from seqlab.cells.rrnn import RRNN
from seqlab.commands.cell_card import cell_card
from seqlab.errors import UserError

from ..terminal import on_terminal


def lines_of(*argv: str) -> list[str]:
    done = subprocess.run([sys.executable, "-m", "seqlab", *argv], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("kind", ["cells", "recipes"])
def test_a_pipe_gets_a_whole_line_for_each(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    offers = registry.names(kind)
    lines = lines_of(kind)
    assert [line.split()[0] for line in lines] == list(offers)
    for line, offer in zip(lines, offers.values(), strict=True):
        assert re.search(rf" {re.escape(registry.origin(offer))} +{re.escape(registry.describe(kind, offer))}$", line)


@pytest.mark.parametrize("kind", ["cells", "recipes"])
def test_a_terminal_gets_all_of_it_folded(kind: str) -> None:
    code, lines = on_terminal(60, kind)
    assert code == 0 and max(map(len, lines)) <= 60
    heads = [line for line in lines if line and not line.startswith(" ")]
    offers = registry.names(kind)
    assert sorted(heads) == sorted({registry.origin(offer) for offer in offers.values()})
    text = " ".join(" ".join(lines).split())
    for each, offer in offers.items():
        assert " ".join(f"{each} {registry.describe(kind, offer)}".split()) in text


def test_a_recipe_is_described_by_a_whole_sentence() -> None:
    (line,) = [line for line in lines_of("recipes") if line.startswith("adding ")]
    assert line.endswith("the sum of two marked numbers out of 50.")


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("rrnn:feedback=updated", ["h'_t = tanh(W_h'h h'_{t-1} + W_x'h x_t + (W_rh r_t) * h'_{t-1} + b_h')"]),
        ("rrnn:activation=relu", ["h_t  = relu(W_hh h_{t-1} + W_xh x_t + b_h)"]),
        ("gru:reset=before", ["n_t = tanh(W_xn x_t + b_xn + W_hn (r_t * h_{t-1}) + b_hn)"]),
        ("lstm:peephole=full,projection=3", ["W_ci c_{t-1})", "h_t = W_r (o_t * tanh(c_t))", "state        h [B, 3]"]),
        ("jordan:output_activation=sigmoid", ["y_t = sigmoid(W_hy h_t + b_y)"]),
    ],
)
def test_a_card_is_of_the_options_that_are_set(spec: str, told: list[str]) -> None:
    card, default = cell_card(spec), cell_card(spec.partition(":")[0])
    options = spec.partition(":")[2].replace(",", ", ")
    assert f"  with {options}:\n" in card and "with " + options not in default
    for text in told:
        assert text in card
        assert text not in default.replace(re.search(r"Args:.*Raises:", default, re.DOTALL)[0], "")


def test_the_options_have_the_values_that_are_set() -> None:
    card = cell_card("rrnn:feedback=updated")
    assert "feedback: str = 'updated' (by default 'main')\n" in card and "activation: str = 'tanh'\n" in card
    assert "by default '" not in cell_card("rrnn:feedback=main")


def test_a_cell_without_gates_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    class Bare(RecurrentCell):
        gates = ()

        def step(self, gx, state):
            return state

    monkeypatch.setitem(registry._registered, "bare", registry.Offer("bare", "here:Bare", cell=Bare))
    assert "  gates        none (with a recurrent product: none)\n" in cell_card("bare")


def test_options_that_are_passed_on_are_those_of_the_classes_above(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine(GRU):
        def __init__(self, input_size, hidden_size, *, extra: int = 1, **options):
            super().__init__(input_size, hidden_size, **options)

    monkeypatch.setitem(registry._registered, "mine", registry.Offer("mine", "here:Mine", cell=Mine))
    card, card_of_gru = cell_card("mine:init=torch"), cell_card("gru:init=torch")
    own, above = (
        re.search(r"^  options +((?:.*\n)+?)\nengines:", text, re.M)[1].split("\n") for text in (card, card_of_gru)
    )
    assert own[0] == "extra: int = 1"
    assert [line.strip() for line in own[1:]] == [line.strip() for line in above]
    assert "init: str = 'torch' (by default 'orthogonal')" in card and "**" not in card


def test_equations_of_a_class_that_has_one_form_are_told_to_be_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(RRNN):
        """It inherits equations, and may compute something else.

        ::

            h_t = something(x_t)     of its own

        More.
        """

    monkeypatch.setitem(registry._registered, "other", registry.Offer("other", "here:Other", cell=Other))
    card = cell_card("other:activation=relu")
    assert "(the equations are of the default options; set here: activation=relu)" in card
    assert "\n      h_t = something(x_t)     of its own\n\n  More.\n" in card and "relu(" not in card
    assert "default options" not in cell_card("other")


@pytest.mark.parametrize("spec", ["rrnn:feedback=updated", "lstm:peephole=diagonal,layer_norm=true", "gru"])
def test_a_card_is_folded_and_loses_nothing(spec: str) -> None:
    narrow, wide = cell_card(spec, 72), cell_card(spec)
    assert max(map(len, narrow.splitlines())) <= 72 < max(map(len, wide.splitlines()))
    assert narrow.split() == wide.split()
    assert not re.search(r":\w+:`|``|::", wide), "no markup"


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(UserError, match="no option 'feedbak'; did you mean 'feedback'"):
        cell_card("rrnn:feedbak=updated")
