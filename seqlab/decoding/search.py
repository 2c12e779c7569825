"""What a search looks for: the settings of beam search.

Shape suffix: B = sentences.
"""

import math
from dataclasses import dataclass, fields, replace
from typing import Any

from torch import Tensor

from seqlab.errors import UserError
from seqlab.registry import nearest
from seqlab.specs import check_range

NORMALIZATIONS = ("average", "wu")
MOST_BEAM = 10_000
RANGES = {
    **dict.fromkeys(("n_best", "beam"), (1, MOST_BEAM)),
    **dict.fromkeys(("no_repeat_ngram_size", "min_length"), (0, 10**9)),
    "max_length": (1, 10**9),
}
"""What whole numbers may be: the most are beyond what anybody can mean."""


@dataclass(frozen=True)
class Search:
    """Settings of a beam search.

    A finished hypothesis y of a source x scores ``log p(y | x) / lp(y) + cp(x, y)``, where ``|y|`` counts the end of
    sentence.

    Args:
        beam: Width K of the beam; 1 is greedy search.
        length_penalty: Exponent a of the length: 0 compares plain log-probabilities and favours short outputs.
        length_normalization: ``average``: ``lp(y) = |y|^a``, for a = 1 the mean per token. ``wu``: ``lp(y) =
            (5 + |y|)^a / 6^a`` (Wu et al., "Google's neural machine translation system", 2016, equation 14).
        coverage_penalty: Weight b of ``cp(x, y) = b * sum_i log(min(sum_j p_ij, 1))``, where p_ij is how much the j-th
            output token attends to source token i (the same equation): source tokens that were left out cost.
        n_best: How many hypotheses of each sentence to give.
        no_repeat_ngram_size: Never write an n-gram of this many tokens twice (Paulus et al., "A deep reinforced model
            for abstractive summarization", 2018, section 2.5); 0 allows it.
        min_length: The fewest tokens of an output, not counting the end of sentence.
        max_length: The most; twice the source's tokens and ten if None.

    Raises:
        UserError: A setting is out of its range, or two contradict each other.
    """

    beam: int = 5
    length_penalty: float = 1.0
    length_normalization: str = "average"
    coverage_penalty: float = 0.0
    n_best: int = 1
    no_repeat_ngram_size: int = 0
    min_length: int = 0
    max_length: int | None = None

    def __post_init__(self) -> None:
        for name, (least, most) in RANGES.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise UserError(f"{name} must be at least {least}, not {value}")
            if value is not None:
                check_range(name, value, least, most)
        if not -10 <= self.length_penalty <= 10:
            raise UserError(f"length_penalty must be between -10 and 10, not {self.length_penalty}")
        if self.length_normalization not in NORMALIZATIONS:
            raise UserError(
                f"length_normalization must be one of {', '.join(NORMALIZATIONS)}, not {self.length_normalization!r}"
            )
        if not 0 <= self.coverage_penalty < math.inf:
            raise UserError(f"coverage_penalty must be at least 0, not {self.coverage_penalty}")
        if self.n_best > self.beam:
            raise UserError(
                f"n_best {self.n_best} is more than a beam of {self.beam} finds; take --beam {self.n_best} or wider"
            )
        if self.max_length is not None and self.min_length > self.max_length:
            raise UserError(f"min_length {self.min_length} is above max_length {self.max_length}")

    def limits(self, source_lengths_B: Tensor) -> Tensor:
        """The most tokens of each sentence's output, not counting the end of sentence.

        Args:
            source_lengths_B: Number of source tokens of each sentence.
        """
        if self.max_length is None:
            return 2 * source_lengths_B + 10
        return source_lengths_B.new_full(source_lengths_B.shape, self.max_length)


def changed(search: Search, changes: dict[str, Any]) -> Search:
    """A search with other settings; None leaves one as it is.

    Raises:
        UserError: A setting is unknown or out of its range, or two contradict each other.
    """
    known = [field.name for field in fields(Search)]
    for name in changes:
        if name not in known:
            raise UserError(f"a search has no setting {name!r}{nearest(name, known)} (it has: {', '.join(known)})")
    return replace(search, **{name: value for name, value in changes.items() if value is not None})
