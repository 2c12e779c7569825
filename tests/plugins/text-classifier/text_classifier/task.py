"""The task: one label for a text."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab import Task
from seqlab.data.tokenizers import Tokenizer
from seqlab.models.embedding import ScaledEmbedding
from seqlab.models.encoder import Encoder
from seqlab.recurrence.stack import RecurrentStack
from seqlab.tasks.cells import cell_factory
from text_classifier.data import Batch, EncodedTexts, LabelledText


class TextClassifier(Task):
    """A recurrent encoder in both directions, the mean of its outputs, a linear layer.

    Args:
        tokenizer: Taken from the data.
        labels: Taken from the data.
        cell: Recurrent cell; see "seqlab cells".
        size: Width of the embeddings, and hidden size in each direction.
        layers: Number of layers.
        dropout: Probability of dropping elements of embeddings, and of outputs between layers.
    """

    unit = "texts"

    def __init__(
        self,
        tokenizer: Tokenizer,
        labels: list[str],
        cell: str | dict[str, Any] = "gru",
        size: int = 64,
        layers: int = 1,
        dropout: float = 0.1,
        **options: Any,
    ):
        super().__init__(**options)
        self.tokenizer, self.labels, make_cell = tokenizer, labels, cell_factory(cell)
        stack = RecurrentStack(lambda width: make_cell(width, size), size, layers, bidirectional=True, dropout=dropout)
        self.encoder = Encoder(ScaledEmbedding(len(tokenizer), size), stack, dropout)
        self.output = nn.Linear(stack.output_size, len(labels))

    def forward(self, batch: Batch) -> Tensor:
        """The logits of the labels, ``[B, L]``."""
        memory_SBM = self.encoder(batch.text_SB, batch.lengths_B)  # 0 on padding
        return self.output(memory_SBM.sum(0) / batch.lengths_B[:, None])

    def loss(self, batch: Batch) -> Tensor:
        return functional.cross_entropy(self(batch), batch.label_B, reduction="sum")

    def outputs(self, batch: Batch, needs: set[str], *, fitting: bool) -> dict[str, dict[str, Any]]:
        return {"label": {"predicted": self._names(self(batch).argmax(-1)), "true": self._names(batch.label_B)}}

    def examples(self, data: LabelledText) -> Iterator[str]:
        rows = data.text("val")[:5]
        for row, label in zip(rows, self.classify([row["text"] for row in rows]), strict=True):
            yield f"text   {row['text']}\nlabel  {label} (true: {row['label']})\n"

    @torch.no_grad()
    def classify(self, texts: list[str]) -> list[str]:
        """The likeliest label of every text: ``seqlab.load("runs/classify").classify(["A text."])``."""
        encoded = EncodedTexts(texts, [0] * len(texts), self.tokenizer)
        batch = encoded.batch(np.arange(len(texts)), len(texts))
        return self._names(self.eval()(self.transfer_batch_to_device(batch, self.device, 0)).argmax(-1))

    def _names(self, label_B: Tensor) -> list[str]:
        return [self.labels[number] for number in label_B.tolist()]
