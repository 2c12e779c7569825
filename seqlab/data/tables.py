"""Rows of tables, jsonl and parquet, as they are read: dicts, each with the place that a message about it names."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from seqlab.data.lines import control_character, lines_of
from seqlab.errors import UserError

Rows = Iterator[tuple[str, dict[str, Any]]]


def json_rows(path: Path) -> Rows:
    """The objects of a file that has one on each line; blank lines are passed over.

    Raises:
        UserError: A line is no JSON object or not UTF-8, or the file cannot be read.
    """
    for number, line in enumerate(lines_of(path), 1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        try:
            value = json.loads(line)
        except RecursionError as error:
            raise UserError(f"{place}: not JSON (brackets within brackets without end)") from error
        except ValueError as error:
            raise UserError(f"{place}: not JSON ({error})") from error
        if not isinstance(value, dict):
            raise UserError(f"{place}: not a JSON object but {_kind(value)}")
        yield place, value


def parquet_rows(path: Path, choose: Callable[[Sequence[str], str], list[str]]) -> Rows:
    """The rows of a parquet file, some of it in memory at a time.

    Args:
        path: The file.
        choose: Given the names of all columns and the file's, chooses the columns that are read.

    Raises:
        UserError: The file cannot be read.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            columns = choose(file.schema_arrow.names, str(path))
            yield from numbered(file.iter_batches(batch_size=10_000, columns=columns), str(path))
    except (OSError, pyarrow.ArrowException) as error:
        raise UserError(f"{path}: not a readable parquet file ({str(error).splitlines()[0]})") from error


def numbered(batches: Iterable[Any], table: str) -> Rows:
    """The rows of Arrow batches of a table."""
    rows = chain.from_iterable(batch.to_pylist() for batch in batches)
    return ((f"{table}, row {number}", row) for number, row in enumerate(rows, 1))


def missing(what: str, key: str, there: Iterable[str], place: str, setting: str) -> UserError:
    """What to raise where a table lacks a key or column.

    Args:
        what: ``key`` or ``column``.
        key: Its name.
        there: The names that there are.
        place: Where it is looked for.
        setting: The setting that names another.
    """
    return UserError(
        f"{place}: no {what} {key!r} (its {what}s: {', '.join(there) or 'none'}); name another with {setting}"
    )


def checked_text(value: Any, key: str, place: str) -> str:
    """A value, if it is text.

    Raises:
        UserError: It is not, or holds a control character or half of a surrogate pair.
    """
    if not isinstance(value, str):
        raise UserError(f"{place}: {key!r} is not text but {_kind(value)}")
    try:
        wrong = control_character(value.encode())
    except UnicodeEncodeError as error:
        raise UserError(f"{place}: {key!r} holds half of a surrogate pair, which is no character") from error
    if wrong:
        raise UserError(f"{place}: {key!r}: {wrong}; take it out")
    return value


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "an array", str: "a string", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")
