"""The data: files with a label, a tab and a text in each line.

Shape suffixes: N = texts of a file, B = texts of a batch, S = steps.
"""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from seqlab import UserError
from seqlab.data.base import DataModule
from seqlab.data.lines import read_lines
from seqlab.data.pairs import Ragged
from seqlab.data.tokenizers import EOS, Tokenizer, TokenizerSettings, load_tokenizer, make_tokenizer

WORDS = TokenizerSettings("word", 20_000)


class Batch(NamedTuple):
    """Padded texts, time first, and their labels."""

    index_B: Tensor
    text_SB: Tensor
    lengths_B: Tensor
    label_B: Tensor
    tokens: int
    step_tokens: int


class EncodedTexts:
    """Texts as token ids, each closed by EOS, and the numbers of their labels."""

    def __init__(self, texts: Iterable[str], labels: list[int], tokenizer: Tokenizer):
        self.texts, self.label_N = Ragged([*tokenizer.encode(text), EOS] for text in texts), np.array(labels)
        self.source_lengths_N, self.target_lengths_N = self.texts.lengths_N, np.ones_like(self.label_N)

    def batch(self, index_B: np.ndarray, step_tokens: int) -> Batch:
        index, lengths, labels = map(torch.from_numpy, (index_B, self.texts.lengths_N[index_B], self.label_N[index_B]))
        return Batch(index, self.texts.padded(index_B, [], []), lengths, labels, len(index_B), step_tokens)


class LabelledText(DataModule):
    """Texts and their labels. Tokenizer and labels are those of the training file.

    Args:
        train: Training file.
        val: Validation file.
        test: Test file; null: none.
        tokenizer: How the tokenizer is trained.
    """

    def __init__(
        self,
        train: str,
        val: str,
        test: str | None = None,
        tokenizer: TokenizerSettings = WORDS,
        **options: Any,
    ):
        super().__init__(**options)
        self.files, self.settings = {"train": train, "val": val, "test": test}, tokenizer

    def has(self, split: str) -> bool:
        return self.files[split] is not None

    def text(self, split: str) -> list[dict[str, str]]:
        file, rows = self.files[split], []
        if file is None:
            raise UserError(f"there is no {split} file: give one with --data.{split} FILE")
        for number, line in enumerate(read_lines(Path(file)), 1):
            label, tab, text = line.partition("\t")
            if not tab:
                raise UserError(f"{file}, line {number}: no tab between a label and a text")
            rows.append({"label": label, "text": text})
        if not rows:
            raise UserError(f"{file} is empty")
        return rows

    def encoded(self, split: str) -> EncodedTexts:
        rows = self.text(split)
        for number, row in enumerate(rows, 1):
            if row["label"] not in self.labels:
                raise UserError(
                    f"{self.files[split]}, line {number}: label {row['label']!r} is not in the training file"
                )
        return EncodedTexts(
            [row["text"] for row in rows], [self.labels.index(row["label"]) for row in rows], self.tokenizer
        )

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return make_tokenizer((row["text"] for row in self.text("train")), self.settings)

    @cached_property
    def labels(self) -> list[str]:
        return sorted({row["label"] for row in self.text("train")})

    def describe(self, split: str) -> dict[str, Any]:
        return {"file": self.files[split], **super().describe(split)}

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "tokenizer": self.tokenizer.model, "labels": self.labels}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.tokenizer, self.labels = load_tokenizer(state_dict["tokenizer"]), state_dict["labels"]
