"""A text as one sequence of token ids, encoded once and then mapped from a file.

Shape suffixes: S = tokens of the text, N = its documents.
"""

import hashlib
import logging
import os
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import numpy as np

from seqlab.data.tokenizers import EOS, UNK, Tokenizer
from seqlab.files import replacing

log = logging.getLogger("seqlab")

CACHED_FROM = 1 << 22
"""Bytes of text from which on its tokens are kept in a file. Less is encoded in a second or two."""

FORMAT = b"seqlab tokens 1: lines end in EOS"
"""To be changed with what files of tokens hold."""


class Sizes(NamedTuple):
    """How large a raw text is, so that scores can be told per word and per byte whatever its tokens."""

    words: int = 0
    """What stands between whitespace, and the ends of lines: what ``line.split() + ["<eos>"]`` counts in the scripts
    behind published perplexities. A perplexity per word is that per token where tokens are words."""
    bytes: int = 0
    """Bytes of UTF-8, one line feed for each line included."""
    unknown: int = 0
    """Tokens that are UNK."""


class EncodedText(NamedTuple):
    """The documents of a text one after the other, every line of theirs closed by EOS."""

    tokens_S: np.ndarray
    """Token ids, int32."""
    starts_N: np.ndarray
    """Number of the first token of each document, int64."""
    words_N: np.ndarray
    """:attr:`Sizes.words` of each document."""
    bytes_N: np.ndarray
    """:attr:`Sizes.bytes` of each document."""
    sha256: str
    """Checksum of the text with a line feed after each line: of a text file, that of the file itself."""

    @property
    def sizes(self) -> Sizes:
        """Those of the whole text."""
        return Sizes(int(self.words_N.sum()), int(self.bytes_N.sum()), int(np.count_nonzero(self.tokens_S == UNK)))


def encode_text(text: str, tokenizer: Tokenizer) -> list[int]:
    """Token ids of a text: those of its lines, each closed by EOS. An empty line is a lone EOS."""
    return [token for line in text.split("\n") for token in (*tokenizer.encode(line), EOS)]


def decode_text(tokens: Iterable[int], tokenizer: Tokenizer) -> str:
    """The text of token ids, with a line feed for each EOS."""
    lines: list[list[int]] = [[]]
    for token in tokens:
        if token == EOS:
            lines.append([])
        else:
            lines[-1].append(token)
    return "\n".join(map(tokenizer.decode, lines))


def encode_documents(documents: Iterable[str], tokenizer: Tokenizer) -> EncodedText:
    """Encodes documents, or takes their tokens from an earlier time.

    Tokens of a large text are kept in the folder that the environment variable ``SEQLAB_CACHE`` names, else in
    ``~/.cache/seqlab``, by a checksum of text, documents and tokenizer, and mapped into memory. Where that cannot be
    written they stay in memory.

    Args:
        documents: At least one; iterated over twice.
        tokenizer: What encodes them.
    """
    digest, words, sizes = hashlib.sha256(), array("q"), array("q")
    for document in documents:
        data = document.encode() + b"\n"
        digest.update(data)
        words.append(len(document.split()) + data.count(b"\n"))
        sizes.append(len(data))
    words_N, bytes_N = np.frombuffer(words, dtype=np.int64), np.frombuffer(sizes, dtype=np.int64)
    if bytes_N.sum() < CACHED_FROM:
        tokens_S, starts_N = _encode(documents, tokenizer)
    else:
        key = hashlib.sha256(FORMAT + digest.digest() + bytes_N.tobytes() + tokenizer.model).hexdigest()
        tokens_S, starts_N = _cached(key, documents, tokenizer, len(bytes_N))
    return EncodedText(tokens_S, starts_N, words_N, bytes_N, digest.hexdigest())


def _encode(documents: Iterable[str], tokenizer: Tokenizer) -> tuple[np.ndarray, np.ndarray]:
    tokens, starts = array("i"), array("q")
    for document in documents:
        starts.append(len(tokens))
        tokens.extend(encode_text(document, tokenizer))
    return np.frombuffer(tokens, dtype=np.int32), np.frombuffer(starts, dtype=np.int64)


# ---------------------------------------------------------------------------------------------------------------- cache


def _cached(key: str, documents: Iterable[str], tokenizer: Tokenizer, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The tokens of documents from the cache, where they are put if they are not there, and the documents' starts."""
    try:
        folder = Path(os.environ.get("SEQLAB_CACHE") or Path("~/.cache/seqlab").expanduser()) / "tokens"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home
        log.info("data: tokens stay in memory, since they cannot be cached: %s", error)
        return _encode(documents, tokenizer)
    files = folder / f"{key}.tokens.npy", folder / f"{key}.starts.npy"
    found = _open(*files, count)
    if found is not None:
        return found
    arrays = _encode(documents, tokenizer)
    try:
        for file, values in zip(files, arrays, strict=True):
            _write(file, values)
    except OSError as error:
        log.info("data: tokens stay in memory, since they cannot be cached: %s", error)
        return arrays
    return _open(*files, count) or arrays


def _open(tokens: Path, starts: Path, count: int) -> tuple[np.ndarray, np.ndarray] | None:
    """What two files hold; None if there are none, or they hold something else."""
    try:
        tokens_S = np.load(tokens, mmap_mode="r", allow_pickle=False)
        starts_N = np.load(starts, mmap_mode="r", allow_pickle=False)
        whole = tokens_S.dtype == np.int32 and starts_N.dtype == np.int64 and starts_N.shape == (count,)
        # Before each document, and at the very end, there is an EOS: a quick look at much of the file.
        return (tokens_S, starts_N) if whole and (tokens_S[starts_N - 1] == EOS).all() else None
    except (OSError, ValueError, IndexError, EOFError):
        return None


def _write(file: Path, values: np.ndarray) -> None:
    """Puts an array in its place, where other processes may be about to put the same."""
    with replacing(file, suffix=uuid4().hex) as stream:
        np.save(stream, values)
