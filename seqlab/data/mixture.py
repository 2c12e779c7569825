"""Several parallel corpora as one: to train on, with some held out for validation, and to score on."""

import logging
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from datasets import Dataset, concatenate_datasets
from datasets.table import concat_tables

from seqlab.data.arrow import Texts
from seqlab.errors import UserError

log = logging.getLogger("seqlab")

HELD_OUT_SHARE, HELD_OUT_MOST = 0.02, 1000


class Training(NamedTuple):
    """Pairs that are trained on."""

    text: Dataset
    """The columns ``source`` and ``target``."""
    ends: np.ndarray
    """How many of them are of each corpus or of those before it."""
    held_out: Dataset | None
    """What of the corpora is held out for validation."""

    def passes(self, kept_N: np.ndarray, weights: Sequence[float]) -> list[tuple[int, float]]:
        """For each corpus, how many of its pairs are among some, and its weight.

        Args:
            kept_N: Numbers of these pairs, in rising order.
            weights: A weight for each corpus.
        """
        counts = np.diff(np.searchsorted(kept_N, self.ends), prepend=0)
        return list(zip(counts.tolist(), weights, strict=True))


def training_text(corpora: Sequence[Dataset], hold_out: bool) -> Training:
    """Corpora one after the other, without further references; and pairs of all of them for validation.

    Args:
        corpora: At least one.
        hold_out: Whether to hold some out.

    Raises:
        UserError: There are too few.
    """
    corpora = [corpus.select_columns(["source", "target"]) for corpus in corpora]
    corpus, ends = concatenate_datasets(corpora), np.cumsum([len(corpus) for corpus in corpora])
    if not hold_out:
        return Training(corpus, ends, None)
    count = min(HELD_OUT_MOST, int(len(corpus) * HELD_OUT_SHARE))
    if count < 1:
        raise UserError(f"{len(corpus)} pairs are too few to hold some out for validation: give data.val")
    # The same pairs whatever the run's seed.
    rows = np.sort(np.random.default_rng(0).permutation(len(corpus))[:count])
    log.info("data: held %s of %s pairs out for validation (data.val is null)", f"{count:,}", f"{len(corpus):,}")
    return Training(_without(corpus, rows), ends - np.searchsorted(rows, ends), corpus.select(rows))


def scored_text(corpora: Sequence[Dataset]) -> Dataset:
    """Corpora one after the other, all of them with lists of references if any is."""
    if any("references" in corpus.column_names for corpus in corpora):
        corpora = [
            corpus
            if "references" in corpus.column_names
            else corpus.add_column("references", [[target] for target in Texts(corpus, "target")])
            for corpus in corpora
        ]
    return concatenate_datasets(list(corpora))


def checked_weights(weights: Sequence[float] | None, count: int) -> list[float] | None:
    """The weights of training corpora, if they can be honoured; None if none differs from 1.

    Raises:
        UserError: They are not as many as the corpora, negative or infinite, or all 0.
    """
    if weights is None:
        return None
    if len(weights) != count:
        raise UserError(f"data.weights must have one number for each training corpus, not {len(weights)} for {count}")
    if not all(0 <= weight < float("inf") for weight in weights):
        raise UserError(f"data.weights must be numbers that are not negative, not {list(weights)}")
    if not any(weights):
        raise UserError("data.weights are all 0: an epoch would be empty")
    return list(weights) if set(weights) != {1} else None


def _without(corpus: Dataset, rows: np.ndarray) -> Dataset:
    """A corpus without some of its rows, as the pieces between them: a selection is read many times slower."""
    edges = [-1, *rows.tolist(), len(corpus)]
    pieces = ((before + 1, after - before - 1) for before, after in pairwise(edges))
    return Dataset(concat_tables([corpus.data.slice(first, count) for first, count in pieces if count]))
