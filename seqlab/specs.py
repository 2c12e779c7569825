"""What recipes and flags are written in: YAML files, and a cell's name with its options."""

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from seqlab.errors import UserError
from seqlab.strict_yaml import MOST_BYTES, parse_yaml

LONGEST = 30
"""Digits of a number in a message."""
LAST = "# end"
FIRST = f"# Every setting of a run; the last line is: {LAST}"
"""Lines around the settings of a run, by which a file that was cut is known: what is left of it may well be YAML."""


def split_cells(text: str) -> list[str]:
    """The cells of a list with commas: one before ``OPTION=`` or within brackets goes on with the cell before it."""
    cells: list[str] = []
    for part in re.split(r",(?![^\[{]*[\]}])", text):
        if cells and re.match(r"\s*[\w-]+=", part):
            cells[-1] += f",{part.strip()}"
        elif part.strip():
            cells.append(part.strip())
    return cells


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
    except (yaml.YAMLError, ValueError) as error:  # ValueError: such as a date in month 13
        raise UserError(f"cell {spec!r}: {text!r} is no value") from error


def read_yaml(path: Path) -> dict[str, Any]:
    """The settings in a YAML file.

    Raises:
        UserError: It cannot be read, is not YAML, holds no settings, or is cut short.
    """
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"cannot read {path}: it is no file")
        if (size := path.stat().st_size) > MOST_BYTES:
            raise UserError(f"{path} holds no settings: it has {size:,} bytes, settings at most {MOST_BYTES:,}")
        text = path.read_text(encoding="utf-8")
        values = parse_yaml(text, str(path))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        wrong = f"byte {error.start + 1} is 0x{error.object[error.start]:02x}"
        raise UserError(f"{path} is not YAML: it is binary, or not in UTF-8 ({wrong})") from error
    if not isinstance(values, dict):
        raise UserError(f"{path} holds no settings")
    _check_whole(text, path)
    return values


def whole(text: str) -> str:
    """The settings of a run as they are written to a file, so that :func:`read_yaml` knows whether all are there."""
    return f"{FIRST}\n{text.rstrip()}\n{LAST}\n"


def _check_whole(text: str, path: Path) -> None:
    """Makes sure that a file that says how it ends does so; one may be edited, and need not say so.

    Raises:
        UserError: It does not.
    """
    lines = [line.rstrip() for line in text.splitlines()]
    if FIRST in lines and LAST not in lines:
        raise UserError(
            f"{path} is cut short: it lacks the last line, {LAST!r}; take it from a copy, or remove its first line if "
            "nothing else is missing"
        )


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


def check_range(name: str, value: float, least: float, most: float) -> None:
    """Makes sure that a number is in its range, as NaN never is.

    Args:
        name: What it is called.
        value: The number.
        least: The least that it may be.
        most: The most.

    Raises:
        UserError: It is not.
    """
    if not least <= value <= most:
        text = str(value) if len(str(value)) <= LONGEST else f"{str(value)[:LONGEST]}..."
        raise UserError(f"{name} must be between {least:,} and {most:,}, not {text}")


def flat(values: Any, prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted name."""
    if not isinstance(values, dict):
        return {prefix: values}
    return {name: value for key in values for name, value in flat(values[key], f"{prefix}.{key}".strip(".")).items()}
