"""Bracket languages: what has been opened last is to be closed first.

Shape suffixes: as in :mod:`seqlab.data.probes.base`.
"""

from typing import Any

import numpy as np

from seqlab.data.base import MOST_TOKENS
from seqlab.data.probes.base import NOTHING, Probe, Sequences
from seqlab.specs import check_range


class Brackets(Probe):
    """Well-nested brackets of several kinds (Dyck languages): which bracket closes next, wherever one does?

    J. Hewitt, M. Hahn, S. Ganguli, P. Liang and C. D. Manning, "RNNs can generate bounded hierarchical languages with
    optimal memory", 2020: ``kinds`` of brackets, nested up to ``depth``. A bracket is opened or closed with equal
    probability where both can be, until there are ``pairs`` of them. At each step that a closing bracket
    follows, its kind is asked for, which only the last one that is still open tells; 100 / ``kinds`` percent are what
    guessing gives.

    Args:
        kinds: Kinds of brackets.
        depth: The most that may be open at a time.
        pairs: Pairs of brackets in a sequence.
        **options: See :class:`~seqlab.data.probes.base.Probe`.

    Raises:
        UserError: A number is out of its range.
    """

    def __init__(self, kinds: int = 8, depth: int = 5, pairs: int = 20, **options: Any):
        super().__init__(**options)
        check_range("data.kinds", kinds, 2, MOST_TOKENS)
        check_range("data.depth", depth, 1, MOST_TOKENS)
        check_range("data.pairs", pairs, 1, MOST_TOKENS)
        self.kinds, self.depth, self.pairs = kinds, depth, pairs

    @property
    def input_size(self) -> int:
        return 2 * self.kinds

    @property
    def classes(self) -> int:
        return self.kinds

    def draw(self, count: int, random: np.random.Generator) -> Sequences:
        rows, steps = np.arange(count), 2 * self.pairs
        kinds_NT, opens_NT = random.integers(0, self.kinds, (count, steps)), random.random((count, steps)) < 0.5
        stack_ND = np.zeros((count, self.depth + 1), dtype=np.int64)
        open_N, opened_N = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
        symbols_NT = np.empty((count, steps), dtype=np.int64)
        targets_NT = np.full((count, steps), NOTHING)
        for step in range(steps):
            can_open = (open_N < self.depth) & (opened_N < self.pairs)
            opening = can_open & (opens_NT[:, step] | (open_N == 0))
            top_N = stack_ND[rows, open_N]
            symbols_NT[:, step] = np.where(opening, kinds_NT[:, step], self.kinds + top_N)
            if step:
                targets_NT[:, step - 1] = np.where(opening, NOTHING, top_N)
            open_N = open_N + np.where(opening, 1, -1)
            opened_N = opened_N + opening
            stack_ND[rows[opening], open_N[opening]] = kinds_NT[opening, step]
        return Sequences(symbols_NT, targets_NT, np.full(count, steps))
