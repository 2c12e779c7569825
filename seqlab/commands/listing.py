"""``seqlab cells`` and ``seqlab recipes``: what is installed, without importing any of it but a cell to be shown."""

import os
import shutil
from pathlib import Path

from seqlab import registry
from seqlab.commands import Arguments
from seqlab.commands.cell_card import cell_card
from seqlab.errors import UserError


def main(kind: str, argv: list[str]) -> None:
    """Lists cells or recipes; shows one; copies a recipe."""
    is_recipe = kind == registry.RECIPES
    parser = Arguments(prog=f"seqlab {kind}", description=f"Lists the installed {kind}.")
    metavar = "[show NAME | copy NAME FILE]" if is_recipe else "[show NAME]"
    actions = parser.add_subparsers(dest="action", metavar=metavar, parser_class=Arguments)
    what = "print a recipe" if is_recipe else "equations, options, state, parameters and engines of a cell"
    show = actions.add_parser("show", help=what, description=f"Shows: {what}.")
    show.add_argument("name", help="NAME" if is_recipe else "NAME, or NAME:OPTION=VALUE")
    if is_recipe:
        copy = actions.add_parser("copy", help="copy a recipe to a file of your own")
        copy.add_argument("name")
        copy.add_argument("file", type=Path)
    options = parser.parse_args(argv)
    if options.action == "show":
        print(registry.recipe_path(options.name).read_text("utf-8").rstrip() if is_recipe else cell_card(options.name))
    elif options.action == "copy":
        _copy(options.name, options.file)
    else:
        _list(kind)


def _list(kind: str) -> None:
    offers = registry.names(kind)
    width = max(map(len, offers), default=0)
    origins = max((len(registry.origin(offer)) for offer in offers.values()), default=0)
    room = max(30, shutil.get_terminal_size((160, 24)).columns - width - origins - 4)
    for name, offer in offers.items():
        text = registry.describe(kind, offer)
        if len(text) > room:
            text = text[: room - 1].rstrip() + "…"
        print(f"{name:<{width}}  {registry.origin(offer):<{origins}}  {text}".rstrip())


def _copy(name: str, file: Path) -> None:
    if file.suffix not in (".yaml", ".yml"):
        raise UserError(f"a recipe's file ends in .yaml, unlike {file}")
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
