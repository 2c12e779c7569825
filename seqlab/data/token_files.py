"""The tokens of texts: made once, by several processes where that helps, and then mapped from a file.

Shape suffixes: S = tokens of all texts, N = texts, such as documents, or the sentences of one side.
"""

import hashlib
import logging
import sys
import tempfile
import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from uuid import uuid4

import numpy as np
from tqdm import tqdm

from seqlab.data.cache import CACHED_FROM, cache_folder, making
from seqlab.data.encoding import PROCESSES_FROM, TextEncoder, encoded_chunks, helpful_processes
from seqlab.data.tokenizers import EOS, UNK
from seqlab.errors import UserError
from seqlab.files import replacing

log = logging.getLogger("seqlab")

FORMAT = b"seqlab tokens 2: texts end in EOS"
"""To be changed with what files of tokens hold."""
LOOKED_AT = 1 << 16
"""Texts of a file whose ends are looked at when it is opened."""


class Tokens(NamedTuple):
    """Texts one after the other, each of which ends in EOS."""

    tokens_S: np.ndarray
    """Token ids, int32."""
    starts_N: np.ndarray
    """Number of the first token of each text, int64."""
    unknown: int
    """Tokens that are UNK."""


def encode_texts(
    texts: Iterable[str],
    encoder: TextEncoder,
    *,
    size: int,
    count: int,
    label: str,
    checksum: bytes | None = None,
    processes: int | None = None,
    quiet: bool = False,
) -> Tokens:
    """Encodes texts, or takes their tokens from an earlier time.

    Tokens of a large text are written to a file while they are made, and mapped into memory. They are kept in the
    folder that the environment variable ``SEQLAB_CACHE`` names, else in ``~/.cache/seqlab``, by a checksum of texts and
    tokenizer; of several processes that need the same ones, one makes them. Where that cannot be written they stay in
    memory.

    Args:
        texts: The texts; iterated over again where writing fails.
        encoder: What encodes them. With a checksum, all that it does must follow from its class and its tokenizer.
        size: Their bytes.
        count: Their number.
        label: What they are, for progress.
        checksum: That of their text and where each of them ends; without one nothing is taken from or kept for another
            time.
        processes: How many encode, 0 for this one alone; if None, as many as a text of this size is worth.
        quiet: Whether to tell nothing of it.

    Raises:
        UserError: The texts cannot be read.
    """
    if processes is None:
        processes = helpful_processes(size)

    def chunks() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        try:
            yield from _encode(texts, encoder, size, count, label, processes, quiet)
        except OSError as error:  # or it would be taken for one of the cache
            raise UserError(f"cannot encode {label}: {error}") from error

    folder = cache_folder("tokens") if size >= CACHED_FROM else None
    found = None
    try:
        if folder is not None:
            if checksum is None:
                return _in_nameless_file(chunks(), folder)
            kind = type(encoder).__name__.encode()
            key = hashlib.sha256(b"\0".join([FORMAT, kind, checksum, encoder.tokenizer.model])).hexdigest()
            files = folder / f"{key}.tokens.npy", folder / f"{key}.starts.npy"
            found = _open(*files, count)
            if found is None:
                with making(files[0], f"the tokens of {label}"):
                    found = _open(*files, count) or _made(*files, count, chunks())
    except OSError as error:
        log.info("data: tokens kept in memory, since the cache cannot be written: %s", error)
    return found or _in_memory(chunks())


# ------------------------------------------------------------------------------------------------------------- encoding


def _encode(
    texts: Iterable[str], encoder: TextEncoder, size: int, count: int, label: str, processes: int, quiet: bool
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Encodes texts chunk by chunk; of a large text with a bar, or, where there is no terminal, with lines."""
    bar, large, start = sys.stderr.isatty(), size >= PROCESSES_FROM and not quiet, time.monotonic()
    if large and not bar:
        log.info("data: encoding %s: %s of them, in %s processes", label, f"{count:,}", processes or 1)
    with tqdm(
        total=count, desc=f"encoding {label}", unit_scale=True, leave=False, disable=not (large and bar)
    ) as shown:
        for tokens, lengths in encoded_chunks(texts, encoder, processes):
            shown.update(len(lengths))
            yield tokens, lengths
    if large and not bar:
        log.info("data: encoded %s in %.0f s", label, time.monotonic() - start)


def _in_memory(chunks: Iterable[tuple[np.ndarray, np.ndarray]]) -> Tokens:
    tokens = array("i")
    bounds = _drain(chunks, tokens.frombytes)
    return Tokens(np.frombuffer(tokens, dtype=np.int32), bounds[:-2], int(bounds[-1]))


def _in_nameless_file(chunks: Iterable[tuple[np.ndarray, np.ndarray]], folder: Path) -> Tokens:
    """Tokens for this process alone; the file is gone with them."""
    with tempfile.TemporaryFile(dir=folder) as stream:
        bounds = _drain(chunks, stream.write)
        stream.flush()
        tokens_S = np.memmap(stream, dtype=np.int32, mode="r", shape=(int(bounds[-2]),))
        return Tokens(tokens_S, bounds[:-2], int(bounds[-1]))


def _drain(chunks: Iterable[tuple[np.ndarray, np.ndarray]], write: Callable[[Any], Any]) -> np.ndarray:
    """Writes the tokens of chunks; returns the start of each text, the number of tokens, and how many are UNK."""
    lengths, unknown = [np.zeros(1, dtype=np.int64)], 0
    for tokens, lengths_N in chunks:
        write(tokens.tobytes())
        unknown += int(np.count_nonzero(tokens == UNK))
        lengths.append(lengths_N)
    return np.append(np.cumsum(np.concatenate(lengths)), unknown)


# ---------------------------------------------------------------------------------------------------------------- files


def _write_tokens(stream: BinaryIO, chunks: Iterable[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Writes an array whose length is not known before its end; returns the bounds, as :func:`_drain` does."""

    def head(length: int) -> None:  # of the same size for any length
        descr = np.lib.format.dtype_to_descr(np.dtype(np.int32))
        values = {"descr": descr, "fortran_order": False, "shape": (length,)}
        np.lib.format.write_array_header_1_0(stream, values)

    head(0)
    bounds = _drain(chunks, stream.write)
    stream.seek(0)
    head(int(bounds[-2]))
    return bounds


def _made(tokens: Path, starts: Path, count: int, chunks: Iterable[tuple[np.ndarray, np.ndarray]]) -> Tokens | None:
    """The tokens of chunks, written to two files."""
    with replacing(tokens, suffix=uuid4().hex) as stream:
        bounds = _write_tokens(stream, chunks)
    with replacing(starts, suffix=uuid4().hex) as stream:
        np.save(stream, bounds)
    return _open(tokens, starts, count)


def _open(tokens: Path, starts: Path, count: int) -> Tokens | None:
    """What two files hold; None if there are none, or they hold something else."""
    try:
        tokens_S = np.load(tokens, mmap_mode="r", allow_pickle=False)
        bounds = np.load(starts, mmap_mode="r", allow_pickle=False)
        if (tokens_S.dtype, bounds.dtype, bounds.shape) != (np.int32, np.int64, (count + 2,)):
            return None
        ends = bounds[1:-1][:: count // LOOKED_AT + 1]
        # Each text ends in EOS: a quick look at much of the file.
        whole = bounds[0] == 0 and bounds[-2] == len(tokens_S) and (tokens_S[ends - 1] == EOS).all()
        return Tokens(tokens_S, bounds[:-2], int(bounds[-1])) if whole else None
    except (OSError, ValueError, IndexError, EOFError):
        return None
