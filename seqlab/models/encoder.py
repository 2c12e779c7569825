"""The encoder: token ids or vectors to one vector per source step.

Shape suffixes: S = source steps, B = sentences, E = embedding size, M = width of the memory, X = width of the last
states.
"""

import torch
from torch import Tensor, nn

from seqlab.recurrence.dropout import make_dropout
from seqlab.recurrence.stack import RecurrentStack


class Encoder(nn.Module):
    """Embedding, dropout, recurrent layers.

    Args:
        embedding: Maps token ids ``[S, B]`` to vectors ``[S, B, E]``; ``nn.Identity`` for inputs that are vectors.
        layers: The recurrent layers; made with ``ends`` where :meth:`encode` shall give their last states.
        dropout: Probability of dropping an embedding's elements.
        locked_dropout: Drop the same elements at all steps.
    """

    def __init__(
        self, embedding: nn.Module, layers: RecurrentStack, dropout: float = 0.0, *, locked_dropout: bool = False
    ):
        super().__init__()
        self.embedding, self.layers = embedding, layers
        self.dropout = make_dropout(dropout, locked=locked_dropout)

    @property
    def output_size(self) -> int:
        """Width M of the outputs."""
        return self.layers.output_size

    @property
    def end_size(self) -> int:
        """Width X of the last layer's state parts together."""
        return sum(sum(sizes) for sizes in self.layers.state_sizes[-self.layers.directions :])

    def forward(self, source_SB: Tensor, lengths_B: Tensor) -> Tensor:
        """Encodes a padded batch: token ids ``[S, B]`` (or vectors ``[S, B, E]``) to ``[S, B, M]``, 0 on padding."""
        return self.encode(source_SB, lengths_B)[0]

    def encode(self, source_SB: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor | None]:
        """:meth:`forward`, and all state parts of the last layer after each row's last step ``[B, X]``, or None."""
        x_SBE, last = self.dropout(self.embedding(source_SB)), self.layers.ends
        memory_SBM, state = self.layers(x_SBE, lengths=lengths_B, last=last)
        if state is None:
            return memory_SBM, None
        return memory_SBM, torch.cat([part for cell in state[-self.layers.directions :] for part in cell], -1)
