"""Text corpora: where running text comes from, and what a document of it is.

Documents one after the other, with a line feed between them, are the text whatever the unit: a unit only says where
documents begin. Lines end at a line feed; a carriage return before it is dropped.
"""

import glob
import json
import logging
import textwrap
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

from datasets import Dataset

from seqlab.data.corpora import read_lines
from seqlab.errors import UserError

Unit = Literal["line", "paragraph", "file"]
"""A document is a line; or the lines up to a blank one, which belongs to it; or a whole file, of which a row of a table
(jsonl, parquet, the Hub) and a topic of pydocs count as one."""

log = logging.getLogger("seqlab")

BUILT_IN = ("pydocs",)
HUB = "hub:"
HUB_SPLITS = {"train": ("train",), "val": ("validation", "valid", "val", "dev"), "test": ("test",)}

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


class Texts:
    """The documents of a corpus, read in batches: one by one a dataset gives them out many times slower."""

    def __init__(self, corpus: Dataset):
        self._corpus = corpus.with_format("arrow")

    def __len__(self) -> int:
        return len(self._corpus)

    def __iter__(self) -> Iterator[str]:
        for batch in self._corpus.iter(batch_size=1000):
            yield from batch["text"].to_pylist()


def own_splits(name: str | list[str]) -> tuple[str, ...]:
    """The splits that a corpus has of its own; none for files.

    Raises:
        UserError: The Hub cannot be reached.
    """
    if name in BUILT_IN:
        return ("train", "val", "test")
    if isinstance(name, str) and name.startswith(HUB):
        return tuple(split for split, names in HUB_SPLITS.items() if set(names) & set(_load_hub(name)))
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
    if path.suffix.lower() == ".jsonl":
        for number, line in enumerate(read_lines(path), 1):
            if line.strip():
                yield _lines(_json_text(line, key, f"{path}, line {number}"))
    elif path.suffix.lower() == ".parquet":
        yield from map(_lines, _parquet_texts(path, key))
    else:
        yield read_lines(path)


def _lines(text: str) -> list[str]:
    """The lines of a text, whose last may have a line feed or not."""
    return [line.rstrip("\r") for line in text.removesuffix("\n").split("\n")]


def _json_text(line: str, key: str, place: str) -> str:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise UserError(f"{place}: not JSON ({error})") from error
    if not isinstance(value, dict):
        raise UserError(f"{place}: not a JSON object but {_kind(value)}")
    if key not in value:
        keys = ", ".join(map(repr, value)) or "none"
        raise UserError(f"{place}: no key {key!r} (its keys: {keys}); name another with data.key")
    text = value[key]
    if not isinstance(text, str):
        raise UserError(f"{place}: {key!r} is not text but {_kind(text)}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError(f"{place}: {key!r} holds half of a surrogate pair, which is no character") from error
    return text


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "an array", str: "a string", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


def _parquet_texts(path: Path, key: str) -> list[str]:
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
        columns = file.schema_arrow.names
        texts = file.read(columns=[key])[key].to_pylist() if key in columns else []
    except (OSError, pyarrow.ArrowException) as error:
        raise UserError(f"{path}: not a readable parquet file ({str(error).splitlines()[0]})") from error
    return _checked(texts, columns, key, str(path))


def _checked(texts: Iterable[Any], columns: Iterable[str], key: str, place: str) -> list[str]:
    """The column of a table, if it is there and is text.

    Raises:
        UserError: It is not.
    """
    if key not in columns:
        raise UserError(f"{place}: no column {key!r} (its columns: {', '.join(columns)}); name another with data.key")
    checked = list(texts)
    for number, text in enumerate(checked, 1):
        if not isinstance(text, str):
            raise UserError(f"{place}, row {number}: {key!r} is not text but {_kind(text)}")
    return checked


# ------------------------------------------------------------------------------------------------------------- the Hub


def _hub_texts(name: str, split: str, key: str) -> Iterator[list[str]]:
    """The lines of each row of a split of a data set."""
    found = _load_hub(name)
    names = [each for each in HUB_SPLITS[split] if each in found]
    if not names:
        raise UserError(f"{name} has no split {' or '.join(HUB_SPLITS[split])} (it has: {', '.join(found)})")
    table = found[names[0]]
    texts = table[key] if key in table.column_names else []
    return map(_lines, _checked(texts, table.column_names, key, f"{name}, {names[0]}"))


@lru_cache
def _load_hub(name: str) -> Any:
    """A data set of the Hub, or of its cache on this machine, by split. Code that comes with one is never run."""
    import datasets
    from huggingface_hub.utils import logging as hub_logging

    path, _, config = name.removeprefix(HUB).partition(":")
    if not path:
        raise UserError(f"{name!r} names nothing on the Hugging Face Hub: give {HUB}NAME or {HUB}NAME:CONFIG")
    log.info("data: loading %s from the Hugging Face Hub", name)
    level = hub_logging.get_verbosity()
    hub_logging.set_verbosity_error()  # without a network, it would log each of its attempts
    try:
        return datasets.load_dataset(path, config or None)
    except Exception as error:  # of any class, as whatever goes wrong in a network
        reason = textwrap.shorten(str(error) or type(error).__name__, 300).rstrip(".")
        raise UserError(f"cannot load {name} from the Hugging Face Hub: {reason}; without it, give {LOCAL}") from error
    finally:
        hub_logging.set_verbosity(level)
