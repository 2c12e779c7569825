"""The state of a decoder between two steps, in training and while searching.

Shape suffixes: B = sentences, R = rows (B, or B x K while searching with K hypotheses each), S = source steps,
E = embedding size, A = width of the attention.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from seqlab.errors import UserError
from seqlab.models.attention import Memory
from seqlab.recurrence.stack import StackState, select_rows


class DecoderState(NamedTuple):
    """What one decoding step hands to the next."""

    layers: StackState
    """Parts ``[R, size]``; the rows of one sentence stand together."""
    memory: Memory | None
    """The sentences' memory ``[B, ...]``, kept once however many rows a sentence has; None without attention."""
    feature_RE: Tensor | None = None
    """The feature of the last step, with input feeding."""
    coverage_RS: Tensor | None = None
    """Sums of the attention weights so far, where the model has coverage or a search has asked for them."""

    def select(self, rows_BK: Tensor) -> "DecoderState":
        """Keeps the given K rows of each sentence; sentences without any are dropped, the others keep their order."""
        memory, rows_R = self.memory, rows_BK.flatten()
        if memory is not None:
            sentences = memory.padding_BS.shape[0]
            if len(rows_BK) != sentences:
                rows_per_sentence = len(self.layers[0][0]) // sentences
                memory = memory.select(rows_BK[:, 0] // rows_per_sentence)
        own = (None if part is None else part.index_select(0, rows_R) for part in (self.feature_RE, self.coverage_RS))
        return DecoderState(select_rows(self.layers, rows_R), memory, *own)

    def with_coverage(self) -> "DecoderState":
        """The state before the first step, from which on attention weights are summed up.

        Raises:
            UserError: There is no attention.
        """
        if self.memory is None:
            raise UserError(
                "coverage_penalty needs a model with attention, but this one has none (model.attention none); leave "
                "it out"
            )
        if self.coverage_RS is not None:
            return self
        rows, steps = len(self.layers[0][0]), self.memory.padding_BS.shape[1]
        # Sums of many weights need more than half precision.
        dtype = torch.promote_types(self.memory.keys_BSA.dtype, torch.float32)
        return self._replace(coverage_RS=self.memory.keys_BSA.new_zeros(rows, steps, dtype=dtype))

    def coverage(self) -> tuple[Tensor, Tensor]:
        """The sums of attention weights ``[R, S]``, and where there is no source token ``[B, S]``."""
        assert self.memory is not None and self.coverage_RS is not None, "with_coverage comes first"
        return self.coverage_RS, self.memory.padding_BS
