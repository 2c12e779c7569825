"""What a model offers to be searched with.

Shape suffixes: B = sentences, K = hypotheses of one sentence, R = rows = B x K, V = size of the vocabulary, S = source
steps.
"""

from dataclasses import dataclass
from typing import Protocol, Self, TypeVar, runtime_checkable

from torch import Tensor


class SearchState(Protocol):
    """The state of a model between two steps, with K rows for each of B sentences, sentence by sentence."""

    def select(self, rows_BK: Tensor) -> Self:
        """Keeps the given rows of every sentence; sentences without a row in the first dimension are dropped."""
        ...


@runtime_checkable
class AttentiveState(SearchState, Protocol):
    """The state of a model with attention, which a coverage penalty is defined on."""

    def with_coverage(self) -> Self:
        """The state before the first step, from which on attention weights are summed up."""
        ...

    def coverage(self) -> tuple[Tensor, Tensor]:
        """The sums ``[R, S]`` so far, and where there is no source token ``[B, S]``."""
        ...


S = TypeVar("S", bound=SearchState)


class Stepper(Protocol[S]):
    """A model that predicts the next token from the last one and a state."""

    def step(self, tokens_R: Tensor, state: S) -> tuple[Tensor, S]:
        """The last token of every row to log-probabilities ``[R, V]`` of the next one, and the new state."""
        ...


@dataclass(frozen=True)
class Hypothesis:
    """One output of a search."""

    tokens: list[int]
    """Token ids without the end-of-sentence token."""
    score: float
    """What hypotheses are ranked by: the log-probability with the search's penalties."""
    log_probability: float
    """Of the tokens and of the end of sentence, in nats: a plain sum."""
