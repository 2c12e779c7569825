"""``seqlab cells`` and ``seqlab recipes``: what is installed, without importing any of it but a cell to be shown."""

import os
import sys
from pathlib import Path

from seqlab import registry
from seqlab.commands import Arguments
from seqlab.commands.cell_card import cell_card
from seqlab.errors import UserError
from seqlab.terminal import columns, folded, table


def main(kind: str, argv: list[str]) -> None:
    """Lists cells or recipes; shows one; copies a recipe."""
    is_recipe = kind == registry.RECIPES
    usage = f"seqlab {kind} [show NAME{' | copy NAME FILE' if is_recipe else ''}]"
    parser = Arguments(prog=f"seqlab {kind}", usage=usage, description=f"Lists the installed {kind}, or shows one.")
    actions = parser.add_subparsers(
        dest="action", title="actions", metavar="ACTION", prog=f"seqlab {kind}", parser_class=Arguments
    )
    what = "print a recipe" if is_recipe else "equations, options, state, parameters and engines of a cell"
    show = actions.add_parser(
        "show", help=what, description="Prints a recipe." if is_recipe else f"Shows {what}, as its options have it."
    )
    show.add_argument(
        "name", metavar="NAME", help=f"see: seqlab {kind}{'' if is_recipe else '; or NAME:OPTION=VALUE,...'}"
    )
    if is_recipe:
        about = "copy a recipe to a file of your own"
        copy = actions.add_parser("copy", help=about, description=f"{about.replace('copy', 'Copies', 1)}.")
        copy.add_argument("name", metavar="NAME", help="see: seqlab recipes")
        copy.add_argument("file", metavar="FILE", type=Path, help="the file, which ends in .yaml and is not there yet")
    if argv and argv[0] not in actions.choices and argv[0] in registry.names(kind):
        raise UserError(f"{argv[0]} alone says not what to do with it: seqlab {kind} show {argv[0]}")
    options = parser.parse_args(argv)
    if options.action == "show" and is_recipe:
        print(registry.recipe_path(options.name).read_text("utf-8").rstrip())
    elif options.action == "show":
        print(cell_card(options.name, columns(sys.stdout)))
    elif options.action == "copy":
        _copy(options.name, options.file)
    else:
        _list(kind)


def _list(kind: str) -> None:
    """What there is: on a terminal by supplier and folded, else a line for each, whole."""
    offers, room = registry.names(kind), columns(sys.stdout)
    rows = [(name, registry.origin(offer), registry.describe(kind, offer)) for name, offer in offers.items()]
    if room is None:
        print(*table(rows, None), sep="\n")
        return
    for position, origin in enumerate(dict.fromkeys(origin for _, origin, _ in rows)):
        print(*([""] if position else []), origin, sep="\n")
        told = [(name, text) for name, other, text in rows if other == origin]
        if max(len(name) for name, _ in told) <= room // 3:
            print(*table(told, room, "  "), sep="\n")
        else:  # there would be little room beside the names
            print(*(line for name, text in told for line in (f"  {name}", *folded(f"      {text}", room))), sep="\n")


def _copy(name: str, file: Path) -> None:
    if file.suffix not in (".yaml", ".yml"):
        raise UserError(f"a recipe's file ends in .yaml, unlike {file}")
    if not file.parent.is_dir():
        raise UserError(f"there is no folder {file.parent} to write {file.name} into")
    text = registry.recipe_path(name).read_text(encoding="utf-8")
    try:
        with file.open("x", encoding="utf-8") as copy:
            copy.write(text)
    except FileExistsError as error:
        raise UserError(f"{file} exists; it was left as it is") from error
    except OSError as error:
        raise UserError(f"cannot write {file}: {error.strerror}") from error
    command = f"seqlab fit --recipe {os.fspath(file)}"
    print(f"{name} copied to {file}; change it and run: {command}")
