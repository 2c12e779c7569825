"""Parallel corpora: where pairs of sentences come from.

Whatever they come from is read row by row: one sentence and its translation, or a list of reference translations.
"""

import re
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice, zip_longest
from os.path import exists, isfile
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow
from datasets import Dataset

from seqlab.data.arrow import BATCH, arrow_dataset
from seqlab.data.hub import HUB, hub_splits, hub_table
from seqlab.data.lines import file_kind, lines_of
from seqlab.data.tables import Rows, checked_text, json_rows, missing, numbered, parquet_rows
from seqlab.errors import UserError

BUILT_IN = ("phrasebook",)
LOCAL = "a path prefix, two files with a comma between them, a .tsv, .jsonl or .parquet file, or phrasebook"
TABLES = (".tsv", ".jsonl", ".parquet")
NESTED = "translation"
"""Where rows of the Hub's data sets have their languages."""

ROWS = 10_000
"""Rows of an Arrow table that is written at once."""

Pair = tuple[str, str | list[str]]
"""A sentence, and its translation or the list of its reference translations."""


class Languages(NamedTuple):
    """Source and target language, and the keys of their text in rows that have keys, where those are others."""

    source: str
    target: str
    source_key: str | None = None
    target_key: str | None = None

    @property
    def keys(self) -> dict[str, str]:
        """The key of each side."""
        return {"source": self.source_key or self.source, "target": self.target_key or self.target}


def parallel_corpus(name: str, split: str, languages: Languages) -> Dataset:
    """Reads pairs of sentences. Large files are mapped into memory (see :func:`seqlab.data.arrow.arrow_dataset`).

    Args:
        name: One of

            * ``phrasebook``, the built-in corpus;
            * a path prefix P of two files ``P.<source>`` and ``P.<target>``, one sentence a line;
            * such files with commas between them, source first; those after the second are further references;
            * a ``.tsv`` file with the columns source and target, and maybe further references, but no header;
            * a ``.jsonl`` or ``.parquet`` file whose rows have text under each language, at their top or under
              ``translation``; that of the target may be a list of references;
            * ``hub:NAME`` or ``hub:NAME:CONFIG``: a data set of the Hugging Face Hub, or a folder laid out like one,
              with such rows.

            Text is UTF-8. Of all but parquet, ``.gz`` is read too.
        split: ``train``, ``val`` or ``test``, of a corpus that has splits of its own.
        languages: Its languages.

    Returns:
        A dataset with the columns ``source`` and ``target``; and with ``references``, a list of text whose first is the
        target, where the corpus has lists or columns of references.

    Raises:
        UserError: A file is missing, damaged, empty or not UTF-8, its sides differ in length, a row lacks a side, or
            the Hub cannot be reached.
    """
    if name == "phrasebook":
        from seqlab.data.phrasebook import phrasebook  # the first use of the CLDR tables takes a second

        sources, targets = zip(*phrasebook((languages.source, languages.target), split), strict=True)
        return Dataset.from_dict({"source": list(sources), "target": list(targets)})
    if name.startswith(HUB):
        table, place = hub_table(name, split, LOCAL)
        rows = table.select_columns(_columns(languages, table.column_names, place)).with_format("arrow")
        files = [Path(file["filename"]) for file in table.cache_files]
        return arrow_dataset(
            lambda: _tables(_keyed_pairs(numbered(rows.iter(batch_size=BATCH), place), languages), f"{place} is"),
            files,
            (name, split, languages.keys),
        )
    files = _files(name, languages)
    what = " and ".join(map(str, files)) + (" is" if len(files) == 1 else " are")
    return arrow_dataset(lambda: _tables(_file_pairs(files, languages), what), files, languages.keys)


def look_up(names: Iterable[str], languages: Languages) -> None:
    """Makes sure that corpora are there, and reads no file of theirs; those of the Hub are loaded, after the others.

    Args:
        names: What :func:`parallel_corpus` reads.
        languages: Their languages.

    Raises:
        UserError: A file is missing, or the Hub cannot be reached.
    """
    for name in sorted(names, key=lambda name: name.startswith(HUB)):
        if name.startswith(HUB):
            hub_splits(name, LOCAL)
        elif name not in BUILT_IN:
            _files(name, languages)


def own_splits(name: str) -> tuple[str, ...]:
    """The splits that a corpus has of its own; none for files.

    Raises:
        UserError: The Hub cannot be reached.
    """
    if name in BUILT_IN:
        return ("train", "val", "test")
    return hub_splits(name, LOCAL) if name.startswith(HUB) else ()


def _tables(pairs: Iterator[Pair], what: str) -> Iterator[pyarrow.Table]:
    """Pairs as Arrow tables; the first one says whether there are lists of references."""
    text, empty, blank = pyarrow.string(), True, True
    while chunk := list(islice(pairs, ROWS)):
        sources, targets = zip(*chunk, strict=True)
        if empty and len(sources) == 1 and sources[0].count("\r") > 1:
            raise UserError(
                f"{what} one line, with carriage returns in it: where these end lines, as on old Macintoshes, convert "
                "them with tr '\\r' '\\n'"
            )
        empty, blank = False, blank and not any(map(str.strip, sources))
        columns = {"source": pyarrow.array(sources, text)}
        if isinstance(targets[0], list):
            columns["target"] = pyarrow.array([references[0] for references in targets], text)
            columns["references"] = pyarrow.array(targets, pyarrow.list_(text))
        else:
            columns["target"] = pyarrow.array(targets, text)
        yield pyarrow.table(columns)
    if empty or blank:
        raise UserError(f"{what} {'empty' if empty else 'of blank lines alone'}")


# --------------------------------------------------------------------------------------------------------------- names


def _files(name: str, languages: Languages) -> list[Path]:
    """The files behind a name: one table, or the sides."""
    named = [part.strip() for part in name.split(",")] if "," in name and not exists(name) else [name]
    if len(named) == 1 and file_kind(name) in TABLES:
        return [_existing(name)]
    if len(named) == 1:
        hint = f" ({name!r} is taken as a path prefix; a corpus is {LOCAL}, or {HUB}NAME on the Hugging Face Hub)"
        if isfile(name):
            hint = f" ({name!r} alone is one side: give both files with a comma between them, {name},OTHER)"
        return [_existing(f"{name}.{language}", hint) for language in languages[:2]]
    for part in named:
        if file_kind(part) in TABLES:
            raise UserError(f"{part} holds both sides and stands alone; several corpora are a list, [A, B]")
    if not all(named):
        raise UserError(f"a parallel corpus of files has two or more with commas between them, not {name!r}")
    return [_existing(part) for part in named]


def _existing(name: str, hint: str = "") -> Path:
    """A file that is there, maybe compressed."""
    for path in (name, f"{name}.gz"):
        if isfile(path):  # which is false for a name that no file can have, where pathlib raises
            return Path(path)
    raise UserError(f"no file {name}{hint}")


# ---------------------------------------------------------------------------------------------------------------- rows


def _file_pairs(files: list[Path], languages: Languages) -> Iterator[Pair]:
    if len(files) > 1:
        return _line_pairs(files)
    (path,) = files
    if file_kind(path) == ".tsv":
        return _tsv_pairs(path)
    if file_kind(path) == ".jsonl":
        return _keyed_pairs(json_rows(path), languages)
    return _keyed_pairs(parquet_rows(path, partial(_columns, languages)), languages)


def _line_pairs(files: list[Path]) -> Iterator[Pair]:
    """Lines of several files that match."""
    for source, *targets in zip_longest(*map(lines_of, files)):
        if source is None or None in targets:
            counts = [sum(1 for _ in lines_of(file)) for file in files]
            other = next(number for number, count in enumerate(counts) if count != counts[0])
            raise UserError(
                f"{files[0]} has {counts[0]:,} lines but {files[other]} has {counts[other]:,}: "
                "they must match line for line"
            )
        yield source, targets if len(targets) > 1 else targets[0]


def _tsv_pairs(path: Path) -> Iterator[Pair]:
    """Lines of tab-separated columns."""
    width = 0
    for number, line in enumerate(lines_of(path), 1):
        source, *targets = line.split("\t")
        if not targets:
            raise UserError(f"{path}, line {number}: no tab, which separates source and target")
        width = width or len(targets)
        if len(targets) != width:
            raise UserError(
                f"{path}, line {number}: {len(targets) + 1} columns, but line 1 has {width + 1} (a tab is never text; "
                "columns after the second are further references)"
            )
        yield source, targets if width > 1 else targets[0]


def _keyed_pairs(rows: Rows, languages: Languages) -> Iterator[Pair]:
    """The two languages of rows that have them under keys."""
    keys, first = languages.keys, ""
    lists = False
    for place, row in rows:
        found = {side: _value(row, key, place, f"data.{side}_key") for side, key in keys.items()}
        source, target = checked_text(found["source"], keys["source"], place), found["target"]
        if not first:
            first, lists = place, isinstance(target, list)
        if isinstance(target, list) != lists:
            raise UserError(
                f"{place}: {keys['target']!r} is {'not ' if lists else ''}an array, unlike that of {first}: "
                "references are an array in all rows or in none"
            )
        if not lists:
            yield _one_line(source), _one_line(checked_text(target, keys["target"], place))
        elif not target:
            raise UserError(f"{place}: {keys['target']!r} is an empty array: at least one reference is needed")
        else:
            yield (
                _one_line(source),
                [_one_line(checked_text(reference, keys["target"], place)) for reference in target],
            )


def _one_line(text: str) -> str:
    """A sentence is one line: line ends within it become spaces."""
    return re.sub(r"[\r\n]+", " ", text)


def _value(row: dict[str, Any], key: str, place: str, setting: str) -> Any:
    """What a row has under a key, or under ``translation`` and the key."""
    if key in row:
        return row[key]
    nested = row.get(NESTED)
    if isinstance(nested, dict) and key in nested:
        return nested[key]
    there = [*row, *(f"{NESTED}.{name}" for name in nested)] if isinstance(nested, dict) else row
    raise missing("key", key, map(repr, there), place, setting)


def _columns(languages: Languages, columns: list[str], place: str) -> list[str]:
    """The columns of a table that its pairs are in; others may be large."""
    for side, key in languages.keys.items():
        if key not in columns and NESTED not in columns:
            raise missing("column", key, columns, place, f"data.{side}_key")
    return [column for column in columns if column in {*languages.keys.values(), NESTED}]
