"""Data sets of the Hugging Face Hub, or of a folder that is laid out like one."""

import logging
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from seqlab.errors import UserError

log = logging.getLogger("seqlab")

HUB = "hub:"
HUB_SPLITS = {"train": ("train",), "val": ("validation", "valid", "val", "dev"), "test": ("test",)}
"""What the splits are called there."""

CONVERTED = "refs/convert/parquet"
"""The branch of a data set where the Hub puts its tables."""


def hub_splits(name: str, instead: str) -> tuple[str, ...]:
    """The splits that a data set has, among ``train``, ``val`` and ``test``.

    Raises:
        UserError: It cannot be loaded.
    """
    found = _load(name, instead)
    return tuple(split for split, names in HUB_SPLITS.items() if set(names) & set(found))


def hub_table(name: str, split: str, instead: str) -> tuple[Any, str]:
    """A split of a data set as a ``datasets.Dataset``, and what messages call it.

    Args:
        name: ``hub:NAME`` or ``hub:NAME:CONFIG``.
        split: ``train``, ``val`` or ``test``.
        instead: What else a corpus may be, for the message that it cannot be loaded.

    Raises:
        UserError: It cannot be loaded, or has no such split.
    """
    found = _load(name, instead)
    names = [each for each in HUB_SPLITS[split] if each in found]
    if not names:
        raise UserError(f"{name} has no split {' or '.join(HUB_SPLITS[split])} (it has: {', '.join(found)})")
    return found[names[0]], f"{name}, {names[0]}"


@lru_cache
def _load(name: str, instead: str) -> Any:
    """A data set, or what the cache on this machine has of it, by split. Code that comes with one is never run."""
    import datasets

    path, _, config = name.removeprefix(HUB).partition(":")
    if not path:
        raise UserError(f"{name!r} names nothing on the Hugging Face Hub: give {HUB}NAME or {HUB}NAME:CONFIG")
    folder = _folder(path)
    log.info("data: loading %s from %s", name, folder or "the Hugging Face Hub")
    try:
        with _quiet():
            try:
                return datasets.load_dataset(path, config or None)
            except RuntimeError as error:
                if "scripts are no longer supported" not in str(error):
                    raise
                # The Hub keeps what such a script made as tables beside it, in a folder for each configuration.
                return datasets.load_dataset(path, data_dir=config or None, revision=CONVERTED)
    except Exception as error:  # of any class, as whatever goes wrong in a network
        if folder is not None:
            raise UserError(f"cannot load {name} from the folder {folder}: {_wrong_with(error)}") from error
        reason = _short(error)
        raise UserError(
            f"cannot load {name} from the Hugging Face Hub: {reason}; without it, give {instead}"
        ) from error


def _folder(path: str) -> Path | None:
    """The folder that a name is the path of; None if it is a name of the Hub.

    Raises:
        UserError: It is a path, but not of a folder.
    """
    if Path(path).is_dir():
        return Path(path)
    if path.startswith(("/", "./", "../", "~")):
        raise UserError(f"{HUB}{path}: there is no folder {path}")
    return None


def _wrong_with(error: Exception) -> str:
    """What is wrong with a folder."""
    if isinstance(error, FileNotFoundError):  # as are the classes that ``datasets`` has for this
        return "it has no data files; give each split one, such as train.jsonl and validation.jsonl, or train.parquet"
    return _short(error.__cause__ or error)


def _short(error: BaseException) -> str:
    return textwrap.shorten(str(error) or type(error).__name__, 300).rstrip(".")


@contextmanager
def _quiet() -> Iterator[None]:
    """No log of each attempt to reach the Hub, and no bars without a terminal."""
    from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    from huggingface_hub.utils import logging as hub_logging

    level, settled = hub_logging.get_verbosity(), sys.stderr.isatty() or are_progress_bars_disabled()
    hub_logging.set_verbosity_error()
    if not settled:
        disable_progress_bars()
    try:
        yield
    finally:
        hub_logging.set_verbosity(level)
        if not settled:
            enable_progress_bars()
