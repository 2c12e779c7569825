"""Random continuations of a sequence of tokens.

Shape suffixes: R = rows, V = size of the vocabulary, F = tokens that are never drawn.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from seqlab.decoding.stepper import S, Stepper
from seqlab.errors import UserError


@dataclass(frozen=True)
class Sampling:
    """Which distribution the next token is drawn from.

    What is set is applied in this order, which is that of Hugging Face's transformers.

    Args:
        repetition_penalty: Divides the logits of tokens that have occurred where they are positive and multiplies them
            where they are negative (N. S. Keskar et al., "CTRL: a conditional transformer language model for
            controllable generation", 2019, section 4.1, as Hugging Face has it). 1 changes nothing.
        temperature: Divides the logits. 0 takes the likeliest token.
        top_k: Keeps the k likeliest tokens (A. Fan et al., "Hierarchical neural story generation", ACL 2018).
        top_p: Keeps the fewest tokens whose probabilities sum to p or more (nucleus sampling: A. Holtzman et al., "The
            curious case of neural text degeneration", ICLR 2020).

    Raises:
        UserError: A setting is out of its range.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise UserError(f"temperature must be 0 (the likeliest token) or above, not {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f"top_k must be at least 1, not {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UserError(f"top_p must be above 0 and at most 1, not {self.top_p}")
        if not 0 < self.repetition_penalty < math.inf:
            raise UserError(f"repetition_penalty must be above 0 (1 for none), not {self.repetition_penalty}")

    def probabilities(self, logits_RV: Tensor, seen_RV: Tensor | None = None) -> Tensor:
        """The distribution of the next token.

        Args:
            logits_RV: Logits, or log-probabilities: only the penalty tells them apart. At least one of each row is
                finite.
            seen_RV: Whether a token has occurred, for the penalty.

        Returns:
            Probabilities ``[R, V]`` in float64. Of equally likely tokens at a border, those of lower ids are kept.
        """
        logits_RV = logits_RV.double()
        if seen_RV is not None and self.repetition_penalty != 1:
            penalty = self.repetition_penalty
            penalised_RV = torch.where(logits_RV > 0, logits_RV / penalty, logits_RV * penalty)
            logits_RV = torch.where(seen_RV, penalised_RV, logits_RV)
        if self.temperature == 0:
            return functional.one_hot(logits_RV.argmax(-1), logits_RV.shape[-1]).double()
        # The largest becomes 0 first, so that no temperature makes an overflow.
        logits_RV = (logits_RV - logits_RV.amax(-1, keepdim=True)) / self.temperature
        probs_RV = logits_RV.softmax(-1)
        if self.top_k is None and self.top_p in (None, 1):
            return probs_RV
        sorted_RV, order_RV = probs_RV.sort(dim=-1, descending=True, stable=True)
        if self.top_k is not None:
            sorted_RV[:, self.top_k :] = 0
        if self.top_p is not None and self.top_p < 1:
            sorted_RV = sorted_RV / sorted_RV.sum(-1, keepdim=True)
            before_RV = sorted_RV.cumsum(-1) - sorted_RV
            sorted_RV = sorted_RV.masked_fill(before_RV >= self.top_p, 0)
        kept_RV = torch.zeros_like(probs_RV).scatter(-1, order_RV, sorted_RV)
        return kept_RV / kept_RV.sum(-1, keepdim=True)


def make_generators(seed: int, rows: range) -> list[torch.Generator]:
    """A source of random numbers for each row, which depends on the seed and the row's number alone.

    Raises:
        UserError: The seed is negative.
    """
    if seed < 0:
        raise UserError(f"seed must not be negative, but is {seed}")
    states = [np.random.SeedSequence([seed, row]).generate_state(1, np.uint64) for row in rows]
    return [torch.Generator().manual_seed(int(state[0])) for state in states]


@torch.no_grad()
def sample(
    stepper: Stepper[S],
    state: S,
    tokens_R: Tensor,
    limit: int,
    *,
    sampling: Sampling,
    generators: Sequence[torch.Generator],
    eos: int,
    lines: int | None = None,
    forbidden: Sequence[int] = (),
    seen: Sequence[int] = (),
) -> Iterator[list[int | None]]:
    """Draws the next tokens of every row, step by step.

    A row takes one random number of its generator at each step, whatever the settings and the other rows; the random
    state of torch is left alone.

    Args:
        stepper: The model. It may give logits in place of log-probabilities; see :meth:`Sampling.probabilities`.
        state: Its state before it reads ``tokens_R``.
        tokens_R: The last token of every row.
        limit: The most tokens that are drawn for a row.
        sampling: The distribution.
        generators: One for each row, on the CPU.
        eos: Token that ends a line. The repetition penalty passes over it, or lines would become longer and longer.
        lines: How many ends of lines end a row; None: none does.
        forbidden: Tokens that are never drawn.
        seen: Tokens that the repetition penalty takes as seen from the first step on.

    Yields:
        The token of every row at a step; None for a row that has ended, from the end that ended it on.
    """
    left_R: list[float] = [lines or math.inf] * len(tokens_R)
    forbidden_F = torch.tensor(forbidden, dtype=torch.long, device=tokens_R.device)
    seen_RV: Tensor | None = None
    for _ in range(limit):
        logits_RV, state = stepper.step(tokens_R, state)
        if seen_RV is None:
            seen_RV = torch.zeros_like(logits_RV, dtype=torch.bool)
            seen_RV[:, list(seen)] = True
        seen_RV[:, eos] = False
        logits_RV = logits_RV.index_fill(-1, forbidden_F, -math.inf)
        sums_RV = sampling.probabilities(logits_RV, seen_RV).cumsum(-1)
        draws_R = [torch.rand((), dtype=torch.float64, generator=generator) for generator in generators]
        draws_R1 = torch.stack(draws_R).to(sums_RV.device)[:, None]
        # The first token whose sum is beyond the draw, below 1, so never one without a probability.
        tokens_R = torch.searchsorted(sums_RV, draws_R1 * sums_RV[:, -1:], right=True)[:, 0]
        seen_RV.scatter_(-1, tokens_R[:, None], True)
        drawn_R = tokens_R.tolist()
        left_R = [left - (token == eos) for left, token in zip(left_R, drawn_R, strict=True)]
        yield [token if left > 0 else None for left, token in zip(left_R, drawn_R, strict=True)]
        if max(left_R) <= 0:
            return
