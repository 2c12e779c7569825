"""From features to the probabilities of tokens.

Shape suffixes: N = tokens, E = width of the features, V = size of the vocabulary.
"""

from typing import cast

import torch
from torch import Tensor, nn

from seqlab.errors import UserError
from seqlab.models.loss import full_precision, smoothed_cross_entropy, token_scores


class Softmax(nn.Linear):
    """A softmax over the whole vocabulary.

    Args:
        features: E.
        vocab_size: V.
        tied: The embedding matrix ``[V, E]`` to share (Press and Wolf 2017); a matrix of its own if None.
    """

    def __init__(self, features: int, vocab_size: int, tied: Tensor | None = None):
        super().__init__(features, vocab_size)
        nn.init.zeros_(self.bias)
        if tied is None:
            nn.init.normal_(self.weight, std=features**-0.5)
        else:
            self.weight = cast(nn.Parameter, tied)

    def loss(self, features_NE: Tensor, targets_N: Tensor) -> Tensor:
        """The sum of :meth:`nll`, to be trained on."""
        return smoothed_cross_entropy(features_NE, targets_N, self)

    def nll(self, features_NE: Tensor, targets_N: Tensor) -> Tensor:
        """Negative log-likelihood of each target ``[N]`` in nats."""
        return nn.functional.cross_entropy(full_precision(self(features_NE)), targets_N, reduction="none")

    def scores(self, features_NE: Tensor, targets_N: Tensor) -> tuple[Tensor, Tensor]:
        """:meth:`nll`, and whether each target was the likeliest token."""
        return token_scores(features_NE, targets_N, self)

    def log_probs(self, features_NE: Tensor) -> Tensor:
        """Log-probabilities of every token ``[N, V]``."""
        return full_precision(self(features_NE)).log_softmax(-1)


class AdaptiveSoftmax(nn.Module):
    """A softmax in clusters: rare tokens have features of lower width (E. Grave et al., "Efficient softmax
    approximation for GPUs", ICML 2017), for vocabularies of tens of thousands of words sorted by frequency.

    Args:
        features: E.
        vocab_size: V.
        cutoffs: First token of each cluster after the head.

    Raises:
        UserError: The cut-offs are not rising, or beyond the vocabulary, or too many for the features' width.
    """

    def __init__(self, features: int, vocab_size: int, cutoffs: list[int]):
        super().__init__()
        if not cutoffs or sorted(set(cutoffs)) != list(cutoffs) or not 0 < cutoffs[0] <= cutoffs[-1] < vocab_size:
            raise UserError(
                f"adaptive softmax: cutoffs must rise and lie below the {vocab_size:,} tokens of the vocabulary, "
                f"not {cutoffs}"
            )
        if features < 4 ** len(cutoffs):
            raise UserError(
                f"adaptive softmax: each cluster's features have a quarter of the width of those before, so "
                f"{len(cutoffs)} clusters need features at least {4 ** len(cutoffs)} wide, not {features}"
            )
        self.layer = nn.AdaptiveLogSoftmaxWithLoss(features, vocab_size, cutoffs=list(cutoffs))

    def loss(self, features_NE: Tensor, targets_N: Tensor) -> Tensor:
        """The sum of :meth:`nll`, to be trained on."""
        return self.nll(features_NE, targets_N).sum()

    def nll(self, features_NE: Tensor, targets_N: Tensor) -> Tensor:
        """Negative log-likelihood of each target ``[N]`` in nats; only the clusters that occur are computed."""
        with torch.autocast(features_NE.device.type, enabled=False):
            return -self.layer(full_precision(features_NE), targets_N).output

    def scores(self, features_NE: Tensor, targets_N: Tensor) -> tuple[Tensor, Tensor]:
        """:meth:`nll`, and whether each target was the likeliest token."""
        with torch.autocast(features_NE.device.type, enabled=False):
            likeliest_N = self.layer.predict(full_precision(features_NE))
        return self.nll(features_NE, targets_N), likeliest_N == targets_N

    def log_probs(self, features_NE: Tensor) -> Tensor:
        """Log-probabilities of every token ``[N, V]``."""
        with torch.autocast(features_NE.device.type, enabled=False):
            return self.layer.log_prob(full_precision(features_NE))
