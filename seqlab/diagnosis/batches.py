"""The rows of a split that a diagnosis is made on: the same ones whenever it is asked for them."""

from typing import Any

import numpy as np

from seqlab.data.base import DataModule
from seqlab.data.streams import Windows
from seqlab.errors import UserError

ROWS, TOKENS = 32, 8192
"""Rows and, of running text, tokens where no number of rows is asked for: the loss holds the whole vocabulary for each
token, so that 32 windows of 1,000 tokens would take more memory than the fit did."""


def batch_of(data: DataModule, split: str, rows: int | None = None) -> Any:
    """A batch of a split.

    Of examples these are some spread evenly over the split, of running text the first windows of as many stretches of
    it, as long as the windows of training; there, and where examples are few, it may be fewer rows.

    Args:
        data: The data module.
        split: The split.
        rows: The number of rows; if None 32, but fewer of windows that are long.

    Raises:
        UserError: The split has no corpus.
    """
    check_split(data, split)
    examples: Any = data.evaluation_batches(split).examples
    if isinstance(examples, Windows):
        text, length = examples.text, int(getattr(data, "window", examples.windows_K[0]))
        length = min(length, len(text.tokens_S))
        most = min(ROWS, TOKENS // length) if rows is None else rows
        stretches = max(1, min(most, len(text.tokens_S) // length))
        return Windows(text, stretches, length, resets=examples.resets).batches()[0]
    lengths_N = examples.target_lengths_N
    count = min(rows or ROWS, len(lengths_N))
    index_B = np.unique(np.linspace(0, len(lengths_N) - 1, count).round().astype(np.int64))
    return examples.batch(index_B, int(lengths_N[index_B].sum()))


def check_split(data: DataModule, split: str) -> None:
    """Makes sure that there is something to measure on.

    Raises:
        UserError: The split has no corpus.
    """
    if not data.has(split):
        raise UserError(f"there is no {split} corpus: give one with --data.{split} NAME, or take another --split")
