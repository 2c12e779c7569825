"""Dropout of whole words."""

import torch
from torch import Tensor, nn

from seqlab.data.tokenizers import BOS, EOS, PAD, UNK
from seqlab.errors import UserError


class WordDropout(nn.Module):
    """Replaces tokens by ``<unk>`` while training, each with the same probability; never BOS, EOS or padding.

    M. Iyyer et al., "Deep unordered composition rivals syntactic methods for text classification", ACL 2015, leave
    whole words of the input out; S. Bowman et al., "Generating sentences from a continuous space", CoNLL 2016,
    section 3.1, put ``<unk>`` in their place among the words that a decoder is given.

    Args:
        probability: Of replacing a token.

    Raises:
        UserError: The probability is not in [0, 1).
    """

    def __init__(self, probability: float):
        super().__init__()
        if not 0 <= probability < 1:
            raise UserError(f"word_dropout must be at least 0 and below 1, not {probability}")
        self.probability = probability

    def forward(self, tokens: Tensor) -> Tensor:
        """Token ids of any shape to token ids."""
        return self.replace(tokens, self.draw(tokens.shape, tokens.device))

    def draw(self, shape: tuple[int, ...], device: torch.device) -> Tensor | None:
        """Where to replace tokens: True with the probability; None where nothing is replaced."""
        if not self.training or not self.probability:
            return None
        return torch.rand(shape, device=device) < self.probability

    @staticmethod
    def replace(tokens: Tensor, where: Tensor | None) -> Tensor:
        """The tokens with ``<unk>`` in the given places."""
        if where is None:
            return tokens
        return tokens.masked_fill(where & (tokens != PAD) & (tokens != BOS) & (tokens != EOS), UNK)

    def extra_repr(self) -> str:
        return f"{self.probability}"
