"""Tokenizers trained on a corpus, which may be large."""

import hashlib
import logging
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from uuid import uuid4

from datasets import Dataset

from seqlab.data.arrow import Texts
from seqlab.data.cache import CACHED_FROM, cache_folder, making
from seqlab.data.checksums import column_checksum
from seqlab.data.tokenizers import Tokenizer, TokenizerSettings, load_tokenizer, make_tokenizer
from seqlab.files import replacing

log = logging.getLogger("seqlab")

MOST_LINES = 2_000_000
"""Lines that a tokenizer is trained on; more take hours and much memory, and hardly change it."""

FORMAT = "seqlab tokenizer 2"
"""To be changed with how tokenizers are trained."""


def train_tokenizer(
    corpus: Dataset, columns: list[str], settings: TokenizerSettings, name: str = "data.tokenizer", unit: str = "pairs"
) -> Tokenizer:
    """Trains a tokenizer on columns of a corpus; the same text always gives the same one.

    Of more than two million lines, as many are taken, spread evenly. The tokenizer of a large corpus is kept in the
    cache (see :func:`seqlab.data.cache.cache_folder`), by a checksum of text and settings.

    Args:
        corpus: The corpus.
        columns: Columns of text; a text may have several lines.
        settings: How it is trained.
        name: What the settings are called.
        unit: What a row of the corpus is.

    Raises:
        UserError: See :func:`seqlab.data.tokenizers.make_tokenizer`.
    """
    if settings.file is not None:
        tokenizer = make_tokenizer((), settings, name)
        log.info("data: the tokenizer of %s, %s tokens", settings.file, f"{len(tokenizer):,}")
        return tokenizer

    def train() -> Tokenizer:
        log.info("data: training a %s tokenizer on %s %s", settings.kind, f"{len(corpus):,}", unit)
        return make_tokenizer(_lines(corpus, columns), settings, name)

    cached = _place(corpus, columns, settings)
    if cached is None:
        return train()
    found = _open(cached)
    if found is None:
        with making(cached, f"a {settings.kind} tokenizer"):
            found = _open(cached)  # which another process has made meanwhile
            if found is None:
                return _kept(train(), cached)
    log.info("data: a %s tokenizer from the cache", settings.kind)
    return found


def remedy(tokenizer: Tokenizer, split: str, name: str, *, trained: bool) -> str:
    """What to do where much of a split is unknown to a tokenizer whose settings are called so.

    Args:
        tokenizer: The tokenizer.
        split: The split.
        name: What its settings are called.
        trained: Whether it was trained on the training split, and not taken from a file.
    """
    if trained and split != "train" and tokenizer.kind_name != "word":
        return f"is it text of the same kind? ({name}.kind byte knows all text)"
    if tokenizer.kind_name == "word":
        return f"take subwords ({name}.kind bpe), or a larger {name}.vocab_size"
    if tokenizer.kind_name == "character":
        return f"take a larger {name}.vocab_size, a smaller {name}.min_count, or kind byte"
    other = "is it text of the same kind?" if split != "train" else "it was made of other text,"
    return f"{other} train one on this ({name}.file null), or take another file"


def spread_evenly(lines: Iterable[str], count: int, most: int) -> Iterator[str]:
    """At most so many of the lines, spread evenly over all of them.

    Args:
        lines: The lines.
        count: Their number.
        most: The most to be taken.
    """
    for number, line in enumerate(lines):
        if count <= most or (number + 1) * most // count > number * most // count:
            yield line


def _lines(corpus: Dataset, columns: list[str]) -> Iterator[str]:
    """The lines to train on: column after column."""
    count = sum(text.count("\n") + 1 for column in columns for text in Texts(corpus, column))
    if count > MOST_LINES:
        log.info("data: it is trained on %s of %s lines, spread evenly", f"{MOST_LINES:,}", f"{count:,}")
    texts = chain.from_iterable(Texts(corpus, column) for column in columns)
    lines = (line for text in texts for line in text.split("\n"))
    yield from spread_evenly(lines, count, MOST_LINES)


def _place(corpus: Dataset, columns: list[str], settings: TokenizerSettings) -> Path | None:
    """Where the tokenizer of a large corpus is kept."""
    found = [column_checksum(corpus, column) for column in columns]
    if sum(size for _, size in found) < CACHED_FROM or (folder := cache_folder("tokenizers")) is None:
        return None
    how = {key: value for key, value in asdict(settings).items() if key != "dropout"}
    what = (FORMAT, version("sentencepiece"), how, MOST_LINES, [checksum for checksum, _ in found])
    return folder / f"{hashlib.sha256(repr(what).encode()).hexdigest()}.tokenizer"


def _kept(tokenizer: Tokenizer, file: Path) -> Tokenizer:
    """A tokenizer, once it is put in its place."""
    try:
        with replacing(file, suffix=uuid4().hex) as stream:
            stream.write(hashlib.sha256(tokenizer.model).digest() + tokenizer.model)
    except OSError as error:
        log.info("data: the tokenizer cannot be cached: %s", error)
    return tokenizer


def _open(file: Path) -> Tokenizer | None:
    """The tokenizer in a file; None if there is none, or a damaged one."""
    try:
        data = file.read_bytes()
    except OSError:
        return None
    checksum, model = data[:32], data[32:]
    return load_tokenizer(model) if hashlib.sha256(model).digest() == checksum else None
