"""The loss over real tokens only.

Shape suffixes: T = target steps, B = sentences, N = real tokens, E = width of the features, V = size of the vocabulary.
"""

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional


def full_precision(logits: Tensor) -> Tensor:
    """Logits in float32, or float64 if they are: a softmax over a vocabulary needs more than half precision."""
    return logits if logits.dtype.itemsize >= 4 else logits.float()


def real_tokens(features_TBE: Tensor, targets_TB: Tensor, padding: int) -> tuple[Tensor, Tensor]:
    """Drops padding: features ``[N, E]`` and targets ``[N]`` of the real tokens.

    Logits are V / E times as large as features, so padding has to go before the output layer.
    """
    real_TB = targets_TB != padding
    return features_TBE[real_TB], targets_TB[real_TB]


def smoothed_cross_entropy(
    features_NE: Tensor, targets_N: Tensor, output: Callable[[Tensor], Tensor], smoothing: float = 0.0
) -> Tensor:
    """Summed cross-entropy in nats, with label smoothing (Szegedy et al. 2016): the target distribution is
    ``(1 - smoothing) * one_hot + smoothing / V``."""
    return functional.cross_entropy(
        full_precision(output(features_NE)), targets_N, label_smoothing=smoothing, reduction="sum"
    )


def token_scores(features_NE: Tensor, targets_N: Tensor, output: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """For each token, its negative log-likelihood in nats ``[N]``, never smoothed, and whether it was the likeliest."""
    logits_NV = full_precision(output(features_NE))
    return functional.cross_entropy(logits_NV, targets_N, reduction="none"), logits_NV.argmax(-1) == targets_N
