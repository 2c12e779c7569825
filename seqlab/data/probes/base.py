"""What all probes share: sequences that are drawn, not read, and what is asked for at some of their steps.

Shape suffixes: N = sequences of a split, B = sequences of a batch, T = steps, I = width of an input that is no symbol.
"""

from abc import abstractmethod
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from seqlab.data.base import MOST_TOKENS, SPLITS, DataModule
from seqlab.specs import check_range

NOTHING = -1
"""The target of a step that nothing is asked of."""


class ProbeBatch(NamedTuple):
    """Padded sequences, time first."""

    index_B: Tensor
    inputs: Tensor
    """Symbols ``[T, B]``, or vectors ``[T, B, I]``."""
    lengths_B: Tensor
    targets_TB: Tensor
    """The symbol, or number, that is asked for at a step; :data:`NOTHING` where none is."""
    tokens: int
    """Steps of the batch that something is asked of."""
    step_tokens: int


class Sequences:
    """Sequences of a split, padded on the right.

    Args:
        inputs: Symbols ``[N, T]``, or vectors ``[N, T, I]``.
        targets_NT: What is asked for; integers, or numbers of float32.
        lengths_N: Steps of each.
    """

    def __init__(self, inputs: np.ndarray, targets_NT: np.ndarray, lengths_N: np.ndarray):
        self.inputs, self.targets_NT = inputs, targets_NT
        self.source_lengths_N = lengths_N
        self.target_lengths_N = (targets_NT != NOTHING).sum(1)

    def batch(self, index_B: np.ndarray, step_tokens: int) -> ProbeBatch:
        """The batch of the given sequences."""
        lengths_B = self.source_lengths_N[index_B]
        steps = int(lengths_B.max())
        inputs, targets = self.inputs[index_B, :steps], self.targets_NT[index_B, :steps]
        return ProbeBatch(
            torch.from_numpy(index_B),
            torch.from_numpy(inputs).transpose(0, 1).contiguous(),
            torch.from_numpy(lengths_B),
            torch.from_numpy(targets).T.contiguous(),
            int(self.target_lengths_N[index_B].sum()),
            step_tokens,
        )


class Probe(DataModule):
    """Sequences drawn by a rule. A subclass writes :meth:`draw` and says how wide inputs and answers are.

    The sequences follow from ``draw_seed`` and the split alone: all runs of a comparison have the same ones, whatever
    their own seeds are.

    Args:
        train_size: Sequences to train on.
        val_size: Sequences of a validation.
        test_size: Sequences of a test.
        draw_seed: Seed that all of them are drawn by.
        batch_tokens: The most steps of a batch, padding included.
        workers: Processes that build training batches ahead.
        seed: Seed of the order of batches; the run's unless set.

    Raises:
        UserError: A size is not positive.
    """

    def __init__(
        self,
        train_size: int = 100_000,
        val_size: int = 1_000,
        test_size: int = 1_000,
        draw_seed: int = 1,
        batch_tokens: int = 3000,
        workers: int = 0,
        seed: int = 1,
    ):
        super().__init__(batch_tokens=batch_tokens, workers=workers, seed=seed)
        self.sizes = {"train": train_size, "val": val_size, "test": test_size}
        for split, size in self.sizes.items():
            check_range(f"data.{split}_size", size, 1, MOST_TOKENS)
        check_range("data.draw_seed", draw_seed, 0, MOST_TOKENS)
        self.draw_seed = draw_seed

    @property
    @abstractmethod
    def input_size(self) -> int:
        """Different symbols of the input, or the width of its vectors."""

    @property
    @abstractmethod
    def classes(self) -> int:
        """Different answers; 0 where the answer is a number."""

    @abstractmethod
    def draw(self, count: int, random: np.random.Generator) -> Sequences:
        """Draws so many sequences."""

    def has(self, split: str) -> bool:
        return split in self.sizes

    def encoded(self, split: str) -> Sequences:
        random = np.random.default_rng([self.draw_seed, SPLITS.index(split)])
        return self.draw(self.sizes[split], random)

    def text(self, split: str) -> list[dict[str, str]]:
        """The sequences as text: inputs, and what is asked for, with a dot where nothing is."""
        drawn: Any = self._examples(split)
        return [
            {
                "input": " ".join(map(_spelled, inputs[:length])),
                "target": " ".join("." if target == NOTHING else _spelled(target) for target in targets[:length]),
            }
            for inputs, targets, length in zip(drawn.inputs, drawn.targets_NT, drawn.source_lengths_N, strict=True)
        ]


def _spelled(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return ",".join(map(_spelled, value))
    return f"{value:g}"
