"""From the name of a cell in a recipe to the cell."""

import inspect
import re
from argparse import ArgumentError
from collections.abc import Callable, Iterable, Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from jsonargparse import ArgumentParser

from seqlab import registry
from seqlab.cell_names import cell_class
from seqlab.cells.base import RecurrentCell
from seqlab.cells.contract import check_contract
from seqlab.errors import UserError
from seqlab.specs import parse_cell


def cell_factory(spec: str | Mapping[str, Any]) -> Callable[[int, int], RecurrentCell]:
    """A function that makes cells from their input and hidden size.

    Args:
        spec: Name and options; see :func:`seqlab.specs.parse_cell`.

    Raises:
        UserError: Nobody offers the cell, it is no cell, it has no such option, or an option is of a wrong type. The
            function raises it where the cell refuses its sizes or options, or breaks the contract.
    """
    name, options = parse_cell(spec)
    cell = cell_class(name)
    who = registry.credit(registry.find(registry.CELLS, name), "cell")
    options = _checked(cell, options, who)

    def make(input_size: int, hidden_size: int) -> RecurrentCell:
        try:
            made = cell(input_size, hidden_size, **options)
        except (TypeError, ValueError, RuntimeError) as error:
            if "allocate memory" in str(error):
                raise  # no fault of the cell
            refused = re.search(r"unexpected keyword argument '(\w+)'", str(error))
            if refused and refused[1] in options and refused[1] not in cell_options(cell):
                raise _no_option(who, refused[1], cell_options(cell)) from error
            raise UserError(f"{who}: {' '.join(str(error).split())}") from error
        check_contract(made, who)
        return made

    return make


def cell_options(cell: type[RecurrentCell]) -> dict[str, inspect.Parameter]:
    """The options of a cell by their names, each as the signature has it that is nearest to the cell."""
    return {name: parameter for name, (parameter, _) in _options(cell)[0].items()}


def _options(cell: type[RecurrentCell]) -> tuple[dict[str, tuple[inspect.Parameter, Any]], bool]:
    """The options of a cell, those of the classes above it among them as far as ``**`` passes them on, each with its
    type; and whether the cell takes others, of which its constructor alone knows what it makes of them."""
    options: dict[str, tuple[inspect.Parameter, Any]] = {}
    takes_others = False
    for constructor in (vars(each)["__init__"] for each in cell.__mro__ if "__init__" in vars(each)):
        parameters = list(inspect.signature(constructor).parameters.values())[1:]
        try:
            hints = get_type_hints(constructor)
        except Exception:  # an annotation that only a type checker can resolve
            hints = {}
        positional = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
        variadic = [each for each in parameters if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
        for each in parameters:
            if each not in (*positional[:2], *variadic):  # the sizes are no options
                options.setdefault(each.name, (each, hints.get(each.name, inspect.Parameter.empty)))
        if not any(each.kind is each.VAR_KEYWORD for each in variadic):
            break
        takes_others = True
    return options, takes_others


def _no_option(who: str, option: str, known: Iterable[str]) -> UserError:
    known = list(known)
    return UserError(
        f"{who} has no option {option!r}{registry.nearest(option, known)} (options: {', '.join(known) or 'none'})"
    )


def _checked(cell: type[RecurrentCell], options: dict[str, Any], who: str) -> dict[str, Any]:
    """The options, each as the annotation of its parameter has it.

    Raises:
        UserError: The cell has no such option, or it is of another type.
    """
    known, takes_others = _options(cell)
    checked = {}
    for option, value in options.items():
        if option not in known and not takes_others:
            raise _no_option(who, option, known)
        parameter, annotation = known.get(option, (None, inspect.Parameter.empty))
        if parameter is not None and annotation is not parameter.empty:
            try:
                value = _parsed(value, annotation, parameter.default)
            except (ArgumentError, ValueError, TypeError) as error:
                expected = _spelled(annotation)
                raise UserError(f"{who}: option {option}: expected {expected}, not {value!r}") from error
        checked[option] = value
    return checked


def _parsed(value: Any, annotation: Any, default: Any) -> Any:
    """A value as its annotation has it: a list as a tuple, a whole number as a float.

    Raises:
        ArgumentError, ValueError, TypeError: It is of another type.
    """
    parser = ArgumentParser(exit_on_error=False)
    try:
        parser.add_argument("--option", type=annotation)
    except ValueError:  # a type that only its own class understands
        return value
    if value is None:  # which the parser would take for an option that is not given
        if default is None or annotation in (Any, object) or NoneType in (annotation, *get_args(annotation)):
            return None
        raise ValueError("None is not among its types")
    return parser.instantiate(parser.parse_object({"option": value})).option


def _spelled(annotation: Any) -> str:
    """An annotation as one would write it, a ``Literal`` as its choices."""
    if annotation is NoneType:
        return "None"
    if get_origin(annotation) is Literal:
        return " | ".join(map(repr, get_args(annotation)))
    if get_origin(annotation) in (Union, UnionType):
        return " | ".join(map(_spelled, get_args(annotation)))
    return inspect.formatannotation(annotation)
