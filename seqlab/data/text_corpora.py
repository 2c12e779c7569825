"""Text corpora: where running text comes from, and what a document of it is.

Documents one after the other, with a line feed between them, are the text whatever the unit: a unit only says where
documents begin. Lines end at a line feed; a carriage return before it is dropped.
"""

import glob
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, get_args

from datasets import Dataset

from seqlab.data.arrow import BATCH, Texts
from seqlab.data.hub import HUB, hub_splits, hub_table
from seqlab.data.lines import file_kind, read_lines
from seqlab.data.tables import Rows, checked_text, json_rows, missing, numbered, parquet_rows
from seqlab.errors import UserError

__all__ = ["Texts", "Unit", "look_up", "own_splits", "text_corpus"]

Unit = Literal["line", "paragraph", "file"]
"""A document is a line; or the lines up to a blank one, which belongs to it; or a whole file, of which a row of a table
(jsonl, parquet, the Hub) and a topic of pydocs count as one."""

log = logging.getLogger("seqlab")

BUILT_IN = ("pydocs",)
LOCAL = "a text, .jsonl or .parquet file, a pattern such as 'texts/*.txt', or pydocs"


def text_corpus(name: str | list[str], split: str, unit: Unit = "line", key: str = "text") -> Dataset:
    """Reads text.

    Args:
        name: ``pydocs``; a file (text, ``.jsonl`` or ``.parquet``), UTF-8; several, as a list, with commas between them
            or as a pattern such as ``texts/**/*.txt``; or ``hub:NAME`` or ``hub:NAME:CONFIG``, a data set of the
            Hugging Face Hub.
        split: ``train``, ``val`` or ``test``, of a corpus that has splits of its own.
        unit: What a document is.
        key: The key or column that holds the text, of jsonl, parquet and the Hub.

    Returns:
        A dataset with the column ``text``, one row a document; its lines have line feeds between them.

    Raises:
        UserError: A file is missing, damaged, empty or not UTF-8, lacks the key, or the Hub cannot be reached.
    """
    if unit not in get_args(Unit):
        raise UserError(f"data.document: {unit!r} is none of {', '.join(get_args(Unit))}")
    if name == "pydocs":
        from seqlab.data.pydocs import pydocs

        texts: Iterable[list[str]] = (topic.split("\n") for topic in pydocs(split))
    elif isinstance(name, str) and name.startswith(HUB):
        texts = _hub_texts(name, split, key)
    else:
        texts = _file_texts(name, key)
    documents = [document for lines in texts for document in _documents(lines, unit)]
    if not any(map(str.strip, documents)):
        raise UserError(f"{name if isinstance(name, str) else ', '.join(name)} is empty")
    return Dataset.from_dict({"text": documents})


def look_up(names: Sequence[str | list[str]]) -> None:
    """Makes sure that texts are there, and reads no file of theirs; those of the Hub are loaded, after the others.

    Args:
        names: What :func:`text_corpus` reads.

    Raises:
        UserError: A file is missing, or the Hub cannot be reached.
    """
    of_hub = [name for name in names if isinstance(name, str) and name.startswith(HUB)]
    for name in names:
        if name not in (*BUILT_IN, *of_hub):
            _paths(name)
    for name in of_hub:
        hub_splits(name, LOCAL)


def own_splits(name: str | list[str]) -> tuple[str, ...]:
    """The splits that a corpus has of its own; none for files.

    Raises:
        UserError: The Hub cannot be reached.
    """
    if name in BUILT_IN:
        return ("train", "val", "test")
    if isinstance(name, str) and name.startswith(HUB):
        return hub_splits(name, LOCAL)
    return ()


def _documents(lines: list[str], unit: Unit) -> Iterator[str]:
    """The documents of a text."""
    if unit == "line":
        yield from lines
        return
    document: list[str] = []
    for line in lines:
        if (
            unit == "paragraph"
            and line.strip()
            and document
            and not document[-1].strip()
            and any(map(str.strip, document))
        ):
            yield "\n".join(document)
            document = []
        document.append(line)
    yield "\n".join(document)


# ---------------------------------------------------------------------------------------------------------------- files


def _file_texts(name: str | list[str], key: str) -> Iterator[list[str]]:
    """The lines of each text of one or several files. Of several, empty ones are passed over."""
    empty = []
    for path in (paths := _paths(name)):
        texts = list(_texts_of(path, key))
        if any(line.strip() for lines in texts for line in lines):
            yield from texts
        else:
            empty.append(path)
    if len(empty) == len(paths):
        raise UserError(f"{paths[0]} is empty" if len(paths) == 1 else f"all {len(paths)} files of {name} are empty")
    if empty:
        log.warning("data: passed over %s empty files, such as %s", f"{len(empty):,}", empty[0])


def _paths(name: str | list[str]) -> list[Path]:
    """The files behind a name."""
    if isinstance(name, list):
        parts = name
    else:
        parts = [name] if "," not in name or Path(name).exists() else [part.strip() for part in name.split(",")]
    paths = []
    for part in parts:
        if glob.has_magic(part) and not Path(part).exists():
            matches = sorted(Path(match) for match in glob.glob(part, recursive=True) if Path(match).is_file())
            if not matches:
                raise UserError(f"no file matches {part}")
            paths += matches
        elif Path(part).is_dir():
            raise UserError(f"{part} is a folder: name its files with a pattern such as '{part.rstrip('/')}/*.txt'")
        elif not Path(part).is_file():
            raise UserError(f"no file {part} (text is {LOCAL}, or {HUB}NAME on the Hugging Face Hub)")
        else:
            paths.append(Path(part))
    if not paths:
        raise UserError(f"no corpus is named: give {LOCAL}")
    return paths


def _texts_of(path: Path, key: str) -> Iterator[list[str]]:
    """The lines of each text of a file."""
    if file_kind(path) == ".jsonl":
        yield from _row_texts(json_rows(path), key)
    elif file_kind(path) == ".parquet":
        yield from _row_texts(parquet_rows(path, lambda columns, place: [_column(columns, key, place)]), key)
    else:
        yield read_lines(path)


def _hub_texts(name: str, split: str, key: str) -> Iterator[list[str]]:
    """The lines of each row of a split of a data set."""
    table, place = hub_table(name, split, LOCAL)
    column = table.select_columns([_column(table.column_names, key, place)]).with_format("arrow")
    return _row_texts(numbered(column.iter(batch_size=BATCH), place), key)


def _column(columns: Sequence[str], key: str, place: str) -> str:
    if key not in columns:
        raise missing("column", key, columns, place, "data.key")
    return key


def _row_texts(rows: Rows, key: str) -> Iterator[list[str]]:
    """The lines of each row's text, whose last may have a line feed or not."""
    for place, row in rows:
        if key not in row:
            raise missing("key", key, map(repr, row), place, "data.key")
        text = checked_text(row[key], key, place)
        yield [line.rstrip("\r") for line in text.removesuffix("\n").split("\n")]
