"""Where files are kept that any process can make again: text in Arrow, token ids."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

log = logging.getLogger("seqlab")

CACHED_FROM = 1 << 22
"""Bytes of text from which on what is made of it is kept in a file. Less is made in a second or two."""

REMNANT_SECONDS = 86_400
"""Age of an unfinished file that nobody is writing any more."""


def cache_folder(kind: str) -> Path | None:
    """A folder of the cache, made if need be: of the environment variable ``SEQLAB_CACHE``, else ``~/.cache/seqlab``.

    Args:
        kind: What is kept there; its name.

    Returns:
        The folder; None if it cannot be made, of which the log tells.
    """
    try:
        folder = Path(os.environ.get("SEQLAB_CACHE") or Path("~/.cache/seqlab").expanduser()) / kind
        folder.mkdir(parents=True, exist_ok=True)
        remnants = list(folder.glob(".*"))  # by a process that was killed while it wrote
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home
        log.info("data: %s kept in memory, since the cache cannot be written: %s", kind, error)
        return None
    for left in remnants:
        with suppress(OSError):  # another process has removed it, or alone may do so
            if left.stat().st_mtime < time.time() - REMNANT_SECONDS:
                left.unlink()
    return folder


@contextmanager
def making(place: Path, what: str) -> Iterator[None]:
    """Lets one process at a time make what belongs in a place of the cache; the others wait, and then look there.

    The system lets go of the lock when the process ends, however it ends. Where there is no lock to be had, as in a
    folder that cannot be written, nobody waits: what several processes put in one place is the same.

    Args:
        place: The file. The lock lies beside it, and is gone when nobody holds it.
        what: What is made, for the log of those who wait.
    """
    lock = place.with_name(f".{place.name}.lock")
    descriptor = _locked(lock, what)
    try:
        yield
    finally:
        if descriptor is not None:
            with suppress(OSError):
                lock.unlink()  # before anyone else gets it: a waiter sees that it is gone, and takes a new one
            _release(descriptor)


def _locked(lock: Path, what: str) -> int | None:
    """The descriptor of a file that this process has locked; None if that cannot be done here."""
    try:
        from fcntl import LOCK_EX, LOCK_NB, flock
    except ImportError:  # on another system than Unix
        return None
    told = False
    while True:
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError:
            return None
        try:
            try:
                flock(descriptor, LOCK_EX | LOCK_NB)
            except BlockingIOError:
                if not told:
                    maker = os.pread(descriptor, 20, 0).decode() or "unknown"
                    log.info("data: waiting for %s, which process %s is making", what, maker)
                    told = True
                flock(descriptor, LOCK_EX)
            if os.path.samestat(os.fstat(descriptor), lock.stat()):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, str(os.getpid()).encode(), 0)
                return descriptor
        except FileNotFoundError:  # removed by the one who held it
            pass
        except OSError:  # a file system without locks, or one that is full
            _release(descriptor)
            return None
        except BaseException:
            _release(descriptor)
            raise
        _release(descriptor)


def _release(descriptor: int) -> None:
    """Lets go of a lock; closing alone would not, were it also open in a process that was forked meanwhile."""
    from fcntl import LOCK_UN, flock

    with suppress(OSError):
        flock(descriptor, LOCK_UN)
    os.close(descriptor)
