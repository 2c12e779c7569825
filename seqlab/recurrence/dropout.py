"""Dropout whose mask stays the same through time."""

from torch import Tensor, nn
from torch.nn import functional

from seqlab.errors import UserError


class LockedDropout(nn.Dropout):
    """Drops the same elements at all steps of a sequence ``[T, B, H]``.

    Y. Gal and Z. Ghahramani, "A theoretically grounded application of dropout in recurrent neural networks", NIPS 2016.
    Like ``nn.Dropout`` it scales what is kept by 1/(1 - p) and does nothing in evaluation.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or not self.p:
            return input
        return input * functional.dropout(input.new_ones(1, *input.shape[1:]), self.p)


def make_dropout(probability: float, *, locked: bool) -> nn.Dropout:
    """Dropout with one mask for all steps, or with a new one for each.

    Raises:
        UserError: The probability is not in [0, 1].
    """
    if not 0 <= probability <= 1:
        raise UserError(f"dropout must be between 0 and 1, not {probability}")
    return LockedDropout(probability) if locked else nn.Dropout(probability)
