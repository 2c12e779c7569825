"""The rows that a diagnosis is made on."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from seqlab.data.encoded_text import EncodedText
from seqlab.data.streams import Windows
from seqlab.diagnosis import batches
from seqlab.diagnosis.batches import batch_of


@pytest.mark.parametrize("length, rows, count", [(7, None, 5), (30, None, 2), (99, None, 1), (30, 4, 4)])
def test_of_long_windows_there_are_fewer_unless_more_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, length: int, rows: int | None, count: int
) -> None:
    monkeypatch.setattr(batches, "ROWS", 5)
    monkeypatch.setattr(batches, "TOKENS", 60)
    tokens_S, nothing = np.arange(4, 304, dtype=np.int32), np.zeros(1, dtype=np.int64)
    examples = Windows(EncodedText(tokens_S, nothing, nothing, nothing, "", 0), 2, 11)
    data: Any = SimpleNamespace(
        has=lambda split: True, window=length, evaluation_batches=lambda split: SimpleNamespace(examples=examples)
    )
    assert batch_of(data, "val", rows).targets_TB.shape == (length, count)
