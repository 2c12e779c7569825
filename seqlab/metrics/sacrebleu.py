"""What all scores by sacreBLEU share: its counts of each sentence are summed, and its own code scores the sums."""

import copy
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np
import sacrebleu
import torch
from sacrebleu.metrics.base import Metric as Scorer
from torch import Tensor

from seqlab.errors import UserError
from seqlab.metrics.base import Metric

VARYING = -1
"""sacreBLEU's number of references where hypotheses have unequally many."""


class SacreBLEU(Metric):
    """The base of sacreBLEU's scores (Post 2018) of hypotheses against one or more references each.

    Only sacreBLEU's counts are kept, so the score is sacreBLEU's to the last digit however the corpus was cut into
    batches; TER's mean lengths of three, five, ... references are no whole numbers, and add up to float64's precision.

    Args:
        scorer: sacreBLEU's metric. Of its methods, the two that its own subclasses write are called: one takes the
            counts of sentences, the other scores their sum.
        size: Number of counts of a sentence.
        dtype: Of the counts: int64, or float64 where some are no whole numbers.
    """

    needs = "text"
    of_the_test_set = ("sentences", "references", "squares")
    # As sacreBLEU does, which then calculates in float32, too: the intervals are its own to the last digit.
    resampled_in = np.float32
    counts: Tensor
    sentences: Tensor
    references: Tensor
    squares: Tensor

    def __init__(self, scorer: Scorer, size: int, dtype: torch.dtype = torch.int64):
        super().__init__()
        self.sacrebleu: Any = scorer
        self.size = size
        self.add_state("counts", torch.zeros(size, dtype=dtype), dist_reduce_fx="sum")
        # The number of sentences, of their references, and of those squared, which tell whether all have equally many.
        for name in ("sentences", "references", "squares"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self._references = 1  # of the last score, for its signature, which is asked for after the states were reset

    def update(self, hypotheses: list[str], references: Sequence[str | Sequence[str]]) -> None:
        """Adds hypotheses and the references of each: a list of one or more, or text for a list of one.

        Raises:
            UserError: There are not as many lists as hypotheses, or one of them is empty.
        """
        name, lists = type(self).__name__, reference_lists(references)
        if len(lists) != len(hypotheses):
            raise UserError(f"{name}: {len(hypotheses)} hypotheses, but references of {len(lists)}")
        for hypothesis, given in zip(hypotheses, lists, strict=True):
            if not given:
                raise UserError(f"{name}: the hypothesis {hypothesis!r} has no reference")
        if not lists:
            return
        # sacreBLEU takes all first references, all second ones, ..., with None where a hypothesis has no more.
        counts = self.sacrebleu._extract_corpus_statistics(hypotheses, list(zip_longest(*lists)))
        total = [sum(column) for column in zip(*counts, strict=True)]
        self.counts += torch.tensor(total, dtype=self.counts.dtype, device=self.counts.device)
        self.sentences += len(lists)
        self.references += sum(map(len, lists))
        self.squares += sum(len(given) ** 2 for given in lists)

    def compute(self) -> Tensor:
        """The score, as sacreBLEU scales it."""
        self._references = self._reference_count(self.sums())
        return torch.tensor(self._score(self.counts.tolist()), dtype=torch.float64)

    def signature(self) -> str:
        """sacreBLEU's own signature of the last score."""
        return self._signature(self._references, {})

    def scorer(self) -> Callable[[np.ndarray], float]:
        return lambda sums: self._score(self._counts_of(sums))

    def signature_of(self, sums: np.ndarray, **resampling: object) -> str:
        return self._signature(self._reference_count(sums), resampling)

    def __deepcopy__(self, memo: dict[int, Any]) -> "SacreBLEU":
        # A copy calls the same scorer, which remembers nothing: tokenizers such as ja-mecab's cannot be copied.
        memo[id(self.sacrebleu)] = self.sacrebleu
        memo[id(self)] = copied = type(self).__new__(type(self))
        copied.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        return copied

    def _counts_of(self, sums: np.ndarray) -> Any:
        counts = sums[: self.size]
        return counts.copy() if counts.dtype == np.float32 else counts.tolist()

    def _score(self, counts: Any) -> float:
        """The score of summed counts, in which sacreBLEU may write."""
        return self.sacrebleu._compute_score_from_stats(counts).score

    def _reference_count(self, sums: np.ndarray) -> int:
        sentences, references, squares = (int(value) for value in sums[self.size :])
        # Equality in Cauchy-Schwarz: only if all have equally many.
        return VARYING if sentences * squares != references**2 else references // max(sentences, 1) or 1

    def _signature(self, references: int, resampling: dict[str, object]) -> str:
        signature = self.sacrebleu._SIGNATURE_TYPE({**vars(self.sacrebleu), "num_refs": references})
        for name, value in resampling.items():
            signature.update(name, value)
        return str(signature)


def reference_lists(references: Sequence[str | Sequence[str]]) -> list[Sequence[str]]:
    """The references of each hypothesis, where text stands for a list of one."""
    return [[given] if isinstance(given, str) else given for given in references]


def bleu_scorer(name: str, tokenize: str, smooth_method: str = "exp", **options: Any) -> sacrebleu.metrics.BLEU:
    """sacreBLEU's BLEU with checked options.

    Args:
        name: Of the metric, for the messages.
        tokenize: sacreBLEU's tokenizer.
        smooth_method: sacreBLEU's smoothing.
        **options: Others of sacreBLEU's.

    Raises:
        UserError: sacreBLEU has no such tokenizer or smoothing, or the tokenizer's package or model is missing.
    """
    for what, value, known in (
        ("tokenizer", tokenize, sacrebleu.metrics.BLEU.TOKENIZERS),
        ("smoothing", smooth_method, sacrebleu.metrics.BLEU.SMOOTH_DEFAULTS),
    ):
        if value not in known:
            raise UserError(f"{name}: no {what} {value!r} (there are: {', '.join(sorted(known))})")
    try:
        return sacrebleu.metrics.BLEU(tokenize=tokenize, smooth_method=smooth_method, **options)
    except (ImportError, OSError, RuntimeError, SystemExit) as error:  # a package to install, or a model to download
        reason = " ".join(str(error).split())
        raise UserError(f"{name}: sacreBLEU's tokenizer {tokenize!r} does not work here: {reason}") from error
