"""Which examples make up which batch: pairs of sentences, or texts and labels, or whatever has a length.

The plan of an epoch is a pure function of (seed, epoch, world size), so every rank computes the same one, and an epoch
that was cut can be taken up by counting. Each rank takes every world-th batch.

Shape suffixes: N = examples, B = examples of a batch.
"""

import logging
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from torch.utils.data import DataLoader, Dataset

from seqlab.errors import UserError

log = logging.getLogger("seqlab")

LONG = 10
"""How many times as long as the longest training example one may be, without being told of."""

POOL = 8192
"""Examples shuffled apart before they are sorted by length: wide enough to pad little, narrow enough to mix."""


class Examples(Protocol):
    """The examples of a split as numbers, such as :class:`seqlab.data.pairs.EncodedPairs`."""

    @property
    def source_lengths_N(self) -> np.ndarray:
        """Number of input steps of each example."""

    @property
    def target_lengths_N(self) -> np.ndarray:
        """Number of elements that the loss of each example is a sum over: its target tokens, or 1 for a label."""

    @property
    def batch(self) -> Callable[..., Any]:
        """``batch(index_B, step_tokens)`` makes the batch of the given examples.

        It is a ``NamedTuple`` with what the task needs and with ``index_B``, the numbers of its examples, as a tensor;
        ``tokens``, the sum of their ``target_lengths_N``; and ``step_tokens`` as given.
        """


class Plan(NamedTuple):
    """The batches of one rank in one epoch."""

    batches: list[np.ndarray]
    """Indices ``[B]`` of the examples of each batch."""
    step_tokens: list[int]
    """For each batch, the target tokens of its whole optimizer step: all ranks, all accumulated batches."""


def plan_training(
    examples: Examples,
    batch_tokens: int,
    *,
    seed: int,
    epoch: int,
    rank: int = 0,
    world_size: int = 1,
    accumulate: int = 1,
    passes: Sequence[tuple[int, float]] = (),
) -> Plan:
    """Plans one epoch of training: every example once, or as often as asked for, in an order of the epoch's own.

    Examples are shuffled, sorted by length within pools, cut into batches, and the batches are shuffled. The largest
    batches are split until every rank has the same number, so that no example is dropped and no rank waits for another
    forever.

    Args:
        examples: The examples of the training split.
        batch_tokens: The most tokens of a batch: examples x longest side, padding included.
        seed: Seed of the run.
        epoch: Number of the epoch.
        rank: Number of this device.
        world_size: Number of devices.
        accumulate: Batches of one device that make one optimizer step.
        passes: For each of the corpora that the examples are of, one after the other: how many examples it has, and how
            often the epoch passes over them. 2.5 is twice over all and once over half of them, drawn anew in each
            epoch. Once over all examples, if empty.

    Raises:
        UserError: There are fewer examples than devices.
    """
    target_lengths_N = examples.target_lengths_N
    random = np.random.default_rng([seed, epoch])
    order_N = random.permutation(_drawn(passes or [(len(target_lengths_N), 1.0)], random))
    count = len(order_N)
    if count < world_size:
        raise UserError(f"{count} training examples cannot be shared among {world_size} devices")
    pools = np.split(order_N, range(POOL, count, POOL))
    batches = _cut(examples, np.concatenate([_by_length(examples, pool) for pool in pools]), batch_tokens)
    while len(batches) % world_size and _split_largest(batches):
        pass
    for batch in [batches.pop() for _ in range(len(batches) % world_size)]:  # only single examples are left
        batches[0] = np.concatenate([batches[0], batch])
    batches = [batches[number] for number in random.permutation(len(batches))]
    tokens = np.array([target_lengths_N[batch].sum() for batch in batches])
    window = world_size * accumulate
    step_tokens = np.repeat(np.add.reduceat(tokens, range(0, len(tokens), window)), window)[: len(tokens)]
    return Plan(batches[rank::world_size], step_tokens[rank::world_size].tolist())


def _drawn(passes: Sequence[tuple[int, float]], random: np.random.Generator) -> np.ndarray:
    """The examples of an epoch, one corpus after the other."""
    parts, first = [], 0
    for count, weight in passes:
        whole, rest = divmod(round(weight * count), max(count, 1))
        parts += [np.arange(first, first + count)] * whole
        if rest:
            parts.append(first + random.choice(count, rest, replace=False, shuffle=False))
        first += count
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def plan_evaluation(examples: Examples, batch_tokens: int, *, rank: int = 0, world_size: int = 1) -> Plan:
    """Plans an evaluation: every example once over all ranks, sorted by length; ranks may differ by one batch.

    Raises:
        UserError: There are fewer examples than devices.
    """
    target_lengths_N = examples.target_lengths_N
    if len(target_lengths_N) < world_size and world_size > 1:
        raise UserError(
            f"{len(target_lengths_N)} validation examples cannot be shared among {world_size} devices: give more of "
            "them (data.val), or take fewer devices"
        )
    batches = _cut(examples, _by_length(examples, np.arange(len(target_lengths_N))), batch_tokens)
    while len(batches) < world_size and _split_largest(batches):  # a rank without any batch is an error to Lightning
        pass
    batches = batches[rank::world_size]
    return Plan(batches, [int(target_lengths_N[batch].sum()) for batch in batches])


def _by_length(examples: Examples, index_N: np.ndarray) -> np.ndarray:
    """Sorts examples by target length, then source length; equal ones keep their order."""
    return index_N[np.lexsort((examples.source_lengths_N[index_N], examples.target_lengths_N[index_N]))]


def _split_largest(batches: list[np.ndarray]) -> bool:
    """Replaces the batch of most examples by its two halves; False if every batch is a single example."""
    largest = max(range(len(batches)), key=lambda number: len(batches[number]))
    if len(batches[largest]) < 2:
        return False
    batches[largest : largest + 1] = np.array_split(batches[largest], 2)
    return True


def _cut(examples: Examples, order_N: np.ndarray, batch_tokens: int) -> list[np.ndarray]:
    """Cuts an order of examples into batches; both sides of an example count."""
    lengths_N = np.maximum(examples.source_lengths_N, examples.target_lengths_N)
    return cut_batches(order_N, lengths_N[order_N], batch_tokens)


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


def tell_long(split: str, lengths_N: np.ndarray, max_length: int) -> None:
    """Warns of examples so long that to score them may take for ever, or more memory than there is.

    Args:
        split: What they are of. Of training examples, long ones are left out instead.
        lengths_N: Their tokens, EOS left out.
        max_length: The most tokens of an example of training.
    """
    count = int((lengths_N > LONG * max_length).sum())
    if count:
        log.warning(
            "data: %s examples of data.%s have over %s tokens (number %s has %s): they are scored too, however long "
            "that takes; cut them up, or leave them out",
            f"{count:,}",
            split,
            f"{LONG * max_length:,}",
            f"{int(lengths_N.argmax()) + 1:,}",
            f"{int(lengths_N.max()):,}",
        )


class PlannedBatches(Dataset):
    """The batches of a plan, each built when it is asked for.

    Args:
        examples: The examples.
        plan: Their plan.
        options: Passed on to the examples' ``batch``.
    """

    def __init__(self, examples: Examples, plan: Plan, **options: Any):
        self.examples, self.plan, self.options = examples, plan, options

    def __len__(self) -> int:
        return len(self.plan.batches)

    def __getitem__(self, number: int) -> Any:
        return self.examples.batch(self.plan.batches[number], self.plan.step_tokens[number], **self.options)

    def __iter__(self) -> Iterator[Any]:
        return self.load()

    def load(self, start: int = 0, workers: int = 0, pin_memory: bool = False) -> Iterator[Any]:
        """Yields the batches from number ``start`` on, in order."""
        numbers = range(start, len(self))
        yield from DataLoader(
            self,
            batch_size=None,
            sampler=numbers,
            num_workers=workers,
            pin_memory=pin_memory,
            worker_init_fn=leave_signals_to_the_first,
        )


def leave_signals_to_the_first(worker: int) -> None:
    """Lets Ctrl-C and SIGTERM, sent to a whole group of processes, not end a worker whose batches are still needed.

    A worker ends when it is told to, or when the process that it works for is gone.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
