"""Texts to token ids, by several processes where there is much of it.

The processes are started anew and not forked: they are safe beside whatever threads and devices the first one has, need
no guard in its script, and end when it ends, however it does.
"""

import logging
import os
import pickle
import subprocess
import sys
from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from itertools import cycle
from typing import Any, Protocol

import numpy as np

from seqlab.data.bpe_dropout import kept_merges
from seqlab.data.tokenizers import EOS, DroppingEncoder, Tokenizer

log = logging.getLogger("seqlab")

CHUNK = 1 << 18
"""Characters that are encoded at once by one process."""

PROCESSES_FROM = 1 << 23
"""Bytes of text from which on several processes encode it; with less, the time they take to start is not won back."""


class TextEncoder(Protocol):
    """Makes token ids of texts, and can be pickled."""

    tokenizer: Tokenizer

    def __call__(self, first: int, texts: Sequence[str]) -> Iterator[list[int]]:
        """The tokens of texts, the first of which has this number in its corpus; those of each end in EOS."""


class LineEncoder:
    """Encodes sentences, each closed by EOS."""

    def __init__(self, tokenizer: Tokenizer):
        self.tokenizer = tokenizer

    def __call__(self, first: int, texts: Sequence[str]) -> Iterator[list[int]]:
        for text in texts:
            yield [*self.tokenizer.encode(text), EOS]


class DocumentEncoder:
    """Encodes texts of several lines, each of which is closed by EOS."""

    def __init__(self, tokenizer: Tokenizer):
        self.tokenizer = tokenizer

    def __call__(self, first: int, texts: Sequence[str]) -> Iterator[list[int]]:
        for text in texts:
            yield encode_text(text, self.tokenizer)


class DroppingLineEncoder:
    """Encodes sentences with BPE-dropout, each closed by EOS.

    What is dropped is a function of seed, epoch, the sentence's number and its side alone.

    Args:
        tokenizer: A tokenizer of kind bpe.
        dropout: Probability of dropping a merge.
        seed: Seed of the run.
        epoch: Number of the epoch.
        side: 0 for the source, 1 for the target.
    """

    def __init__(self, tokenizer: Tokenizer, dropout: float, seed: int, epoch: int, side: int):
        self.tokenizer, self.dropout, self.seed, self.epoch, self.side = tokenizer, dropout, seed, epoch, side
        self._encode: DroppingEncoder | None = None

    def __call__(self, first: int, texts: Sequence[str]) -> Iterator[list[int]]:
        encode = self._encode = self._encode or self.tokenizer.dropping()  # it remembers words
        for number, text in enumerate(texts, first):
            random = np.random.default_rng([self.seed, self.epoch, number, self.side])
            yield [*encode(text, kept_merges(self.dropout, random)), EOS]


def encode_text(text: str, tokenizer: Tokenizer) -> list[int]:
    """Token ids of a text: those of its lines, each closed by EOS. An empty line is a lone EOS."""
    return [token for line in text.split("\n") for token in (*tokenizer.encode(line), EOS)]


def idle_cores(devices: int | None = None) -> int:
    """How many processes may encode at once: the cores that this one may use, shared with others of its kind.

    Args:
        devices: How many of its kind this machine runs; what the launcher says if None.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // (devices or int(os.environ.get("LOCAL_WORLD_SIZE") or 1)))


def helpful_processes(size: int, devices: int | None = None) -> int:
    """How many processes are worth their start to encode texts of so many bytes; 0: this one alone.

    Args:
        size: The bytes.
        devices: See :func:`idle_cores`.
    """
    cores = idle_cores(devices) if size >= PROCESSES_FROM else 1
    return cores if cores > 1 else 0


def encoded_chunks(
    texts: Iterable[str], encoder: TextEncoder, processes: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Encodes texts, chunk after chunk; no more than a few chunks are in memory.

    Args:
        texts: The texts.
        encoder: What makes token ids of them.
        processes: How many beside this one do so; 0: this one does.

    Yields:
        The tokens of a chunk, int32, and the number of tokens of each of its texts, int64.
    """
    with ExitStack() as stack:
        started: list[_Helper] = []
        try:
            while len(started) < processes:
                started.append(stack.enter_context(_Helper(encoder)))
        except OSError as error:
            log.warning("data: %s of %s processes that encode could be started: %s", len(started), processes, error)
        if not started:
            for first, chunk in _chunks(texts):
                yield _encode(encoder, first, chunk)
            return
        for helper in started:  # which reads once it has imported what it needs: all do that at the same time
            helper.greet()
        helpers = cycle(started)
        busy: deque[_Helper] = deque()
        for (first, chunk), helper in zip(_chunks(texts), helpers, strict=False):
            done = [busy.popleft().receive()] if len(busy) == len(started) else []  # of this very helper
            helper.send(first, chunk)
            busy.append(helper)
            yield from done
        while busy:
            yield busy.popleft().receive()


def _chunks(texts: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Texts by the chunk, each with the number of its first one."""
    first, size = 0, 0
    chunk: list[str] = []
    for text in texts:
        chunk.append(text)
        size += len(text) + 1
        if size >= CHUNK:
            yield first, chunk
            first, size, chunk = first + len(chunk), 0, []
    if chunk:
        yield first, chunk


def _encode(encoder: TextEncoder, first: int, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    tokens, lengths = array("i"), array("q")
    for sequence in encoder(first, texts):
        tokens.extend(sequence)
        lengths.append(len(sequence))
    return np.frombuffer(tokens, dtype=np.int32), np.frombuffer(lengths, dtype=np.int64)


# ------------------------------------------------------------------------------------------------------------ processes


class _Helper:
    """A process that encodes chunks. What it fails to do, as when the system ended it, is done here instead."""

    def __init__(self, encoder: TextEncoder):
        self._encoder = encoder
        self._lost = False
        self._chunk: tuple[int, list[str]] = (0, [])
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", "from seqlab.data.encoding import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,  # out of reach of Ctrl-C: the first process decides what that means
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)},
        )

    def __enter__(self) -> "_Helper":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()

    def greet(self) -> None:
        """Gives it the encoder, before anything else."""
        self._write(self._encoder)

    def send(self, first: int, texts: list[str]) -> None:
        """Gives it a chunk; the one before must have been received."""
        self._chunk = first, texts
        self._write(self._chunk)

    def receive(self) -> tuple[np.ndarray, np.ndarray]:
        """The tokens of the chunk that was sent."""
        try:
            assert self._process.stdout is not None
            return pickle.load(self._process.stdout)
        except (EOFError, pickle.UnpicklingError, OSError) as error:
            if not self._lost:
                self._lost = True
                reason = f"it ended with code {code}" if (code := self._ended()) is not None else error
                log.warning("data: a process that encoded text was lost (%s); its part is done without it", reason)
            return _encode(self._encoder, *self._chunk)

    def _ended(self) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(1)
        return None

    def _write(self, message: Any) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # told by the end of its answers
            pickle.dump(message, self._process.stdin, protocol=pickle.HIGHEST_PROTOCOL)
            self._process.stdin.flush()


def serve() -> None:
    """What a helper does: an encoder on stdin, then chunks, whose tokens go to stdout."""
    with suppress(OSError):
        os.nice(5)
    stdin, stdout = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints
    with suppress(EOFError, BrokenPipeError, pickle.UnpicklingError):  # the first process has ended
        encoder = pickle.load(stdin)
        while True:
            pickle.dump(_encode(encoder, *pickle.load(stdin)), stdout, protocol=pickle.HIGHEST_PROTOCOL)
            stdout.flush()
