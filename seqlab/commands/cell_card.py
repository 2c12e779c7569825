"""``seqlab cells show``: what one cell is, what it can be told, and which engine runs it where."""

import inspect
import re
from collections.abc import Iterable, Mapping
from itertools import takewhile
from textwrap import dedent
from typing import TYPE_CHECKING, Any

from seqlab import registry
from seqlab.specs import parse_cell
from seqlab.terminal import folded, table

if TYPE_CHECKING:
    from seqlab.cells.base import Equations, RecurrentCell

SIZES = (256, 512)
"""Input and hidden size of the example."""
GAP = 5
"""Spaces at least between an equation and what it is for."""


def cell_card(spec: str, room: int | None = None) -> str:
    """A text about a cell with the options it has: docstring, equations, supplier, state, options, size, engines.

    Args:
        spec: Its name, or ``NAME:OPTION=VALUE``.
        room: Columns; None for any number.

    Raises:
        UserError: There is no such cell, or it has no such option.
    """
    name, given = parse_cell(spec)
    point = registry.find(registry.CELLS, name)

    from seqlab.tasks.cells import cell_factory

    cell = cell_factory(spec)(*SIZES)
    recurrent = cell.gates if cell.recurrent_gates is None else cell.recurrent_gates
    state = ", ".join(f"{part} [B, {size}]" for part, size in zip(cell.states, cell.state_sizes, strict=True))
    parameters = sum(parameter.numel() for parameter in cell.parameters())
    options = _options(type(cell), given)
    facts = [
        ("supplied by", f"{registry.origin(point)} ({point.value})"),
        ("gates", f"{', '.join(cell.gates) or 'none'} (with a recurrent product: {', '.join(recurrent) or 'none'})"),
        ("state", state),
        ("output", f"[B, {cell.output_size}]"),
        ("parameters", f"{parameters:,}"),
        *zip(["options", *[""] * len(options)], options or ["none"], strict=False),
    ]
    sizes = f"at input size {SIZES[0]} and hidden size {SIZES[1]}:"
    lines = [spec, "", *_about(cell, given, room), "", sizes, *table(facts, room, "  ")]
    return "\n".join([*lines, "", "engines:", *_engines(cell, room)])


def _about(cell: "RecurrentCell", given: Mapping[str, Any], room: int | None) -> list[str]:
    """The docstring, with the equations of the options that the cell has."""
    summary, equations, rest = _parts(type(cell))
    own = cell.equations() if "equations" in vars(type(cell)) else []  # a subclass may compute something else
    lines = _filled(summary, room)
    if given:
        told = ", ".join(f"{name}={value}" for name, value in given.items())
        what = "the equations are" if equations else "what follows is"
        lines += ["", f"  with {told}:" if own else f"  ({what} of the default options; set here: {told})"]
    lines += ["", *_shown(own or equations, room)] if own or equations else []
    return [*lines, "", *_filled(rest, room)] if rest else lines


def _parts(cell: type) -> tuple[list[str], "Equations", list[str]]:
    """The lines of a docstring before its equations, the equations with what each is for, and the lines after them."""
    doc = inspect.cleandoc(cell.__doc__ or "")
    doc = re.sub(r":\w+:`~?\.?(?:[\w.]*\.)?(\w+)`", r"\1", doc).replace("``", "")
    lines = doc.splitlines()
    if "::" not in lines:
        return lines[:1], [], lines[2:]
    start = lines.index("::")
    block = list(takewhile(lambda line: not line or line.startswith(" "), lines[start + 1 :]))
    equations = []
    for line in dedent("\n".join(block)).strip("\n").splitlines():
        match = re.fullmatch(r"(.*?\S)\s{3,}(\S.*)", line)
        equations.append((match[1], match[2]) if match else (line, ""))
    return lines[: max(0, start - 1)], equations, lines[start + 1 + len(block) :]


def _filled(lines: Iterable[str], room: int | None) -> list[str]:
    """Lines of a docstring, those of a paragraph or an item filled where one is too long for the room."""
    lines = [f"  {line}".rstrip() for line in lines]
    if room is None or all(len(line) <= room for line in lines):
        return [re.sub("::$", ":", line) for line in lines]
    texts: list[str] = []
    verbatim = False
    for line in lines:
        last = texts[-1] if texts else ""
        verbatim = last.endswith("::") or (verbatim and (not line or _depth(line) > 2))
        is_item = re.match(r" {6,}\w+: ", line) and not line.startswith(f"{' ' * (_depth(last) + 4)}")
        if line and last and not verbatim and not last.endswith(":") and not is_item:
            texts[-1] += f" {line.lstrip()}"
        else:
            texts.append(line)
    parts = [part for text in texts for part in folded(text, room, _depth(text) + 4 * (_depth(text) > 2))]
    return [re.sub("::$", ":", part) for part in parts]


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


def _shown(equations: "Equations", room: int | None) -> list[str]:
    """Equations one below the other, each with what it is for beside it, or below it where there is no room."""
    beside = [equation for equation, note in equations if room is None or 6 + len(equation + note) + GAP <= room]
    width = max(map(len, beside), default=0)
    lines = []
    for equation, note in equations:
        line = f"      {equation:<{width}}{' ' * GAP}{note}".rstrip()
        if room is None or len(line) <= room:
            lines.append(line)
        else:
            hang = 6 + max(0, equation.find("= ")) + 2
            lines += [*folded(f"      {equation}", room, hang), *([f"{' ' * hang}{note}"] if note else [])]
    return lines


def _options(cell: "type[RecurrentCell]", given: Mapping[str, Any]) -> list[str]:
    """Each option as its signature has it, with the value that it has here."""
    from seqlab.tasks.cells import cell_options

    told = []
    for name, parameter in cell_options(cell).items():
        if name in given and parameter.default is not parameter.empty and parameter.default != given[name]:
            told.append(f"{parameter.replace(default=given[name])} (by default {parameter.default!r})")
        else:
            told.append(str(parameter))
    return told


def _engines(cell: "RecurrentCell", room: int | None) -> list[str]:
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
    rows = [(f"{case:<{width}}", choice.engine, choice.why) for case, choice in cases.items()]
    obstacles = {engine: why_not(engine, cell) for engine in ENGINES}
    unable = [(f"{'cannot':<{width}}", engine, why) for engine, why in obstacles.items() if why]
    able = (f"{'can be forced':<{width}}", ", ".join(engine for engine, why in obstacles.items() if not why))
    return [*table(rows, room, "  "), *table([able], room, "  "), *table(unable, room, "  ")]
