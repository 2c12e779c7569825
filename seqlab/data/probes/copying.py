"""The copying memory problem.

Shape suffixes: as in :mod:`seqlab.data.probes.base`; K = symbols to be copied.
"""

from typing import Any

import numpy as np

from seqlab.data.base import MOST_TOKENS
from seqlab.data.probes.base import NOTHING, Probe, Sequences
from seqlab.specs import check_range


class CopyingMemory(Probe):
    """Symbols are shown, then blanks, then a mark, after which the symbols are asked for in their order.

    S. Hochreiter and J. Schmidhuber, "Long short-term memory", 1997 (task 2); in this form M. Arjovsky, A. Shah and Y.
    Bengio, "Unitary evolution recurrent neural networks", 2016. Only the answers are scored, not the blanks before
    them, so that 100 / ``symbols`` percent are what guessing gives.

    Args:
        symbols: Different symbols that are to be copied.
        copied: How many of them a sequence has (K).
        delay: Blanks between them and the mark.
        **options: See :class:`~seqlab.data.probes.base.Probe`.

    Raises:
        UserError: A number is out of its range.
    """

    def __init__(self, symbols: int = 8, copied: int = 5, delay: int = 20, **options: Any):
        super().__init__(**options)
        check_range("data.symbols", symbols, 2, MOST_TOKENS)
        check_range("data.copied", copied, 1, MOST_TOKENS)
        check_range("data.delay", delay, 0, MOST_TOKENS)
        self.symbols, self.copied, self.delay = symbols, copied, delay

    @property
    def input_size(self) -> int:
        return self.symbols + 2

    @property
    def classes(self) -> int:
        return self.symbols

    def draw(self, count: int, random: np.random.Generator) -> Sequences:
        blank, mark = self.symbols, self.symbols + 1
        shown_NK = random.integers(0, self.symbols, (count, self.copied))
        steps = self.copied + self.delay + 1 + self.copied
        inputs_NT = np.full((count, steps), blank)
        inputs_NT[:, : self.copied] = shown_NK
        inputs_NT[:, self.copied + self.delay] = mark
        targets_NT = np.full((count, steps), NOTHING)
        targets_NT[:, -self.copied :] = shown_NK
        return Sequences(inputs_NT, targets_NT, np.full(count, steps))
