"""What a model offers to be searched with.

Shape suffixes: B = sentences, K = hypotheses of one sentence, R = rows = B x K, V = size of the vocabulary.
"""

from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

from torch import Tensor


class SearchState(Protocol):
    """The state of a model between two steps, with K rows for each of B sentences, sentence by sentence."""

    def select(self, rows_BK: Tensor) -> Self:
        """Keeps the given rows of every sentence; sentences without a row in the first dimension are dropped."""
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
    """Log-probability in nats, the end of sentence included, divided by the length penalty."""
