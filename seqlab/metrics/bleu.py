"""BLEU, by sacreBLEU itself, and its brevity penalty and ratio of lengths."""

from collections.abc import Callable
from typing import Any

import numpy as np

from seqlab.metrics.sacrebleu import SacreBLEU, bleu_scorer

ORDER = 4


class BLEU(SacreBLEU):
    """Corpus BLEU (Papineni et al. 2002) in percent, as sacreBLEU computes it (Post 2018).

    Of several references each n-gram may match any, and the length closest to the hypothesis' counts.

    Args:
        tokenize: sacreBLEU's tokenizer: ``13a``, ``intl``, ``char``, ``zh``, ``none``, ...
        lowercase: Compare without case.
        smooth_method: ``exp``, ``floor``, ``add-k`` or ``none``.
        smooth_value: Parameter of ``floor`` and ``add-k``; sacreBLEU's default if None.

    Raises:
        UserError: sacreBLEU has no such tokenizer or smoothing, or the tokenizer's package is missing.
    """

    def __init__(
        self,
        tokenize: str = "13a",
        lowercase: bool = False,
        smooth_method: str = "exp",
        smooth_value: float | None = None,
    ):
        scorer = bleu_scorer("BLEU", tokenize, smooth_method, lowercase=lowercase, smooth_value=smooth_value)
        # Lengths of hypotheses and references, matches and totals of n-grams of order 1 to 4.
        super().__init__(scorer, 2 + 2 * ORDER)

    def unit_scorer(self) -> Callable[[np.ndarray], float]:
        """Without the orders that the sentence is too short for, as ``sacrebleu --sentence-level``."""

        def score(sums: np.ndarray) -> float:
            counts, bleu = self._counts_of(sums), self.sacrebleu
            return bleu.compute_bleu(
                counts[2 : 2 + ORDER],
                counts[2 + ORDER :],
                int(counts[0]),
                int(counts[1]),
                smooth_method=bleu.smooth_method,
                smooth_value=bleu.smooth_value,
                effective_order=True,
            ).score

        return score


class Lengths(SacreBLEU):
    """The base of scores by the lengths alone, of hypotheses and of the references closest in length.

    Args:
        tokenize: sacreBLEU's tokenizer: ``13a``, ``intl``, ``char``, ``zh``, ``none``, ...

    Raises:
        UserError: sacreBLEU has no such tokenizer, or the tokenizer's package is missing.
    """

    def __init__(self, tokenize: str = "13a"):
        super().__init__(bleu_scorer(type(self).__name__, tokenize, max_ngram_order=1), 4)

    def _signature(self, references: int, resampling: dict[str, object]) -> str:
        # Without what matters to matches alone: case and smoothing.
        full = super()._signature(references, resampling).split("|")
        return "|".join(part for part in full if part.split(":")[0] not in ("case", "eff", "smooth"))


class BrevityPenalty(Lengths):
    """BLEU's brevity penalty, from 0 to 1, by sacreBLEU: 1 unless the hypotheses are shorter than the references."""

    def _score(self, counts: Any) -> float:
        return self.sacrebleu._compute_score_from_stats(counts).bp


class LengthRatio(Lengths):
    """Tokens of the hypotheses over those of the references, by sacreBLEU; 0 without references' tokens."""

    higher_is_better = None

    def _score(self, counts: Any) -> float:
        return self.sacrebleu._compute_score_from_stats(counts).ratio
