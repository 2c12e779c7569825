"""Which pairs make up which batch.

The plan of an epoch is a pure function of (seed, epoch, world size), so every rank computes the same one, and an epoch
that was cut can be taken up by counting. Each rank takes every world-th batch.

Shape suffixes: N = pairs, B = pairs of a batch.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from torch.utils.data import DataLoader, Dataset

from seqlab.data.pairs import Batch, EncodedPairs
from seqlab.errors import UserError

POOL = 8192
"""Pairs that are shuffled apart before they are sorted by length: wide enough to pad little, narrow enough to mix."""


class Plan(NamedTuple):
    """The batches of one rank in one epoch."""

    batches: list[np.ndarray]
    """Indices ``[B]`` of the pairs of each batch."""
    step_tokens: list[int]
    """For each batch, the target tokens of its whole optimizer step: all ranks, all accumulated batches."""


def plan_training(
    pairs: EncodedPairs,
    batch_tokens: int,
    *,
    seed: int,
    epoch: int,
    rank: int = 0,
    world_size: int = 1,
    accumulate: int = 1,
) -> Plan:
    """Plans one epoch of training: every pair once, in an order of the epoch's own.

    Pairs are shuffled, sorted by length within pools, cut into batches, and the batches are shuffled. The largest
    batches are split until every rank has the same number, so that no pair is dropped and no rank waits for another
    forever.

    Args:
        pairs: The corpus.
        batch_tokens: The most tokens of a batch: pairs x longest side, padding included.
        seed: Seed of the run.
        epoch: Number of the epoch.
        rank: Number of this device.
        world_size: Number of devices.
        accumulate: Batches of one device that make one optimizer step.

    Raises:
        UserError: There are fewer pairs than devices.
    """
    if len(pairs) < world_size:
        raise UserError(f"{len(pairs)} training pairs cannot be shared among {world_size} devices")
    random = np.random.default_rng([seed, epoch])
    order_N = random.permutation(len(pairs))
    pools = np.split(order_N, range(POOL, len(pairs), POOL))
    batches = _cut(pairs, np.concatenate([_by_length(pairs, pool) for pool in pools]), batch_tokens)
    while len(batches) % world_size and _split_largest(batches):
        pass
    for batch in [batches.pop() for _ in range(len(batches) % world_size)]:  # only single pairs are left to share
        batches[0] = np.concatenate([batches[0], batch])
    batches = [batches[number] for number in random.permutation(len(batches))]
    tokens = np.array([pairs.target_lengths_N[batch].sum() for batch in batches])
    window = world_size * accumulate
    step_tokens = np.repeat(np.add.reduceat(tokens, range(0, len(tokens), window)), window)[: len(tokens)]
    return Plan(batches[rank::world_size], step_tokens[rank::world_size].tolist())


def plan_evaluation(pairs: EncodedPairs, batch_tokens: int, *, rank: int = 0, world_size: int = 1) -> Plan:
    """Plans an evaluation: every pair once over all ranks, sorted by length; ranks may differ by one batch."""
    batches = _cut(pairs, _by_length(pairs, np.arange(len(pairs))), batch_tokens)
    while len(batches) < world_size and _split_largest(batches):  # a rank without any batch is an error to Lightning
        pass
    batches = batches[rank::world_size]
    return Plan(batches, [int(pairs.target_lengths_N[batch].sum()) for batch in batches])


def _by_length(pairs: EncodedPairs, index_N: np.ndarray) -> np.ndarray:
    """Sorts pairs by target length, then source length; equal ones keep their order."""
    return index_N[np.lexsort((pairs.source_lengths_N[index_N], pairs.target_lengths_N[index_N]))]


def _split_largest(batches: list[np.ndarray]) -> bool:
    """Replaces the batch of most pairs by its two halves; False if every batch is a single pair."""
    largest = max(range(len(batches)), key=lambda number: len(batches[number]))
    if len(batches[largest]) < 2:
        return False
    batches[largest : largest + 1] = np.array_split(batches[largest], 2)
    return True


def _cut(pairs: EncodedPairs, order_N: np.ndarray, batch_tokens: int) -> list[np.ndarray]:
    """Cuts an order of pairs into batches; both sides of a pair count."""
    return cut_batches(order_N, np.maximum(pairs.source_lengths_N, pairs.target_lengths_N)[order_N], batch_tokens)


def cut_batches(order_N: np.ndarray, lengths_N: np.ndarray, batch_tokens: int) -> list[np.ndarray]:
    """Cuts an order into batches of at most ``batch_tokens`` padded tokens; one longer than that gets its own batch.

    Args:
        order_N: What to cut.
        lengths_N: The length of each element, in that order.
        batch_tokens: The most that longest length x number of elements may be.
    """
    cuts, first, width = [], 0, 0
    for position, length in enumerate(lengths_N.tolist()):
        width = max(width, length)
        if position > first and width * (position - first + 1) > batch_tokens:
            cuts.append(position)
            first, width = position, length
    return np.split(order_N, cuts)


class PlannedBatches(Dataset):
    """The batches of a plan, each built when it is asked for.

    Args:
        pairs: The corpus.
        plan: Its plan.
        references: Put the raw text of the target side into the batches.
    """

    def __init__(self, pairs: EncodedPairs, plan: Plan, *, references: bool = False):
        self.pairs, self.plan, self.references = pairs, plan, references

    def __len__(self) -> int:
        return len(self.plan.batches)

    def __getitem__(self, number: int) -> Batch:
        return self.pairs.batch(self.plan.batches[number], self.plan.step_tokens[number], references=self.references)

    def __iter__(self) -> Iterator[Batch]:
        return self.load()

    def load(self, start: int = 0, workers: int = 0, pin_memory: bool = False) -> Iterator[Batch]:
        """Yields the batches from number ``start`` on, in order."""
        numbers = range(start, len(self))
        yield from DataLoader(self, batch_size=None, sampler=numbers, num_workers=workers, pin_memory=pin_memory)
