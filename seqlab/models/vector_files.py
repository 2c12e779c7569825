"""Files of word vectors, read a token at a time: they may be larger than memory.

Two formats. Text, as word2vec, GloVe and fastText write it: a token and its numbers on each line, with spaces between
them, and perhaps a first line with the number of tokens and their width. And safetensors: a matrix named ``embeddings``
or ``weight`` with a row for each token; the tokens are a JSON list in the file's metadata under ``tokens``, or the
lines of a text file beside it, FILE.txt for FILE.safetensors.
"""

import json
import math
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seqlab.errors import UserError

MATRICES = ("embeddings", "weight")
DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
MOST_HEADER = 100_000_000
"""Bytes of a safetensors header, by that format's own limit."""


def read_vectors(path: Path, wanted: Container[bytes], width: int) -> Iterator[tuple[bytes, np.ndarray]]:
    """The wanted tokens of a file, as UTF-8, and their vectors ``[width]`` in float32.

    Args:
        path: A safetensors file if it is named so, else text.
        wanted: The tokens to read; numbers of others are not even parsed.
        width: Width that the vectors must have.

    Raises:
        UserError: The file is missing, empty, damaged, or of vectors of another width.
    """
    reader = _read_safetensors if path.suffix == ".safetensors" else _read_text
    try:
        yield from reader(path, wanted, width)
    except OSError as error:
        raise UserError(f"cannot read embeddings from {path}: {error.strerror}") from error


def _check_width(path: Path, found: int, width: int) -> None:
    if found != width:
        raise UserError(
            f"{path} has vectors {found} wide, but the model's embeddings are {width} wide: "
            f"set model.embedding_size to {found}"
        )


# ------------------------------------------------------------------------------------------------------------- text


def _read_text(path: Path, wanted: Container[bytes], width: int) -> Iterator[tuple[bytes, np.ndarray]]:
    with path.open("rb") as file:
        announced, vectors, started = None, 0, False
        for number, line in enumerate(file, 1):
            line = line.replace(b"\t", b" ").rstrip()
            if not line:
                continue
            if not started:
                started = True
                fields = line.split(b" ")
                if len(fields) == 2 and all(field.isdigit() for field in fields):
                    announced = int(fields[0])
                    _check_width(path, int(fields[1]), width)
                    continue
                if len(fields) == 1 or _numbers(fields[1:]) is None:
                    raise UserError(f"{path}, line {number}: not a token and its numbers, with spaces between them")
                _check_width(path, len(fields) - 1, width)
            vectors += 1
            spaces = line.count(b" ")
            # A few tokens of some files have spaces in them.
            token = line[: line.index(b" ")] if spaces == width else line.rsplit(b" ", width)[0]
            if spaces < width or (spaces > width and _numbers(token.split(b" ")[1:]) is not None):
                raise UserError(
                    f"{path}, line {number}: a token and {spaces} numbers, but the vectors of this file are {width} "
                    "wide: it is damaged"
                )
            if token in wanted:
                vector = _numbers(line.split(b" ")[-width:])
                if vector is None:
                    raise UserError(
                        f"{path}, line {number}: what follows {token.decode(errors='replace')!r} is not {width} numbers"
                    )
                yield token, vector
    if not vectors:
        raise UserError(f"{path} holds no vectors{'' if started else ': it is empty'}")
    if announced is not None and vectors < announced:
        raise UserError(f"{path} is not whole: it should have {announced:,} vectors, but has {vectors:,}")


def _numbers(fields: list[bytes]) -> np.ndarray | None:
    """Finite numbers, or None if one is not."""
    try:
        vector = np.array([float(field) for field in fields], dtype=np.float32)
    except ValueError:
        return None
    return vector if np.isfinite(vector).all() else None


# ------------------------------------------------------------------------------------------------------- safetensors


def _read_safetensors(path: Path, wanted: Container[bytes], width: int) -> Iterator[tuple[bytes, np.ndarray]]:
    header, start = _read_header(path)
    name = next((name for name in MATRICES if name in header), None)
    if name is None:
        held = ", ".join(key for key in header if key != "__metadata__")
        raise UserError(f"{path} has no tensor named {' or '.join(MATRICES)} (it has: {held or 'none'})")
    try:
        shape, dtype, (begin, end) = header[name]["shape"], DTYPES[header[name]["dtype"]], header[name]["data_offsets"]
        if len(shape) != 2:
            raise UserError(f"{path}: tensor {name} must have a row for each token, not shape {shape}")
        rows, found = shape
        whole = end - begin == math.prod(shape) * dtype.itemsize and start + end <= path.stat().st_size
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: tensor {name} is not of a dtype among {', '.join(DTYPES)}, or is damaged") from error
    if not whole:
        raise UserError(f"{path} is not whole: tensor {name} ends beyond its end")
    if not rows:
        raise UserError(f"{path} holds no vectors")
    _check_width(path, found, width)
    tokens = _tokens(path, header)
    if len(tokens) != rows:
        raise UserError(f"{path} has {rows:,} vectors, but {len(tokens):,} tokens")
    bytes_NX = np.memmap(path, np.uint8, "r", offset=start + begin, shape=(rows, width * dtype.itemsize))
    for token, bytes_X in zip(tokens, bytes_NX, strict=True):
        if token in wanted:
            vector = torch.from_numpy(bytes_X.copy()).view(dtype).float()
            if not vector.isfinite().all():
                raise UserError(f"{path}: the vector of {token.decode(errors='replace')!r} is not of finite numbers")
            yield token, vector.numpy()


def _read_header(path: Path) -> tuple[dict[str, Any], int]:
    """What a safetensors file says of its tensors, and where their bytes begin."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        text = file.read(length) if 0 < length <= MOST_HEADER else b""
    try:
        header = json.loads(text)
    except ValueError:
        header = None
    if not isinstance(header, dict):
        raise UserError(f"{path} is no safetensors file" if path.stat().st_size else f"{path} is empty")
    return header, 8 + length


def _tokens(path: Path, header: dict[str, Any]) -> list[bytes]:
    """The tokens of a safetensors file, row by row."""
    beside = path.with_suffix(".txt")
    metadata = header.get("__metadata__")
    if isinstance(metadata, dict) and "tokens" in metadata:
        try:
            return [str(token).encode() for token in json.loads(metadata["tokens"])]
        except (TypeError, ValueError) as error:
            raise UserError(f"{path}: its metadata's tokens are no JSON list") from error
    if not beside.is_file():
        raise UserError(
            f"{path} does not name its tokens: put a JSON list into its metadata under tokens, or a token on each line "
            f"of {beside}"
        )
    lines = beside.read_bytes().split(b"\n")
    return [line.rstrip(b"\r") for line in (lines if lines[-1] else lines[:-1])]
