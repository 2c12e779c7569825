"""Cells that are registered in a process, and classes that are none."""

import subprocess
import sys
from abc import ABC, abstractmethod

import pytest
import torch

import seqlab
from seqlab import RecurrentCell, registry
from seqlab.cell_names import cell_class
from seqlab.cells.gru import GRU
from seqlab.commands import listing
from seqlab.errors import UserError
from seqlab.tasks.cells import cell_factory

HERE = f"registered in this process (module {__name__})"


class Mine(RecurrentCell):
    """A leaky sum.

    More.
    """

    def update(self, gx, gh, state):
        return (0.5 * state[0] + (gx + gh).tanh(),)


class OwnStep(RecurrentCell):
    def step(self, gx, state):
        return (gx,)


class Unfinished(RecurrentCell):
    """Lacks update."""


class NoProduct(RecurrentCell):
    """Lacks step, since there is nothing to call update with."""

    recurrent_gates = ()


class Formal(Mine, ABC):
    @abstractmethod
    def gate(self): ...

    @abstractmethod
    def decay(self): ...


@pytest.fixture(autouse=True)
def none_is_left(monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})


def error(function, *arguments) -> str:
    with pytest.raises(UserError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_registered_cell_is_known_everywhere(capsys):
    assert seqlab.register_cell("mine", Mine) is Mine
    assert cell_class("mine") is Mine
    cell = cell_factory("mine:init=torch")(3, 5)
    assert cell(torch.ones(7, 3), (torch.zeros(7, 5),))[0].shape == (7, 5)
    listing.main(registry.CELLS, [])
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("mine ")]
    assert HERE in line and line.endswith("A leaky sum.")
    assert registry.credit(registry.find(registry.CELLS, "mine"), "cell") == f"cell 'mine' {HERE}"
    assert "did you mean 'mine'?" in error(registry.find, registry.CELLS, "mime")
    assert registry.offer_of(Mine) == registry.find(registry.CELLS, "mine")


def test_as_a_decorator():
    @seqlab.register_cell("own")
    class Own(Mine):
        pass

    assert isinstance(Own, type) and isinstance(cell_factory("own")(3, 5), Own)
    assert registry.describe(registry.CELLS, registry.names(registry.CELLS)["own"]) == ""


def test_a_notebook_cell_that_is_run_twice():
    """The later class is taken, and cells of the first still know what they are."""
    seqlab.register_cell("mine", Mine)
    registry.load(registry.CELLS, "mine")
    seqlab.register_cell("mine", OwnStep)
    assert cell_class("mine") is OwnStep and list(registry.names(registry.CELLS)).count("mine") == 1
    offer = registry.offer_of(Mine)
    assert offer is not None and offer.name == "mine"


def test_a_name_that_a_distribution_offers_is_refused():
    message = error(seqlab.register_cell, "gru", Mine)
    assert "'gru'" in message and f"seqlab {seqlab.__version__}" in message
    assert cell_class("gru") is GRU


def test_a_name_that_a_distribution_comes_to_offer(tmp_path, monkeypatch):
    """Neither wins, as with two distributions."""
    seqlab.register_cell("late", Mine)
    info = tmp_path / "late-4.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: late\nVersion: 4\n")
    (info / "entry_points.txt").write_text("[seqlab.cells]\nlate = late:Cell\n")
    monkeypatch.syspath_prepend(tmp_path)
    message = error(registry.find, registry.CELLS, "late")
    assert "late 4" in message and HERE in message
    assert "late 4" in error(seqlab.register_cell, "late", Mine)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a=b", "a,b", "{a}", Mine, None])
def test_a_name_that_nobody_could_write(name):
    assert 'register_cell("my-cell", MyCell)' in error(seqlab.register_cell, name, Mine)


NO_CELLS = [
    (Unfinished, "is abstract: class Unfinished does not define update"),
    (RecurrentCell, "is abstract: class RecurrentCell does not define update"),
    (NoProduct, "is abstract: class NoProduct does not define step"),
    (Formal, "is abstract: class Formal does not define decay, gate"),
    (torch.nn.GRUCell, "is no RecurrentCell but the class torch.nn.modules.rnn.GRUCell"),
    (torch.tanh, "is no class of a RecurrentCell but a builtin_function_or_method"),
    (torch, "is no class of a RecurrentCell but a module"),
    (3, "is no class of a RecurrentCell but an int"),
]


@pytest.mark.parametrize("cell, reason", NO_CELLS, ids=[reason for _, reason in NO_CELLS])
def test_what_is_no_cell_is_refused_at_once(cell, reason):
    message = error(seqlab.register_cell, "none", cell)
    assert message.startswith("cell 'none' registered in this process (module ") and message.endswith(reason)
    assert "none" not in registry.names(registry.CELLS)


def test_what_is_no_cell_is_refused_where_a_package_offers_it(tmp_path, monkeypatch):
    """When it is asked for; with the distribution."""
    info = tmp_path / "odd-2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 2\n")
    points = ["gone = seqlab.cells.gru:Gone", "base = seqlab:RecurrentCell", "linear = torch.nn:Linear", "math = math"]
    (info / "entry_points.txt").write_text("\n".join(["[seqlab.cells]", *points]))
    monkeypatch.syspath_prepend(tmp_path)
    assert error(cell_factory, "base").startswith("cell 'base' of odd 2 is abstract")
    assert error(cell_factory, "linear").startswith("cell 'linear' of odd 2 is no RecurrentCell but the class torch.nn")
    assert error(cell_factory, "math").startswith("cell 'math' of odd 2 is no class of a RecurrentCell")
    reason = "could not be imported: module 'seqlab.cells.gru' has no attribute 'Gone'"
    assert error(cell_factory, "gone") == f"cell 'gone' of odd 2 {reason}"


def test_a_cell_with_a_step_of_its_own_is_not_abstract():
    seqlab.register_cell("step", OwnStep)
    assert isinstance(cell_factory("step")(3, 5), OwnStep)


def test_registering_needs_no_lightning():
    code = "import sys, seqlab; seqlab.register_cell; sys.exit('lightning' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
