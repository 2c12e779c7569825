"""A linear recurrence without a loop."""

import torch
from torch import Tensor


def linear_recurrence(a_TBH: Tensor, b_TBH: Tensor, h_BH: Tensor) -> Tensor:
    """``h_t = a_t * h_{t-1} + b_t`` for all t at once, in log2(T) rounds.

    Two steps in a row are one step with ``a = a_2 a_1`` and ``b = a_2 b_1 + b_2``; each round makes every step reach
    back twice as far (W. D. Hillis and G. L. Steele, "Data parallel algorithms", CACM 29, 1986). Nothing is divided
    and no logarithm taken, so it is exact for any sign of a and b.

    Args:
        a_TBH: Factors ``[T, B, H]``.
        b_TBH: Summands ``[T, B, H]``.
        h_BH: The state before the first step ``[B, H]``.

    Returns:
        The states ``[T, B, H]`` after every step.
    """
    first = torch.addcmul(b_TBH[:1], a_TBH[:1], h_BH)
    b_TBH = torch.cat([first, b_TBH[1:]])
    reach = 1
    while reach < len(a_TBH):
        b_TBH = torch.cat([b_TBH[:reach], torch.addcmul(b_TBH[reach:], a_TBH[reach:], b_TBH[:-reach])])
        a_TBH = torch.cat([a_TBH[:reach], a_TBH[reach:] * a_TBH[:-reach]])
        reach *= 2
    return b_TBH
