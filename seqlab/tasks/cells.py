"""From the name of a cell in a recipe to the cell."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from seqlab import registry
from seqlab.cells.base import RecurrentCell
from seqlab.errors import UserError


def cell_factory(spec: str | Mapping[str, Any]) -> Callable[[int, int], RecurrentCell]:
    """A function that makes cells from their input and hidden size.

    Args:
        spec: Name and options; see :func:`seqlab.registry.parse_cell`.

    Raises:
        UserError: Nobody offers the cell, it is no cell, or it has no such option.
    """
    name, options = registry.parse_cell(spec)
    cell = registry.load(registry.CELLS, name)
    who = f"cell {name!r} of {registry.origin(registry.find(registry.CELLS, name))}"
    if not (isinstance(cell, type) and issubclass(cell, RecurrentCell)):
        raise UserError(f"{who} is no RecurrentCell but {cell!r}")
    known = list(inspect.signature(cell).parameters)[2:]
    for option in options:
        if option not in known:
            raise UserError(
                f"{who} has no option {option!r}{registry.nearest(option, known)} "
                f"(options: {', '.join(known) or 'none'})"
            )
    return lambda input_size, hidden_size: cell(input_size, hidden_size, **options)
