"""Options of a cell: their names, their types, and what its constructor says of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import pytest
import torch

import seqlab
from seqlab import RecurrentCell, registry
from seqlab.errors import UserError
from seqlab.tasks.cells import cell_factory, cell_options

if TYPE_CHECKING:
    from nowhere import Unknown

T = TypeVar("T")
WHO = f"cell 'options' registered in this process (module {__name__})"


class Options(RecurrentCell):
    """Its annotations are strings, by the import above."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        projection: int | None = None,
        peephole: Literal["none", "full"] | None = "none",
        scale: float = 1.0,
        sizes: tuple[int, int] = (1, 2),
        squash: Callable = torch.tanh,
        norm: bool = False,
        word: str = "",
        width: int = 3,
        late=None,
        free=None,
        anything: Any = 0,
    ):
        super().__init__(input_size, hidden_size)
        self.found = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        if word == "wrong":
            raise ValueError("word must be\nright")
        if word == "typo":
            torch.zeros(3, 5, "x")
        if word == "negative":
            torch.zeros(-3)
        if word == "user":
            raise UserError("Options: as it is")

    __init__.__annotations__["late"] = "int"  # None is among its types by its default, as PEP 484 once had it

    def update(self, gx, gh, state):
        return (gx + gh,)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})
    seqlab.register_cell("options", Options)


def error(function, *arguments) -> str:
    with pytest.raises(UserError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


WRONG = [
    ({"projection": "abc"}, "option projection: expected int | None, not 'abc'"),
    ({"projection": 2.5}, "option projection: expected int | None, not 2.5"),
    ({"peephole": "diagonal"}, "option peephole: expected 'none' | 'full' | None, not 'diagonal'"),
    ({"scale": "much"}, "option scale: expected float, not 'much'"),
    ({"sizes": [1, 2, 3]}, "option sizes: expected tuple[int, int], not [1, 2, 3]"),
    ({"norm": 3}, "option norm: expected bool, not 3"),
    ({"word": 3}, "option word: expected str, not 3"),
    ({"width": None}, "option width: expected int, not None"),
    ({"width": True}, "option width: expected int, not True"),
    ({"squash": 3}, "option squash: expected collections.abc.Callable, not 3"),
]


@pytest.mark.parametrize("options, reason", WRONG, ids=[reason for _, reason in WRONG])
def test_an_option_of_a_wrong_type(options, reason):
    assert error(cell_factory, {"name": "options", **options}) == f"{WHO}: {reason}"


def test_on_one_line():
    assert error(cell_factory, "options:projection=abc") == f"{WHO}: option projection: expected int | None, not 'abc'"


RIGHT = [
    ({"projection": 3}, 3),
    ({"projection": None}, None),
    ({"peephole": "full"}, "full"),
    ({"peephole": None}, None),
    ({"scale": 2}, 2.0),
    ({"sizes": [3, 5]}, (3, 5)),
    ({"squash": abs}, abs),
    ({"norm": True}, True),
    ({"late": None}, None),
    ({"free": [1, "a"]}, [1, "a"]),
    ({"anything": None}, None),
]


@pytest.mark.parametrize("options, value", RIGHT, ids=str)
def test_an_option_as_its_annotation_has_it(options, value):
    cell = cell_factory({"name": "options", **options})(3, 5)
    (name,) = options
    assert cell.found[name] == value and type(cell.found[name]) is type(value)


def test_an_unknown_option():
    message = error(cell_factory, "options:projektion=3")
    assert message.startswith(f"{WHO} has no option 'projektion'; did you mean 'projection'? (options: projection, ")
    assert "input_size" not in message
    assert "has no option 'hidden_size'" in error(cell_factory, "options:hidden_size=3")


@pytest.mark.parametrize("word, reason", [("wrong", "word must be right"), ("typo", ""), ("negative", "negative")])
def test_what_the_constructor_raises(word, reason):
    make = cell_factory(f"options:word={word}")
    message = error(make, 3, 5)
    assert message.startswith(f"{WHO}: ") and reason in message and len(message) > len(WHO) + 5


def test_a_user_error_of_the_constructor_is_passed_on():
    assert error(cell_factory("options:word=user"), 3, 5) == "Options: as it is"


def test_a_cell_that_passes_its_options_on():
    """Which ones there are only its base knows."""

    @seqlab.register_cell("passing")
    class Passing(Options):
        def __init__(self, *sizes, extra: int = 1, **options):
            super().__init__(*sizes, **options)
            self.extra = extra

    cell = cell_factory("passing:extra=7,width=5")(3, 5)
    assert (cell.extra, cell.found["width"]) == (7, 5)
    assert "option extra: expected int, not 'x'" in error(cell_factory, "passing:extra=x")
    assert "option width: expected int, not 'x'" in error(cell_factory, "passing:width=x")
    message = error(cell_factory("passing:wydth=5"), 3, 5)
    assert message.startswith(f"cell 'passing' registered in this process (module {__name__}) has no option 'wydth'; ")
    assert "did you mean 'width'? (options: extra, projection, " in message and "input_size" not in message
    assert list(cell_options(Passing)) == ["extra", *cell_options(Options)]


def test_options_that_go_through_several_classes():
    """As far up as they are passed on, the nearest class first; what a constructor takes out of them is its own."""

    class Mixin:
        def __init__(self, *given, mixed: int = 0, **options):
            super().__init__(*given, **options)
            self.mixed = mixed

    class Middle(Mixin, RecurrentCell):
        def __init__(self, input_size, hidden_size, init: str = "torch", **options):
            self.taken = options.pop("taken", 0)
            super().__init__(input_size, hidden_size, init=init, **options)

        def update(self, gx, gh, state):
            return (gx + gh,)

    class Last(Middle):
        def __init__(self, *sizes, own: float = 1.0, **options):
            super().__init__(*sizes, **options)

    class Closed(Last):
        def __init__(self, input_size, hidden_size, *, only: bool = False):
            super().__init__(input_size, hidden_size)

    known = {name: each.default for name, each in cell_options(Last).items()}
    assert known == {"own": 1.0, "init": "torch", "mixed": 0, "bias": True}
    assert list(cell_options(Closed)) == ["only"]
    seqlab.register_cell("last", Last)
    cell = cell_factory("last:mixed=7,init=orthogonal,bias=false,taken=3")(3, 5)
    assert (cell.mixed, cell.init, cell.input.bias, cell.taken) == (7, "orthogonal", None, 3)
    assert error(cell_factory("last:bla=3"), 3, 5) == (
        f"cell 'last' registered in this process (module {__name__}) has no option 'bla' "
        "(options: own, init, mixed, bias)"
    )


def test_annotations_that_cannot_be_resolved_or_parsed_are_left_to_the_cell():
    class Odd(Options):
        def __init__(self, input_size: int, hidden_size: int, *, unknown: Unknown = None, width: int = 3):
            super().__init__(input_size, hidden_size)
            self.odd = unknown, width

    class Strange(Options):
        def __init__(self, input_size: int, hidden_size: int, *, strange: T | None = None):
            super().__init__(input_size, hidden_size)
            self.odd = strange

    seqlab.register_cell("odd", Odd)
    seqlab.register_cell("strange", Strange)
    assert cell_factory("odd:unknown=x,width=7")(3, 5).odd == ("x", 7)
    assert cell_factory("strange:strange=x")(3, 5).odd == "x"


def test_a_built_in_cell_names_seqlab():
    message = error(cell_factory, "gru:init=3")
    assert message == f"cell 'gru' of seqlab {seqlab.__version__}: option init: expected str, not 3"
