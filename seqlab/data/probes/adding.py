"""The adding problem.

Shape suffixes: as in :mod:`seqlab.data.probes.base`.
"""

from typing import Any

import numpy as np

from seqlab.data.base import MOST_TOKENS
from seqlab.data.probes.base import NOTHING, Probe, Sequences
from seqlab.specs import check_range


class AddingProblem(Probe):
    """Each step has a number between 0 and 1 and a mark; at the end the sum of the two marked numbers is asked for.

    S. Hochreiter and J. Schmidhuber, "Long short-term memory", 1997 (task 4); in this form Q. V. Le, N. Jaitly and G.
    E. Hinton, "A simple way to initialize recurrent networks of rectified linear units", 2015. One mark is in the first
    half, one in the second. Who always answers 1 has a mean squared error of 1/6.

    Args:
        steps: Steps of a sequence.
        **options: See :class:`~seqlab.data.probes.base.Probe`.

    Raises:
        UserError: A number is out of its range.
    """

    def __init__(self, steps: int = 50, **options: Any):
        super().__init__(**options)
        check_range("data.steps", steps, 2, MOST_TOKENS)
        self.steps = steps

    @property
    def input_size(self) -> int:
        return 2

    @property
    def classes(self) -> int:
        return 0

    def draw(self, count: int, random: np.random.Generator) -> Sequences:
        rows = np.arange(count)
        values_NT = random.random((count, self.steps), dtype=np.float32)
        marks_NT = np.zeros_like(values_NT)
        half = self.steps // 2
        first_N, second_N = random.integers(0, half, count), random.integers(half, self.steps, count)
        marks_NT[rows, first_N] = marks_NT[rows, second_N] = 1
        targets_NT = np.full((count, self.steps), NOTHING, dtype=np.float32)
        targets_NT[:, -1] = values_NT[rows, first_N] + values_NT[rows, second_N]
        return Sequences(np.stack([values_NT, marks_NT], -1), targets_NT, np.full(count, self.steps))
