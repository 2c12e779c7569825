"""Pairs of sentences as token ids, and batches of them.

Shape suffixes: S = source steps, T = target steps, B = sentences, N = pairs of a corpus.
"""

from collections.abc import Iterable, Sequence
from copy import copy
from typing import NamedTuple

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor

from seqlab.data.tokenizers import BOS, EOS, PAD, Tokenizer


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
    references: list[str]
    """Target sentences as raw text; empty in training."""


class Ragged:
    """Sequences of token ids of different lengths, in one flat array.

    Args:
        sequences: The sequences.
    """

    def __init__(self, sequences: Iterable[Sequence[int] | np.ndarray]):
        kept = [np.asarray(sequence, dtype=np.int32) for sequence in sequences]
        self.lengths_N = np.array([len(sequence) for sequence in kept], dtype=np.int64)
        self._ends = np.cumsum(self.lengths_N)
        self._flat = np.concatenate(kept) if kept else np.empty(0, dtype=np.int32)

    def __len__(self) -> int:
        return len(self.lengths_N)

    def __getitem__(self, index: int) -> np.ndarray:
        end = self._ends[index]
        return self._flat[end - self.lengths_N[index] : end]

    def select(self, index_N: np.ndarray) -> "Ragged":
        """The given sequences."""
        return Ragged(self[index] for index in index_N)

    def padded(self, index_B: np.ndarray, opening: Sequence[int], closing: Sequence[int]) -> Tensor:
        """The given sequences between ``opening`` and ``closing``, padded on the right, as ``[time, B]``."""
        steps = int(self.lengths_N[index_B].max()) + len(opening) + len(closing)
        rows = np.full((len(index_B), steps), PAD, dtype=np.int64)
        for row, index in zip(rows, index_B, strict=True):
            tokens = self[index]
            row[: len(opening)] = opening
            row[len(opening) : len(opening) + len(tokens)] = tokens
            row[len(opening) + len(tokens) :][: len(closing)] = closing
        return torch.from_numpy(rows.T.copy())


class EncodedPairs:
    """A parallel corpus as token ids.

    Args:
        corpus: Its text, with the columns ``source`` and ``target``.
        source_tokenizer: Tokenizer of the source side.
        target_tokenizer: Tokenizer of the target side.
    """

    def __init__(self, corpus: Dataset, source_tokenizer: Tokenizer, target_tokenizer: Tokenizer):
        self.corpus = corpus
        self.source = Ragged(source_tokenizer.encode(line) for line in corpus["source"])
        self.target = Ragged(target_tokenizer.encode(line) for line in corpus["target"])

    def __len__(self) -> int:
        return len(self.source)

    @property
    def source_lengths_N(self) -> np.ndarray:
        """Number of source steps of each pair, EOS included."""
        return self.source.lengths_N + 1

    @property
    def target_lengths_N(self) -> np.ndarray:
        """Number of target tokens to be predicted in each pair, EOS included."""
        return self.target.lengths_N + 1

    def select(self, index_N: np.ndarray) -> "EncodedPairs":
        """The given pairs."""
        chosen = copy(self)
        chosen.corpus = self.corpus.select(index_N)
        chosen.source, chosen.target = self.source.select(index_N), self.target.select(index_N)
        return chosen

    def batch(self, index_B: np.ndarray, step_tokens: int, *, references: bool = False) -> Batch:
        """The batch of the given pairs, with its references where they are asked for."""
        return Batch(
            index_B=torch.from_numpy(index_B),
            source_SB=self.source.padded(index_B, [], [EOS]),
            source_lengths_B=torch.from_numpy(self.source_lengths_N[index_B]),
            target_TB=self.target.padded(index_B, [BOS], [EOS]),
            tokens=int(self.target_lengths_N[index_B].sum()),
            step_tokens=step_tokens,
            references=self.corpus[index_B.tolist()]["target"] if references else [],
        )
