"""``seqlab new``: writes a project to start from."""

import keyword
import os
import re
import shlex
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from importlib.resources import files
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory
from typing import NamedTuple

from seqlab import registry
from seqlab.commands import Arguments
from seqlab.errors import UserError
from seqlab.sources import find_module
from seqlab.terminal import columns, folded


class Kind(NamedTuple):
    """A kind of project; texts, paths and commands are templates over the values of :func:`name_values`.

    Args:
        offers: What its entry point offers, a kind of :mod:`seqlab.registry`.
        summary: What it is, for the help.
        files: The file of ``seqlab/templates/KIND`` that each file of the project is made of.
        commands: What to type next.
    """

    offers: str
    summary: str
    files: Mapping[str, str]
    commands: tuple[str, ...]


KINDS = {
    "cell": Kind(
        registry.CELLS,
        "a pip project with a recurrent cell, its entry point and its tests",
        {
            ".gitignore": "gitignore",
            "README.md": "README.md",
            "pyproject.toml": "pyproject.toml",
            "src/$module.py": "cell.py",
            "tests/test_$module.py": "test_cell.py",
        },
        (
            "pip install --editable $install",
            "seqlab check $name",
            "seqlab fit --recipe translation --model.cell $name",
        ),
    ),
}


def main(argv: list[str]) -> None:
    """Writes a project and says what to type next."""
    parser = Arguments(prog="seqlab new", description="Writes a project to start from, which passes its own tests.")
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True, parser_class=Arguments)
    for kind, about in KINDS.items():
        description = f"Writes {about.summary}, into a new folder NAME."
        arguments = kinds.add_parser(kind, help=about.summary, description=description)
        arguments.add_argument(
            "name", metavar="NAME", help=f"of the {kind} and its project: lower-case letters, digits, dashes"
        )
        arguments.add_argument(
            "--into", metavar="DIR", type=Path, default=Path(), help="the folder to write it into (default: this one)"
        )
    options = parser.parse_args(argv)
    write_project(options.kind, options.name, options.into)


def write_project(kind: str, name: str, into: Path) -> None:
    """Writes the project of a kind into a new folder: all of it or nothing.

    Args:
        kind: One of :data:`KINDS`.
        name: What it offers; also the name of the folder and of the distribution.
        into: The folder that gets the new one.

    Raises:
        UserError: The name cannot be one or is taken, the folder is there already, or it cannot be written.
    """
    about, values = KINDS[kind], name_values(kind, name)
    project = into / name
    if not into.is_dir():
        raise UserError(f"--into {into} is no folder")
    if os.path.lexists(project):
        raise UserError(f"{project} exists; it was left as it is")
    paths = {Template(path).substitute(values): template for path, template in about.files.items()}
    try:
        with TemporaryDirectory(dir=into, prefix=f".{name}.") as folder:
            draft = Path(folder, name)
            for path, template in paths.items():
                text = (files("seqlab") / "templates" / kind / f"{template}.template").read_text(encoding="utf-8")
                (draft / path).parent.mkdir(parents=True, exist_ok=True)
                (draft / path).write_text(Template(text).substitute(values), encoding="utf-8")
            draft.rename(project)
    except OSError as error:
        raise UserError(f"cannot write {project}: {error.strerror}") from error
    # Where there is no slash, pip takes the name of a folder for that of a package on PyPI.
    place = str(project) if os.sep in str(project) else os.path.join(os.curdir, project)
    more = {"install": shlex.quote(f"{place}[test]")}
    told = f"written: {', '.join(str(project / path) for path in paths)}"
    print(*folded(told, columns(sys.stdout), len("written: ")), sep="\n")
    print("next:", *(Template(command).substitute(values, **more) for command in about.commands), sep="\n  ")


def name_values(kind: str, name: str) -> dict[str, str]:
    """What the templates of a kind say for a name.

    Raises:
        UserError: It cannot be the name of a distribution and a module, or one of that name is installed.
    """
    module = name.replace("-", "_")
    class_name = "".join(map(str.capitalize, name.split("-")))
    reason = ""
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        likely = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        example = likely if re.match("[a-z]", likely) else f"my-{kind}"
        reason = f"is no name: lower-case letters, digits and single dashes, such as {example}"
    elif keyword.iskeyword(module) or keyword.iskeyword(class_name):
        reason = "is a word of Python"
    elif offer := registry.names(KINDS[kind].offers).get(name):
        reason = f"is taken: it is a {kind} of {registry.origin(offer)}"
    elif installed := _version(name):
        reason = f"is taken: {name} {installed} is installed, and would be replaced"
    elif (spec := find_module(module)) and spec.origin:
        reason = f"is taken: there is a module {module} ({spec.origin})"
    if reason:
        raise UserError(f"{name!r} {reason}; take another name")
    seqlab = distribution("seqlab")
    return {
        "name": name,
        "module": module,
        "Class": class_name,
        "seqlab": seqlab.version.partition("+")[0],  # a bound cannot have a local part
        "python": seqlab.metadata["Requires-Python"],
    }


def _version(name: str) -> str | None:
    """The version of a distribution that is installed."""
    try:
        return distribution(name).version
    except PackageNotFoundError:
        return None
