"""Where files are kept that any process can make again: text in Arrow, token ids."""

import logging
import os
import time
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
        for left in folder.glob(".*"):  # by a process that was killed while it wrote
            if left.stat().st_mtime < time.time() - REMNANT_SECONDS:
                left.unlink(missing_ok=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home
        log.info("data: %s kept in memory, since the cache cannot be written: %s", kind, error)
        return None
    return folder
