"""Several models that write one output together.

Shape suffixes: B = sentences, K = hypotheses of one sentence, R = rows = B x K, V = size of the vocabulary, S = source
steps, M = members.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from seqlab.decoding.penalties import with_coverage
from seqlab.decoding.stepper import AttentiveState, SearchState, Stepper
from seqlab.errors import UserError

MEANS = ("probabilities", "log-probabilities")


class Member(Stepper[Any], Protocol):
    """A model that an ensemble is made of, such as :class:`~seqlab.models.encoder_decoder.EncoderDecoder`."""

    def start(self, source_SB: Tensor, lengths_B: Tensor) -> Any:
        """Its state before the first step, one row per sentence."""
        ...


class EnsembleState(NamedTuple):
    """The states of all members."""

    members: tuple[SearchState, ...]

    def select(self, rows_BK: Tensor) -> "EnsembleState":
        """Keeps the given rows of every sentence, in every member."""
        return EnsembleState(tuple(member.select(rows_BK) for member in self.members))

    def with_coverage(self) -> "EnsembleState":
        """The state from which on every member's attention is summed up.

        Raises:
            UserError: A member has no attention.
        """
        return EnsembleState(tuple(map(with_coverage, self.members)))

    def coverage(self) -> tuple[Tensor, Tensor]:
        """The mean of the members' sums of attention ``[R, S]``, and where there is no source token ``[B, S]``."""
        found = [member.coverage() for member in self.members if isinstance(member, AttentiveState)]
        return torch.stack([sums_RS for sums_RS, _ in found]).mean(0), found[0][1]


class Ensemble:
    """Models with one vocabulary as one stepper.

    ::

        probabilities       p(y) = 1/M sum_m p_m(y)
        log-probabilities   log p(y) = 1/M sum_m log p_m(y)

    The mean of log-probabilities, a geometric one, is not divided by its sum over the vocabulary: an output's
    log-probability is then the mean of its members', as in OpenNMT-py.

    Args:
        steppers: The members.
        mean: Which of the two.

    Raises:
        UserError: There is no member, or the mean is unknown.
    """

    def __init__(self, steppers: Sequence[Member], mean: str = "probabilities"):
        if not steppers:
            raise UserError("an ensemble needs at least one model")
        if mean not in MEANS:
            raise UserError(f"the mean of an ensemble must be one of {', '.join(MEANS)}, not {mean!r}")
        self.steppers, self.mean = tuple(steppers), mean

    def start(self, source_SB: Tensor, lengths_B: Tensor) -> EnsembleState:
        """The members' states before the first step, one row per sentence."""
        return EnsembleState(tuple(stepper.start(source_SB, lengths_B) for stepper in self.steppers))

    def step(self, tokens_R: Tensor, state: EnsembleState) -> tuple[Tensor, EnsembleState]:
        """The last token of every row to log-probabilities of the next ``[R, V]`` and the new state.

        Raises:
            UserError: The vocabularies differ in size.
        """
        log_probs, states = zip(
            *(stepper.step(tokens_R, part) for stepper, part in zip(self.steppers, state.members, strict=True)),
            strict=True,
        )
        sizes = {part_RV.shape[-1] for part_RV in log_probs}
        if len(sizes) > 1:
            raise UserError(
                f"an ensemble needs one vocabulary, but its members have {' and '.join(map(str, sorted(sizes)))} tokens"
            )
        stacked_MRV = torch.stack(log_probs)
        if self.mean == "probabilities":
            return stacked_MRV.logsumexp(0) - math.log(len(log_probs)), EnsembleState(states)
        return stacked_MRV.mean(0), EnsembleState(states)
