"""The decoder: previous target tokens, a state and a memory to features of the next tokens.

Shape suffixes: T = target steps, B = sentences, R = rows (B, or B x K while searching with K hypotheses each),
E = embedding size, H = width of the recurrent output, M = width of the memory.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from seqlab.models.attention import Attention, Memory
from seqlab.recurrence.dropout import make_dropout
from seqlab.recurrence.stack import RecurrentStack, StackState, select_rows


class DecoderState(NamedTuple):
    """What one decoding step hands to the next."""

    layers: StackState
    """Parts ``[R, size]``; the rows of one sentence stand together."""
    memory: Memory | None
    """The sentences' memory ``[B, ...]``, kept once however many rows a sentence has; None without attention."""

    def select(self, rows_BK: Tensor) -> "DecoderState":
        """Keeps the given K rows of each sentence; sentences without any are dropped, the others keep their order."""
        memory = self.memory
        if memory is not None:
            sentences = memory.padding_BS.shape[0]
            if len(rows_BK) != sentences:
                rows_per_sentence = len(self.layers[0][0]) // sentences
                memory = memory.select(rows_BK[:, 0] // rows_per_sentence)
        return DecoderState(select_rows(self.layers, rows_BK.flatten()), memory)


class Decoder(nn.Module):
    """Embedding, recurrent layers, then attention (Luong et al. 2015, without input feeding).

    ::

        y_t = layers(embed(token_{t-1}), y_{t-1})
        c_t = attention(y_t, memory)
        feature_t = tanh(W [c_t; y_t] + b)

    Since attention follows the recurrent layers, a whole target runs through them in one call while training.

    Args:
        embedding: Maps token ids to vectors of width E, which is also the width of the features.
        embedding_size: E.
        layers: The recurrent layers.
        attention: None for a decoder that sees the source through its first state only (Sutskever et al. 2014).
        memory_size: M.
        dropout: Probability of dropping elements of the embeddings and of the features.
        locked_dropout: Drop the same elements at all steps.
    """

    def __init__(
        self,
        embedding: nn.Module,
        embedding_size: int,
        layers: RecurrentStack,
        attention: Attention | None,
        memory_size: int,
        dropout: float = 0.0,
        *,
        locked_dropout: bool = False,
    ):
        super().__init__()
        self.embedding, self.layers, self.attention = embedding, layers, attention
        self.dropout = make_dropout(dropout, locked=locked_dropout)
        context_size = memory_size if attention is not None else 0
        self.combine = nn.Linear(context_size + layers.output_size, embedding_size)

    def start(self, layers: StackState, memory_SBM: Tensor, lengths_B: Tensor) -> DecoderState:
        """The state before the first step."""
        return DecoderState(layers, self.attention.prepare(memory_SBM, lengths_B) if self.attention else None)

    def forward(self, tokens_TB: Tensor, state: DecoderState) -> Tensor:
        """Features ``[T, B, E]`` for given target tokens (teacher forcing)."""
        y_TBH, _ = self.layers(self.dropout(self.embedding(tokens_TB)), state.layers, last=False)
        context_BTM = self._attend(y_TBH.transpose(0, 1), state.memory)
        return self._features(y_TBH, None if context_BTM is None else context_BTM.transpose(0, 1))

    def step(self, tokens_R: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """One step for every row: the last tokens ``[R]`` to features ``[R, E]`` and the new state.

        The hypotheses of one sentence attend to its one memory side by side, as the steps of a target do in training.
        """
        y_1RH, layers = self.layers(self.dropout(self.embedding(tokens_R[None])), state.layers)
        y_RH, memory = y_1RH[0], state.memory
        sentences = len(y_RH) if memory is None else len(memory.padding_BS)
        context_BKM = self._attend(y_RH.unflatten(0, (sentences, -1)), memory)
        features_RE = self._features(y_RH, None if context_BKM is None else context_BKM.flatten(0, 1))
        return features_RE, state._replace(layers=layers)

    def _attend(self, query_BTH: Tensor, memory: Memory | None) -> Tensor | None:
        """Contexts ``[B, T, M]``, or None without attention."""
        if self.attention is None or memory is None:
            return None
        return self.attention(query_BTH, memory)[0]

    def _features(self, y: Tensor, context: Tensor | None) -> Tensor:
        """The last equation: recurrent outputs ``[..., H]`` and contexts ``[..., M]`` to features ``[..., E]``."""
        both = y if context is None else torch.cat([context, y], -1)
        return self.dropout(torch.tanh(self.combine(both)))
