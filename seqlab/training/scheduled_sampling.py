"""Scheduled sampling: a decoder in training is given more and more of its own tokens instead of the true ones.

S. Bengio, O. Vinyals, N. Jaitly and N. Shazeer, "Scheduled sampling for sequence prediction with recurrent neural
networks", NIPS 2015. For every token that is given, a coin falls to the true one with a probability that decays with
the optimizer step i; otherwise the model's own token at this place is taken. No gradient flows through that choice.

Shape suffixes: T = target steps, B = sentences, N = sentences that are given a token of the model's own, V = size of
the vocabulary.
"""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from seqlab.errors import UserError
from seqlab.models.decoder import DecoderSteps
from seqlab.models.decoder_state import DecoderState
from seqlab.models.encoder_decoder import EncoderDecoder
from seqlab.models.loss import full_precision


class ScheduledSampling(ABC):
    """A decay of the probability that a token which the decoder is given is the true one.

    Args:
        argmax: Take the model's likeliest token instead of one drawn from its distribution.
    """

    def __init__(self, argmax: bool = False):
        self.argmax = argmax

    @abstractmethod
    def probability(self, step: int) -> float:
        """The probability of the true token at an optimizer step, from 0."""

    @torch.no_grad()
    def mix(self, network: EncoderDecoder, state: DecoderState, target_TB: Tensor, step: int) -> Tensor:
        """The tokens that the decoder is given at an optimizer step: some of the targets, the first one always, and
        some of the model's own.

        The model decides in a pass of its own, step by step, with the dropout that the pass with the gradient will
        have: together they are what one pass would be that draws as it goes.

        Args:
            network: The model.
            state: The decoder's state before the first step.
            target_TB: The true tokens.
            step: Number of the optimizer step.
        """
        probability, steps = self.probability(step), len(target_TB)
        if probability >= 1:
            return target_TB
        mixed, device = list(target_TB.unbind(0)), target_TB.device
        devices = [device] if device.type == "cuda" else []
        # The random state afterwards is that of before, so that the other pass has the same dropout.
        with torch.random.fork_rng(devices), DecoderSteps(network.decoder, steps, state) as decoder:
            # On the CPU, where looking for the rows costs no wait.
            own_TB = torch.rand(target_TB.shape) >= probability
            for t in range(steps - 1):
                features_BE, _, state = decoder.step(t, state, mixed[t])
                rows_N = own_TB[t + 1].nonzero()[:, 0].to(device)
                if len(rows_N):
                    logits_NV = full_precision(network.output(features_BE.index_select(0, rows_N)))
                    mixed[t + 1] = mixed[t + 1].index_copy(0, rows_N, self._choose(logits_NV))
        # Before torch 2.11 the weights that were cast here would be taken again by the other pass, and get no gradient.
        torch.clear_autocast_cache()
        return torch.stack(mixed)

    def _choose(self, logits_NV: Tensor) -> Tensor:
        """A token for each row."""
        if self.argmax:
            return logits_NV.argmax(-1)
        return torch.multinomial(logits_NV.softmax(-1), 1)[:, 0]


class Linear(ScheduledSampling):
    """``max(minimum, start - slope i)``.

    Args:
        start: The probability k at step 0.
        slope: How much it falls with each optimizer step, c.
        minimum: It does not fall below this, epsilon.
        argmax: Take the model's likeliest token instead of one drawn from its distribution.

    Raises:
        UserError: A number is out of its range.
    """

    def __init__(self, start: float = 1.0, slope: float = 1e-4, minimum: float = 0.25, argmax: bool = False):
        super().__init__(argmax)
        if not 0 <= minimum <= start <= 1 or slope < 0:
            raise UserError(
                "scheduled_sampling Linear: 0 <= minimum <= start <= 1 and slope >= 0 are needed, not minimum "
                f"{minimum}, start {start} and slope {slope}"
            )
        self.start, self.slope, self.minimum = start, slope, minimum

    def probability(self, step: int) -> float:
        """The probability of the true token at an optimizer step."""
        return max(self.minimum, self.start - self.slope * step)


class Exponential(ScheduledSampling):
    """``k^i``.

    Args:
        k: By how much the probability shrinks with each optimizer step, below 1.
        argmax: Take the model's likeliest token instead of one drawn from its distribution.

    Raises:
        UserError: k is out of its range.
    """

    def __init__(self, k: float = 0.9999, argmax: bool = False):
        super().__init__(argmax)
        if not 0 < k < 1:
            raise UserError(f"scheduled_sampling Exponential: k must be between 0 and 1, not {k}")
        self.k = k

    def probability(self, step: int) -> float:
        """The probability of the true token at an optimizer step."""
        return self.k**step


class InverseSigmoid(ScheduledSampling):
    """``k / (k + exp(i / k))``: half of the tokens are true at step ``k ln k``.

    Args:
        k: At least 1; the probability falls the later and the slower the larger it is.
        argmax: Take the model's likeliest token instead of one drawn from its distribution.

    Raises:
        UserError: k is out of its range.
    """

    def __init__(self, k: float = 1000.0, argmax: bool = False):
        super().__init__(argmax)
        if not (k >= 1 and math.isfinite(k)):
            raise UserError(f"scheduled_sampling InverseSigmoid: k must be at least 1, not {k}")
        self.k = k

    def probability(self, step: int) -> float:
        """The probability of the true token at an optimizer step."""
        return self.k / (self.k + math.exp(min(step / self.k, 700.0)))  # which is 0, and no overflow
