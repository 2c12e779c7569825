"""Sentences in batches that fit into memory.

Shape suffixes: N = sentences, B = sentences of a batch.
"""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from seqlab.data.batches import cut_batches
from seqlab.errors import UserError

log = logging.getLogger("seqlab")


class Batching:
    """Cuts sentences into batches by their tokens; where memory runs out, they get smaller and stay so.

    Args:
        batch_tokens: The most tokens of a batch, padding included; a longer sentence gets a batch of its own.

    Raises:
        UserError: There is no token.
    """

    def __init__(self, batch_tokens: int = 4000):
        if batch_tokens < 1:
            raise UserError(f"batch_tokens must be at least 1, not {batch_tokens}")
        self.batch_tokens = batch_tokens
        self._told = False

    def run(
        self, lengths_N: np.ndarray, process: Callable[[np.ndarray], list[Any]], name: Callable[[int], str]
    ) -> Iterator[tuple[list[int], list[Any]]]:
        """Processes all sentences, the short ones first.

        Args:
            lengths_N: Tokens of each.
            process: Called with the numbers ``[B]`` of the sentences of a batch; gives a result for each. A batch that
                does not fit is processed again in smaller ones.
            name: What to call a sentence, by its number.

        Yields:
            The numbers of a batch and their results.

        Raises:
            UserError: One sentence alone does not fit into memory.
        """
        left = np.argsort(lengths_N, kind="stable")
        while len(left):
            head = left[: self.batch_tokens]  # more are in no batch, as each has a token at least
            batch = cut_batches(head, lengths_N[head], self.batch_tokens)[0]
            results = _unless_memory_runs_out(process, batch)
            if results is None:
                self._shrink(lengths_N[batch], name(int(batch[0])))
                continue
            left = left[len(batch) :]
            yield batch.tolist(), results

    def _shrink(self, lengths_B: np.ndarray, first: str) -> None:
        """Halves the tokens of a batch that did not fit."""
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if len(lengths_B) == 1:
            raise UserError(
                f"{first} does not fit into memory, with {int(lengths_B[0]):,} tokens; split it, or search with less: "
                "a narrower beam or a shorter max_length"
            )
        self.batch_tokens = len(lengths_B) * int(lengths_B.max()) // 2
        if not self._told:
            log.info("a batch of %s sentences does not fit into memory: halved, and again if need be", len(lengths_B))
            self._told = True


def _unless_memory_runs_out(process: Callable[[np.ndarray], list[Any]], batch: np.ndarray) -> list[Any] | None:
    """The results of a batch, or None if memory ran out; what it had made is free again then."""
    try:
        return process(batch)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on a GPU or on the CPU, for which torch has no class of its own."""
    texts = ("can't allocate memory", "not enough memory")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(text in str(error) for text in texts)
