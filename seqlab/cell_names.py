"""From the name of a cell to its class, and from a class to a name of this process."""

import inspect
import re
from collections.abc import Callable
from typing import Any, TypeVar, overload

from seqlab import registry
from seqlab.cells.base import RecurrentCell
from seqlab.errors import UserError, with_article

Cell = TypeVar("Cell", bound=type[RecurrentCell])


def cell_class(name: str) -> type[RecurrentCell]:
    """The class of a cell that is installed or registered.

    Raises:
        UserError: The name is unknown or offered twice, cannot be imported, or is no class of a cell that can be made.
    """
    cell = registry.load(registry.CELLS, name)
    check_class(cell, registry.credit(registry.find(registry.CELLS, name), "cell"))
    return cell


def check_class(cell: Any, who: str) -> None:
    """Makes sure that something is the class of a cell.

    Args:
        cell: What should be one.
        who: Its name and supplier, for the message.

    Raises:
        UserError: It is something else, or abstract: it lacks a method that it has to define.
    """
    if not isinstance(cell, type):
        raise UserError(f"{who} is no class of a RecurrentCell but {with_article(type(cell).__name__)}")
    if not issubclass(cell, RecurrentCell):
        raise UserError(f"{who} is no RecurrentCell but the class {cell.__module__}.{cell.__qualname__}")
    lacks = sorted(getattr(cell, "__abstractmethods__", ()))
    if cell.update is RecurrentCell.update and cell.step is RecurrentCell.step:
        gates = cell.gates if cell.recurrent_gates is None else cell.recurrent_gates
        lacks = lacks or ["update" if gates else "step"]
    if lacks:
        raise UserError(f"{who} is abstract: class {cell.__qualname__} does not define {', '.join(lacks)}")


@overload
def register_cell(name: str) -> Callable[[Cell], Cell]: ...


@overload
def register_cell(name: str, cell: Cell) -> Cell: ...


def register_cell(name: str, cell: Any = None) -> Any:
    """Gives a class a name in this process, as the entry point of a package does everywhere: for notebooks.

    ::

        @seqlab.register_cell("my-cell")
        class MyCell(seqlab.RecurrentCell): ...

        seqlab.register_cell("my-cell", MyCell)  # the same

    Registering a name again replaces the class. A run that was trained with it can be loaded where it is registered.

    Args:
        name: The name, as recipes and flags write it.
        cell: The class; a decorator is returned without it.

    Returns:
        The class.

    Raises:
        UserError: A distribution offers the name, nobody could write it, or this is not the class of a cell.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[^\s:,={}\[\]]+", name):
        raise UserError(f'a cell is registered under a name, register_cell("my-cell", MyCell), not under {name!r}')

    def register(cell: Any) -> Any:
        value = f"{inspect.getattr_static(cell, '__module__', '?')}:{getattr(cell, '__qualname__', '?')}"
        offer = registry.Offer(name, value, cell=cell)
        check_class(cell, registry.credit(offer, "cell"))
        registry.register(offer)
        return cell

    return register if cell is None else register(cell)
