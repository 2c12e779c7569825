"""Delayed recall: one thing to remember among others that mean nothing.

Shape suffixes: as in :mod:`seqlab.data.probes.base`.
"""

from typing import Any

import numpy as np

from seqlab.data.base import MOST_TOKENS
from seqlab.data.probes.base import NOTHING, Probe, Sequences
from seqlab.specs import check_range


class DelayedRecall(Probe):
    """The first symbol is asked for at the last step; between them come distractors.

    The latch problem of Y. Bengio, P. Simard and P. Frasconi, "Learning long-term dependencies with gradient descent is
    difficult", 1994, with symbols for the two classes there. Distractors are other symbols, as many, drawn at random;
    the number of them is drawn too, so that a network cannot count on it. 100 / ``symbols`` percent are what guessing
    gives.

    Args:
        symbols: Different symbols that may have to be remembered.
        shortest: The fewest distractors.
        longest: The most distractors.
        **options: See :class:`~seqlab.data.probes.base.Probe`.

    Raises:
        UserError: A number is out of its range.
    """

    def __init__(self, symbols: int = 8, shortest: int = 10, longest: int = 30, **options: Any):
        super().__init__(**options)
        check_range("data.symbols", symbols, 2, MOST_TOKENS)
        check_range("data.shortest", shortest, 0, MOST_TOKENS)
        check_range("data.longest", longest, shortest, MOST_TOKENS)
        self.symbols, self.shortest, self.longest = symbols, shortest, longest

    @property
    def input_size(self) -> int:
        return 2 * self.symbols + 1

    @property
    def classes(self) -> int:
        return self.symbols

    def draw(self, count: int, random: np.random.Generator) -> Sequences:
        cue, rows = 2 * self.symbols, np.arange(count)
        lengths_N = random.integers(self.shortest, self.longest + 1, count) + 2
        inputs_NT = random.integers(self.symbols, 2 * self.symbols, (count, self.longest + 2))
        inputs_NT[:, 0] = random.integers(0, self.symbols, count)
        inputs_NT[rows, lengths_N - 1] = cue
        targets_NT = np.full_like(inputs_NT, NOTHING)
        targets_NT[rows, lengths_N - 1] = inputs_NT[:, 0]
        return Sequences(inputs_NT, targets_NT, lengths_N)
