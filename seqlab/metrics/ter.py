"""Translation edit rate, by sacreBLEU itself."""

import sacrebleu
import torch

from seqlab.metrics.sacrebleu import SacreBLEU


class TER(SacreBLEU):
    """Translation edit rate (Snover et al. 2006) in percent: edits and shifts of words over words of the references.

    Of several references that with the fewest edits counts, and their mean length.

    Args:
        normalized: Split off punctuation and replace entities first, as Tercom does.
        no_punct: Leave punctuation out.
        asian_support: With ``normalized``, split Chinese and Japanese into characters; with ``no_punct``, leave their
            punctuation out as well.
        case_sensitive: Compare with case.
    """

    higher_is_better = False

    def __init__(
        self,
        normalized: bool = False,
        no_punct: bool = False,
        asian_support: bool = False,
        case_sensitive: bool = False,
    ):
        scorer = sacrebleu.metrics.TER(
            normalized=normalized, no_punct=no_punct, asian_support=asian_support, case_sensitive=case_sensitive
        )
        # Edits, and the mean length of a sentence's references.
        super().__init__(scorer, 2, torch.float64)
