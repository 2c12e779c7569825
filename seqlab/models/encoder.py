"""The encoder: token ids or vectors to one vector per source step.

Shape suffixes: S = source steps, B = sentences, E = embedding size, M = width of the memory.
"""

from torch import Tensor, nn

from seqlab.recurrence.dropout import make_dropout
from seqlab.recurrence.stack import RecurrentStack


class Encoder(nn.Module):
    """Embedding, dropout, recurrent layers.

    Args:
        embedding: Maps token ids ``[S, B]`` to vectors ``[S, B, E]``; ``nn.Identity`` for inputs that are vectors.
        layers: The recurrent layers.
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

    def forward(self, source_SB: Tensor, lengths_B: Tensor) -> Tensor:
        """Encodes a padded batch: token ids ``[S, B]`` (or vectors ``[S, B, E]``) to ``[S, B, M]``, 0 on padding."""
        memory_SBM, _ = self.layers(self.dropout(self.embedding(source_SB)), lengths=lengths_B, last=False)
        return memory_SBM
