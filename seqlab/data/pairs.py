"""Pairs of sentences as token ids, and batches of them.

Shape suffixes: S = source steps, T = target steps, B = sentences, N = pairs of a corpus.
"""

from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from threading import Event
from typing import Any, NamedTuple

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor

from seqlab.data.ahead import Until
from seqlab.data.arrow import Texts
from seqlab.data.checksums import column_checksum
from seqlab.data.encoding import DroppingLineEncoder, LineEncoder, TextEncoder
from seqlab.data.token_files import Tokens, encode_texts
from seqlab.data.tokenizers import BOS, PAD, Tokenizer

SIDES = ("source", "target")


class Batch(NamedTuple):
    """Padded pairs of sentences. Time is the first axis."""

    index_B: Tensor
    """Numbers of the pairs in their corpus."""
    source_SB: Tensor
    """Source tokens, each sentence closed by EOS."""
    source_lengths_B: Tensor
    target_TB: Tensor
    """Target tokens, each sentence opened by BOS and closed by EOS: ``[:-1]`` is given, ``[1:]`` is to be predicted."""
    tokens: int
    """Number of target tokens to be predicted in this batch."""
    step_tokens: int
    """The same in all batches of its optimizer step, over all devices and accumulated batches."""
    references: list[list[str]]
    """The reference translations of each sentence as raw text, one or more; empty in training."""


class Ragged:
    """Sequences of token ids of different lengths, in one flat array that may be mapped from a file.

    Args:
        sequences: The sequences.
    """

    def __init__(self, sequences: Iterable[Sequence[int] | np.ndarray]):
        kept = [np.asarray(sequence, dtype=np.int32) for sequence in sequences]
        self.lengths_N = np.array([len(sequence) for sequence in kept], dtype=np.int64)
        self._flat = np.concatenate(kept) if kept else np.empty(0, dtype=np.int32)
        self._starts = np.cumsum(self.lengths_N) - self.lengths_N
        self._index_N: np.ndarray | None = None

    @classmethod
    def of(cls, tokens: Tokens) -> "Ragged":
        """The texts of encoded ones, each with its EOS; nothing of their tokens is read or copied."""
        ragged = cls.__new__(cls)
        # As plain arrays: those that are mapped from a file are slow to index.
        ragged._flat, ragged._starts = tokens.tokens_S.view(np.ndarray), tokens.starts_N.view(np.ndarray)
        ragged.lengths_N = np.diff(ragged._starts, append=len(ragged._flat)).astype(np.int32)
        ragged._index_N = None
        return ragged

    def __len__(self) -> int:
        return len(self.lengths_N)

    def __getitem__(self, index: int) -> np.ndarray:
        start = self._starts[index if self._index_N is None else self._index_N[index]]
        return self._flat[start : start + self.lengths_N[index]]

    def select(self, index_N: np.ndarray) -> "Ragged":
        """The given sequences; their tokens are not copied."""
        chosen = copy(self)
        chosen._index_N, chosen.lengths_N = _chosen(self._index_N, index_N), self.lengths_N[index_N]
        return chosen

    def padded(self, index_B: np.ndarray, opening: Sequence[int], closing: Sequence[int]) -> Tensor:
        """The given sequences between ``opening`` and ``closing``, padded on the right, as ``[time, B]``."""
        lengths_B, before = self.lengths_N[index_B], len(opening)
        starts_B = self._starts[index_B if self._index_N is None else self._index_N[index_B]]
        steps_S1 = np.arange(lengths_B.max())[:, None]
        real_SB = steps_S1 < lengths_B
        rows = np.full((before + len(steps_S1) + len(closing), len(index_B)), PAD, dtype=np.int64)
        rows[:before] = np.reshape(opening, (-1, 1))
        rows[before:][: len(steps_S1)][real_SB] = self._flat[(starts_B + steps_S1)[real_SB]]
        for number, token in enumerate(closing, before):
            rows[lengths_B + number, np.arange(len(index_B))] = token
        return torch.from_numpy(rows)


class Chosen:
    """Texts, with nothing in place of those that were not chosen: a long one would take long for nothing.

    Args:
        texts: The texts.
        index_N: Numbers of those that were chosen.
    """

    def __init__(self, texts: Texts, index_N: np.ndarray):
        self._texts, self._chosen = texts, np.zeros(len(texts), dtype=bool)
        self._chosen[index_N] = True

    def __iter__(self) -> Iterator[str]:
        for text, chosen in zip(self._texts, self._chosen.tolist(), strict=True):
            yield text if chosen else ""


def _chosen(index_N: np.ndarray | None, chosen_N: np.ndarray) -> np.ndarray:
    """Numbers among all of those that are chosen among some; in half the memory of NumPy's own."""
    return (chosen_N if index_N is None else index_N[chosen_N]).astype(np.int32)


class EncodedPairs:
    """A parallel corpus as token ids, each sentence closed by EOS.

    Args:
        corpus: Its text, with the columns ``source`` and ``target``.
        source_tokenizer: Tokenizer of the source side.
        target_tokenizer: Tokenizer of the target side.
    """

    def __init__(self, corpus: Dataset, source_tokenizer: Tokenizer, target_tokenizer: Tokenizer):
        self._text = corpus
        self._index_N: np.ndarray | None = None
        self._tokenizers = {"source": source_tokenizer, "target": target_tokenizer}
        self._measured = {side: column_checksum(corpus, side) for side in SIDES}
        """Checksum and size of each side's text, which every epoch of BPE-dropout asks for."""
        self.unknown: dict[str, tuple[int, int]] = {}
        """For each side, how many of its tokens are UNK, and how many tokens it has, each EOS left out."""
        sides = [self._encoded(side, LineEncoder(tokenizer)) for side, tokenizer in self._tokenizers.items()]
        for side, tokens in zip(SIDES, sides, strict=True):
            self.unknown[side] = tokens.unknown, len(tokens.tokens_S) - len(tokens.starts_N)
        self.source, self.target = map(Ragged.of, sides)

    @property
    def bytes(self) -> int:
        """Bytes of the text of both sides."""
        return sum(size for _, size in self._measured.values())

    def _encoded(self, side: str, encoder: TextEncoder, stop: Event | None = None, **options: Any) -> Tokens:
        checksum, size = self._measured[side]
        options = {"checksum": checksum, **options}
        rows = Texts(self._text, side)
        texts: Iterable[str] = rows if self._index_N is None else Chosen(rows, self._index_N)
        if stop is not None:
            texts = Until(stop, texts)
        return encode_texts(texts, encoder, size=size, count=len(self._text), label=f"{side} sentences", **options)

    def with_dropout(
        self,
        dropout: Sequence[float],
        *,
        seed: int,
        epoch: int,
        processes: int = 0,
        stop: Event | None = None,
    ) -> "EncodedPairs":
        """The same pairs with their merges drawn anew, by seed, epoch, the pair's number in its corpus and side.

        Args:
            dropout: Probability of dropping a merge of BPE, of the source and of the target side.
            seed: Seed of the run.
            epoch: Number of the epoch.
            processes: How many encode; see :func:`seqlab.data.token_files.encode_texts`.
            stop: Set when they are no longer needed, for what is drawn in the background and so told of nowhere.

        Raises:
            UserError: A side that has dropout does not merge.
            Cancelled: They are no longer needed.
        """
        drawn = copy(self)
        for number, (side, probability) in enumerate(zip(SIDES, dropout, strict=True)):
            if probability:
                encoder = DroppingLineEncoder(self._tokenizers[side], probability, seed, epoch, number)
                options = {"checksum": None, "processes": processes, "quiet": stop is not None}
                ragged = Ragged.of(self._encoded(side, encoder, stop, **options))
                setattr(drawn, side, ragged if self._index_N is None else ragged.select(self._index_N))
        return drawn

    @property
    def corpus(self) -> Dataset:
        """The text of the pairs."""
        return self._text if self._index_N is None else self._text.select(self._index_N)

    def __len__(self) -> int:
        return len(self.source)

    @property
    def source_lengths_N(self) -> np.ndarray:
        """Number of source steps of each pair, EOS included."""
        return self.source.lengths_N

    @property
    def target_lengths_N(self) -> np.ndarray:
        """Number of target tokens to be predicted in each pair, EOS included."""
        return self.target.lengths_N

    def select(self, index_N: np.ndarray) -> "EncodedPairs":
        """The given pairs."""
        chosen = copy(self)
        chosen._index_N = _chosen(self._index_N, index_N)
        chosen.source, chosen.target = self.source.select(index_N), self.target.select(index_N)
        return chosen

    def batch(self, index_B: np.ndarray, step_tokens: int, *, references: bool = False) -> Batch:
        """The batch of the given pairs, with its references where they are asked for."""
        return Batch(
            index_B=torch.from_numpy(index_B),
            source_SB=self.source.padded(index_B, [], []),
            source_lengths_B=torch.from_numpy(self.source_lengths_N[index_B].astype(np.int64)),
            target_TB=self.target.padded(index_B, [BOS], []),
            tokens=int(self.target_lengths_N[index_B].sum()),
            step_tokens=step_tokens,
            references=self._references(index_B) if references else [],
        )

    def _references(self, index_B: np.ndarray) -> list[list[str]]:
        """The references of pairs: the target, or the column ``references`` where there is one."""
        numbers = index_B if self._index_N is None else self._index_N[index_B]
        rows = self._text[numbers.tolist()]
        return rows["references"] if "references" in rows else [[target] for target in rows["target"]]
