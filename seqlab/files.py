"""Files that are whole at any moment."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path, *, suffix: str = "writing") -> Iterator[BinaryIO]:
    """A file to write, which takes a place when it is done: whoever reads there finds the old one or the new, whole.

    It is written beside its place, synced and renamed; after an exception nothing of it is left.

    Args:
        path: The place.
        suffix: Ends the name it has until then. One of its own for each process, where several write to one place.
    """
    temporary = path.with_name(f".{path.name}.{suffix}")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Puts a text in its place, whole."""
    with replacing(path) as file:
        file.write(text.encode("utf-8"))
