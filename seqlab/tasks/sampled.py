"""Translations that are drawn from a model, not searched for.

Shape suffixes: B = sentences, P = tokens of the longest prefix, V = size of the vocabulary.
"""

from collections.abc import Sequence
from typing import Generic

import torch
from torch import Tensor

from seqlab.data.tokenizers import BOS, EOS, PAD, UNK
from seqlab.decoding.sampling import Sampling, make_generators, sample
from seqlab.decoding.stepper import Hypothesis, S, Stepper

NEVER = float("-inf")


def sample_outputs(
    stepper: Stepper[S],
    state: S,
    limits_B: Tensor,
    prefixes: Sequence[Sequence[int]],
    sampling: Sampling,
    seed: int,
    numbers: Sequence[int],
) -> list[Hypothesis]:
    """Draws one output for each sentence.

    Args:
        stepper: The model.
        state: Its state before the first step, one row per sentence.
        limits_B: The most tokens of each output, not counting the end of sentence.
        prefixes: The tokens each output begins with, of any lengths.
        sampling: The distribution that tokens are drawn from; padding, the begin of a sentence and the unknown token
            never are.
        seed: Seed.
        numbers: Of each sentence: what is drawn depends on the seed and on this number alone.

    Returns:
        The outputs. Their log-probability, which is their score too, is the model's own, whatever they were drawn from,
        with that of the end of sentence.
    """
    forced = _Forced(stepper, prefixes, limits_B)
    generators = [make_generators(seed, range(number, number + 1))[0] for number in numbers]
    drawn = sample(
        forced,
        state,
        torch.full_like(limits_B, BOS),
        1 + max(limits_B.tolist(), default=0),
        sampling=sampling,
        generators=generators,
        eos=EOS,
    )
    tokens: list[list[int]] = [[] for _ in prefixes]
    sums, running = [0.0] * len(prefixes), set(range(len(prefixes)))
    for drawn_B in drawn:
        tokens_B = [EOS if token is None else token for token in drawn_B]
        index_B1 = torch.tensor(tokens_B, device=limits_B.device)[:, None]
        log_probs_B = forced.log_probs_BV.gather(1, index_B1)[:, 0].tolist()
        for row in list(running):
            sums[row] += log_probs_B[row]
            if tokens_B[row] == EOS:
                running.remove(row)
            else:
                tokens[row].append(tokens_B[row])
        if not running:
            break
    return [Hypothesis(output, total, total) for output, total in zip(tokens, sums, strict=True)]


class _Forced(Generic[S]):
    """A model that has no choice while a prefix lasts and at its limit, where it must end.

    Args:
        stepper: The model.
        prefixes: For each row the tokens it begins with.
        limits_B: The most tokens of each.
    """

    def __init__(self, stepper: Stepper[S], prefixes: Sequence[Sequence[int]], limits_B: Tensor):
        longest = max(map(len, prefixes), default=0)
        padded = [[*prefix, *[-1] * (longest - len(prefix))] for prefix in prefixes]
        self.stepper, self.limits_B, self.length = stepper, limits_B, 0
        self.prefixes_BP = limits_B.new_tensor(padded).reshape(len(prefixes), longest)
        self.log_probs_BV: Tensor
        """Of the last step, as the model gave them."""

    def step(self, tokens_R: Tensor, state: S) -> tuple[Tensor, S]:
        """As the model's, with -inf for what may not come next."""
        self.log_probs_BV, state = self.stepper.step(tokens_R, state)
        allowed_BV = self.log_probs_BV.clone()
        allowed_BV[:, [PAD, BOS, UNK]] = NEVER
        forced_B = torch.where(self.length >= self.limits_B, EOS, -1)
        if self.length < self.prefixes_BP.shape[1]:
            given_B = self.prefixes_BP[:, self.length]
            forced_B = torch.where(given_B >= 0, given_B, forced_B)
        rows = (forced_B >= 0).nonzero()[:, 0]
        allowed_BV[rows] = NEVER
        allowed_BV[rows, forced_B[rows]] = 0.0
        self.length += 1
        return allowed_BV, state
