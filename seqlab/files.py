"""Files that are whole at any moment."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

UNFINISHED = "writing"


def nearest_existing(path: Path) -> Path:
    """A path, or the nearest above it that exists."""
    return next(each for each in (path, *path.absolute().parents) if os.path.exists(each))


def refusal(folder: Path, mode: int = os.W_OK | os.X_OK) -> str | None:
    """Why nothing can be written into a folder, as the system says it; None if nothing is known against it.

    Args:
        folder: The folder, which may be yet to be made.
        mode: What must be permitted, as of :func:`os.access`.
    """
    nearest = nearest_existing(folder)
    if not nearest.is_dir():
        return os.strerror(errno.ENOTDIR)
    if os.access(nearest, mode):
        return None
    read_only = hasattr(os, "statvfs") and os.statvfs(nearest).f_flag & os.ST_RDONLY
    return os.strerror(errno.EROFS if read_only else errno.EACCES)


@contextmanager
def replacing(path: Path, *, suffix: str = UNFINISHED, keep: Path | None = None) -> Iterator[BinaryIO]:
    """A file to write, which takes a place when it is done: whoever reads there finds the old one or the new, whole.

    It is written beside its place, synced and renamed; after an exception nothing of it is left.

    Args:
        path: The place.
        suffix: Ends the name it has until then. One of its own for each process, where several write to one place.
        keep: Where the old file goes, in place of what is there; it leaves its own place no earlier than the new one
            takes it.

    Raises:
        OSError: It cannot be written; the error names the place.
    """
    temporary = _unfinished(path, suffix)
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if keep is not None and path.is_file():
            put_copy(path, keep)
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        if error.filename is None:  # as of a full disk
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def put_copy(path: Path, place: Path) -> None:
    """Puts a file in a second place, whole, in place of what is there: as one file of two names where that is possible.

    The two may not be written to from then on, but replaced.
    """
    temporary = _unfinished(place, UNFINISHED)
    temporary.unlink(missing_ok=True)
    try:
        try:
            os.link(path, temporary)
        except OSError:  # not on every disk has a file several names
            with path.open("rb") as source, temporary.open("wb") as copy:
                shutil.copyfileobj(source, copy)
                copy.flush()
                os.fsync(copy.fileno())
        temporary.replace(place)
    finally:
        temporary.unlink(missing_ok=True)  # also where both were one already: then a rename does nothing


def remove_unfinished(folder: Path) -> None:
    """Removes what :func:`replacing` left in a folder where its process was killed; nobody may be writing there."""
    for path in folder.glob(f".*.{UNFINISHED}"):
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Puts a text in its place, whole."""
    with replacing(path) as file:
        file.write(text.encode("utf-8"))


def _unfinished(path: Path, suffix: str) -> Path:
    return path.with_name(f".{path.name}.{suffix}")


def _sync_folder(folder: Path) -> None:
    """Makes sure that a file is found by its new name after a power failure, on systems that can promise so."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
