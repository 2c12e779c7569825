"""Text in Arrow tables: a small corpus in memory, a large one in a file that is mapped into memory."""

import hashlib
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow
from datasets import Dataset
from tqdm import tqdm

from seqlab.data.cache import CACHED_FROM, cache_folder, making
from seqlab.files import replacing

log = logging.getLogger("seqlab")

FORMAT = "seqlab text 1"
"""To be changed with what files of text hold."""

END = b"\xff\xff\xff\xff\0\0\0\0"
"""The last bytes of every whole Arrow stream."""

BATCH = 1000
"""Rows that are taken out of a table at once."""


class Texts:
    """A column of a corpus, read in batches: one by one a dataset gives its rows out many times slower.

    Args:
        corpus: The corpus, which may be larger than memory.
        column: The column.
    """

    def __init__(self, corpus: Dataset, column: str = "text"):
        self._corpus, self._column = corpus.select_columns([column]).with_format("arrow"), column

    def __len__(self) -> int:
        return len(self._corpus)

    def __iter__(self) -> Iterator[Any]:
        for batch in self._corpus.iter(batch_size=BATCH):
            yield from batch[self._column].to_pylist()


def arrow_dataset(tables: Callable[[], Iterable[pyarrow.Table]], files: Sequence[Path], *settings: object) -> Dataset:
    """A dataset of tables that are read from files.

    Large ones are written to a file in the cache while they are read, so that they never are in memory as a whole, and
    are taken from there the next time: until a file's path, size or time of change is another one. Where the cache
    cannot be written they stay in memory.

    Args:
        tables: Reads at least one table; they are of the same columns.
        files: The files that they are read from.
        settings: What else they depend on; its ``repr`` says what it is.
    """
    if sum(file.stat().st_size for file in files) < CACHED_FROM or (folder := cache_folder("text")) is None:
        return Dataset(pyarrow.concat_tables(tables()))
    states = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    cached = folder / f"{hashlib.sha256(repr((FORMAT, settings, states)).encode()).hexdigest()}.arrow"
    if (found := _open(cached)) is not None:
        return found
    with making(cached, f"the text of {files[0].name}"):
        if (found := _open(cached)) is not None:  # made by another process meanwhile
            return found
        label = f"reading {files[0].name}"
        try:
            with tqdm(desc=label, unit=" rows", unit_scale=True, leave=False, disable=not sys.stderr.isatty()) as bar:
                _write(cached, tables(), bar)
        except OSError as error:
            log.info("data: text kept in memory, since the cache cannot be written: %s", error)
    return _open(cached) or Dataset(pyarrow.concat_tables(tables()))


def _open(file: Path) -> Dataset | None:
    """The dataset in a file; None if there is none, or a damaged one."""
    try:
        with file.open("rb") as stream:
            stream.seek(-len(END), 2)
            whole = stream.read() == END
        return Dataset.from_file(str(file)) if whole else None
    except (OSError, pyarrow.ArrowException):
        return None


def _write(file: Path, tables: Iterable[pyarrow.Table], bar: tqdm) -> None:
    """Puts tables in their place, where other processes may be about to put the same."""
    with replacing(file, suffix=uuid4().hex) as stream:
        writer = None
        for table in tables:
            writer = writer or pyarrow.ipc.new_stream(stream, table.schema)
            writer.write_table(table)
            bar.update(len(table))
        assert writer is not None
        writer.close()
