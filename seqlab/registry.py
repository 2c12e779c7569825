"""Names of cells and recipes, read from entry points; nothing is imported until a name is asked for.

A package offers a cell or a recipe by an entry point of the group ``seqlab.cells`` or ``seqlab.recipes``;
the built-in ones use the same door. A cell's entry point names its class. A recipe's names a package that
holds ``NAME.yaml``.
"""

import ast
import difflib
import importlib.util
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import yaml

from seqlab.errors import UserError

CELLS, RECIPES = "cells", "recipes"


def names(kind: str) -> dict[str, EntryPoint]:
    """The entry points of group ``seqlab.<kind>`` by name, sorted.

    Raises:
        UserError: Two distributions offer the same name.
    """
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=f"seqlab.{kind}"):
        other = found.setdefault(point.name, point)
        if origin(other) != origin(point) or other.value != point.value:
            raise UserError(
                f"{kind[:-1]} {point.name!r} is offered by both {origin(other)} and {origin(point)}; "
                "uninstall one of them"
            )
    return dict(sorted(found.items()))


def find(kind: str, name: str) -> EntryPoint:
    """The entry point of a name.

    Raises:
        UserError: Nobody offers the name; the nearest one is suggested.
    """
    known = names(kind)
    if name not in known:
        raise UserError(f"no {kind[:-1]} named {name!r}{nearest(name, known)} (installed: {', '.join(known)})")
    return known[name]


def load(kind: str, name: str) -> Any:
    """Imports what a name stands for.

    Raises:
        UserError: The name is unknown, or its distribution cannot be imported; the message names the distribution.
    """
    point = find(kind, name)
    try:
        return point.load()
    except Exception as error:
        raise UserError(f"{kind[:-1]} {name!r} of {origin(point)} could not be imported: {error}") from error


def nearest(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` where a known name is close, else an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def origin(point: EntryPoint) -> str:
    """The distribution and version behind an entry point, such as ``seqlab 0.1.0``."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value


def parse_cell(spec: str | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Splits a cell's specification into its name and options.

    Args:
        spec: ``gru``, ``rrnn:feedback=updated,activation=relu`` or ``{"name": "rrnn", "feedback": "updated"}``.

    Raises:
        UserError: The specification has no name, or an option without a value.
    """
    if not isinstance(spec, str):
        options = dict(spec)
        if not isinstance(options.get("name"), str):
            raise UserError(f"cell {dict(spec)} has no name; write {{name: lstm, option: value}}")
        return options.pop("name"), options
    name, _, text = spec.partition(":")
    if not name.strip():
        raise UserError(f"cell {spec!r} has no name; write NAME or NAME:OPTION=VALUE")
    options = {}
    for item in filter(None, re.split(r",(?![^\[{]*[\]}])", text)):  # a comma within brackets belongs to a value
        key, equals, value = item.partition("=")
        if not equals:
            raise UserError(f"cell {spec!r}: {item!r} is not OPTION=VALUE")
        options[key.strip()] = _value(value, spec)
    return name.strip(), options


def _value(text: str, spec: str) -> Any:
    """An option's value: a number however it is written, else what YAML makes of it."""
    for number in (int, float):
        with suppress(ValueError):
            return number(text)
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"cell {spec!r}: {text!r} is no value") from error


def recipe_path(name: str) -> Path:
    """The YAML file of a recipe.

    Args:
        name: A path that ends in ``.yaml`` or ``.yml``, or the name of an installed recipe.

    Raises:
        UserError: There is no such file or recipe, or its distribution lacks the file.
    """
    if name.endswith((".yaml", ".yml")):
        if not Path(name).is_file():
            raise UserError(f"no recipe file {name}")
        return Path(name)
    point = find(RECIPES, name)
    folder = _source(point.value)
    path = folder.parent / f"{name}.yaml" if folder else None
    if path is None or not path.is_file():
        raise UserError(f"recipe {name!r} of {origin(point)} is broken: package {point.value} holds no {name}.yaml")
    return path


def read_yaml(path: Path) -> dict[str, Any]:
    """The settings in a YAML file.

    Raises:
        UserError: It cannot be read, is not YAML, or holds no settings.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise UserError(f"{path} holds no settings")
    return values


def read_recipe(path: Path) -> dict[str, Any]:
    """The values of a recipe, checked for what every recipe has.

    Raises:
        UserError: It is not YAML, not a mapping, or names no task or data module.
    """
    values = read_yaml(path)
    for key in ("task", "data_module"):
        if not isinstance(values.get(key), str):
            raise UserError(f"{path} is not a recipe: it names no class as {key!r}")
    return values


def describe(kind: str, point: EntryPoint) -> str:
    """One line about a cell or recipe, read from its source without importing it.

    A cell's is the first line of its class docstring, a recipe's the first comment of its file.
    """
    if kind == RECIPES:
        try:
            first = recipe_path(point.name).read_text(encoding="utf-8").partition("\n")[0]
        except UserError as error:
            return str(error)
        return first.removeprefix("#").strip() if first.startswith("#") else ""
    try:
        path = _source(point.module)
        if path is None:
            return f"(broken: module {point.module} is missing)"
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except Exception as error:  # whatever a plugin's package raises or its file holds: one must not end the list
        return f"(broken: {' '.join(str(error).split()) or type(error).__name__})"
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == point.attr:
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""


def plugin_packages() -> set[str]:
    """Top-level packages of every distribution that registered a cell or a recipe."""
    return {point.module.partition(".")[0] for kind in (CELLS, RECIPES) for point in names(kind).values()}


def _source(module: str) -> Path | None:
    """The file a module would be loaded from; only its parent packages are imported."""
    try:
        spec = importlib.util.find_spec(module)
    except ImportError:
        return None
    return Path(spec.origin) if spec and spec.origin else None
