"""Checksums of columns of text, fast enough for corpora larger than memory."""

import hashlib

import numpy as np
import pyarrow
from datasets import Dataset

ROWS = 1 << 16
"""Rows that are taken out of a table at once."""


def column_checksum(corpus: Dataset, column: str) -> tuple[bytes, int]:
    """A checksum of the texts of a column, which counts where each of them ends, and their bytes of UTF-8.

    It does not depend on how the table is cut into batches. Text is read where it lies, without a string of each row.

    Args:
        corpus: The corpus.
        column: A column of text.
    """
    text, lengths, size = hashlib.sha256(), hashlib.sha256(), 0
    for batch in corpus.select_columns([column]).with_format("arrow").iter(batch_size=ROWS):
        for chunk in batch[column].cast(pyarrow.large_string()).chunks:
            _, offsets, data = chunk.buffers()
            ends = np.frombuffer(offsets, dtype=np.int64)[chunk.offset :][: len(chunk) + 1] if len(chunk) else [0]
            lengths.update(np.diff(ends).tobytes())
            if data is not None:
                text.update(memoryview(data)[int(ends[0]) : int(ends[-1])])
            size += int(ends[-1] - ends[0])
    return hashlib.sha256(text.digest() + lengths.digest()).digest(), size
