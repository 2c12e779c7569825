"""``seqlab cells show``: what one cell is, what it can be told, and which engine runs it where."""

import inspect
from textwrap import indent
from typing import TYPE_CHECKING

from seqlab import registry
from seqlab.specs import parse_cell

if TYPE_CHECKING:
    from seqlab.cells.base import RecurrentCell

SIZES = (256, 512)
"""Input and hidden size of the example."""


def cell_card(spec: str) -> str:
    """A text about a cell: supplier, docstring, state, options, size, engines.

    Args:
        spec: Its name, or ``NAME:OPTION=VALUE``.

    Raises:
        UserError: There is no such cell, or it has no such option.
    """
    name, _ = parse_cell(spec)
    point = registry.find(registry.CELLS, name)

    from seqlab.tasks.cells import cell_factory

    cell = cell_factory(spec)(*SIZES)
    recurrent = cell.gates if cell.recurrent_gates is None else cell.recurrent_gates
    state = ", ".join(f"{part} [B, {size}]" for part, size in zip(cell.states, cell.state_sizes, strict=True))
    parameters = sum(parameter.numel() for parameter in cell.parameters())
    facts = {
        "supplied by": f"{registry.origin(point)} ({point.value})",
        "gates": f"{', '.join(cell.gates)} (with a recurrent product: {', '.join(recurrent) or 'none'})",
        "state": state,
        "output": f"[B, {cell.output_size}]",
        "parameters": f"{parameters:,}",
        "options": "none",
    }
    width = max(map(len, facts))
    if options := _options(type(cell)):
        facts["options"] = ("\n" + " " * (width + 4)).join(options)
    lines = [f"{key:<{width}}  {value}" for key, value in facts.items()]
    sizes = f"at input size {SIZES[0]} and hidden size {SIZES[1]}:"
    doc = inspect.cleandoc(type(cell).__doc__ or "").replace("::\n\n", "")
    return "\n".join([spec, "", indent(doc, "  "), "", sizes, *(f"  {line}" for line in lines), "", *_engines(cell)])


def _options(cell: type) -> list[str]:
    """Each option as its signature has it."""
    return [str(parameter) for parameter in list(inspect.signature(cell).parameters.values())[2:]]


def _engines(cell: "RecurrentCell") -> list[str]:
    """A table: the engine for each case, and why."""
    from seqlab.recurrence.choice import explain_choice, why_not
    from seqlab.recurrence.engines import ENGINES

    cases = {
        "a sequence on a CPU": explain_choice(cell, 2, "cpu"),
        "a sequence on a GPU": explain_choice(cell, 2, "cuda"),
        "with each row's last state": explain_choice(cell, 2, "cpu", last_of_lengths=True),
        "with resets or zoneout": explain_choice(cell, 2, "cpu", between=True),
        "one step, as in decoding": explain_choice(cell, 1, "cpu"),
    }
    width = max(map(len, cases))
    lines = [f"  {case:<{width}}  {choice.engine:<8}  {choice.why}" for case, choice in cases.items()]
    obstacles = {engine: why_not(engine, cell) for engine in ENGINES}
    able = ", ".join(engine for engine, obstacle in obstacles.items() if not obstacle)
    lines.append(f"  {'can be forced':<{width}}  {able}")
    lines += [f"  {'cannot':<{width}}  {engine:<8}  {why}" for engine, why in obstacles.items() if why]
    return ["engines:", *lines]
