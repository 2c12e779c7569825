"""``seqlab cells`` and ``seqlab recipes``: what is installed, without importing any of it."""

import os
import shutil
from pathlib import Path

from seqlab import registry
from seqlab.commands import Arguments
from seqlab.errors import UserError


def main(kind: str, argv: list[str]) -> None:
    """Lists cells or recipes; shows or copies a recipe."""
    parser = Arguments(prog=f"seqlab {kind}", description=f"Lists the installed {kind}.")
    if kind == registry.RECIPES:
        actions = parser.add_subparsers(dest="action", metavar="[show NAME | copy NAME FILE]", parser_class=Arguments)
        show = actions.add_parser("show", help="print a recipe")
        show.add_argument("name")
        copy = actions.add_parser("copy", help="copy a recipe to a file of your own")
        copy.add_argument("name")
        copy.add_argument("file", type=Path)
    options = parser.parse_args(argv)
    action = getattr(options, "action", None)
    if action == "show":
        print(registry.recipe_path(options.name).read_text(encoding="utf-8"), end="")
    elif action == "copy":
        _copy(options.name, options.file)
    else:
        _list(kind)


def _list(kind: str) -> None:
    points = registry.names(kind)
    width = max(map(len, points), default=0)
    origins = max((len(registry.origin(point)) for point in points.values()), default=0)
    room = max(30, shutil.get_terminal_size((160, 24)).columns - width - origins - 4)
    for name, point in points.items():
        text = registry.describe(kind, point)
        if len(text) > room:
            text = text[: room - 1].rstrip() + "…"
        print(f"{name:<{width}}  {registry.origin(point):<{origins}}  {text}".rstrip())


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
