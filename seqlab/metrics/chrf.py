"""chrF and chrF++, by sacreBLEU itself."""

import sacrebleu

from seqlab.errors import UserError
from seqlab.metrics.sacrebleu import SacreBLEU


class CHRF(SacreBLEU):
    """chrF (Popović 2015) in percent: the F-score of n-grams of characters; with words, chrF++ (Popović 2017).

    Of several references that with the best F-score counts.

    Args:
        char_order: Longest n-gram of characters.
        word_order: Longest n-gram of words; 0 is chrF, 2 is chrF++.
        beta: How much recall weighs against precision.
        lowercase: Compare without case.
        whitespace: Whether spaces are characters.
        eps_smoothing: Count orders without any n-gram as almost 0, rather than leave them out.

    Raises:
        UserError: An order or ``beta`` is out of range.
    """

    def __init__(
        self,
        char_order: int = 6,
        word_order: int = 0,
        beta: int = 2,
        lowercase: bool = False,
        whitespace: bool = False,
        eps_smoothing: bool = False,
    ):
        for name, value, least in (("char_order", char_order, 1), ("word_order", word_order, 0), ("beta", beta, 1)):
            if value < least:
                raise UserError(f"CHRF: {name} must be at least {least}, not {value}")
        scorer = sacrebleu.metrics.CHRF(
            char_order=char_order,
            word_order=word_order,
            beta=beta,
            lowercase=lowercase,
            whitespace=whitespace,
            eps_smoothing=eps_smoothing,
        )
        # For each order n-grams of the hypotheses, of the references, and of both.
        super().__init__(scorer, 3 * (char_order + word_order))
