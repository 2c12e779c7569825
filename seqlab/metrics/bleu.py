"""BLEU, by sacreBLEU itself."""

from collections.abc import Sequence
from itertools import zip_longest

import sacrebleu
import torch
from torch import Tensor

from seqlab.errors import UserError
from seqlab.metrics.base import Metric

MANY = 1 << 30
VARYING = -1
"""sacreBLEU's number of references where hypotheses have unequally many."""


class BLEU(Metric):
    """Corpus BLEU (Papineni et al. 2002) in percent, as sacreBLEU computes it (Post 2018).

    Only sacreBLEU's integer counts are kept here, so the score is sacreBLEU's to the last digit however the corpus was
    cut into batches. Of several references each n-gram may match any, and the length closest to the hypothesis' counts.

    Args:
        tokenize: sacreBLEU's tokenizer: ``13a``, ``intl``, ``char``, ``zh``, ``none``, ...
        lowercase: Compare without case.
        smooth_method: ``exp``, ``floor``, ``add-k`` or ``none``.
        smooth_value: Parameter of ``floor`` and ``add-k``; sacreBLEU's default if None.

    Raises:
        UserError: sacreBLEU has no such tokenizer.
    """

    needs = "text"
    counts: Tensor
    fewest: Tensor
    most: Tensor

    def __init__(
        self,
        tokenize: str = "13a",
        lowercase: bool = False,
        smooth_method: str = "exp",
        smooth_value: float | None = None,
    ):
        super().__init__()
        if tokenize not in sacrebleu.metrics.BLEU.TOKENIZERS:
            raise UserError(
                f"BLEU: no tokenizer {tokenize!r} (there are: {', '.join(sorted(sacrebleu.metrics.BLEU.TOKENIZERS))})"
            )
        self.bleu = sacrebleu.metrics.BLEU(
            tokenize=tokenize, lowercase=lowercase, smooth_method=smooth_method, smooth_value=smooth_value
        )
        # Counts before smoothing: add-k writes into the counts of the score it returns.
        self.counter = sacrebleu.metrics.BLEU(tokenize=tokenize, lowercase=lowercase, smooth_method="none")
        # Matches and totals of n-grams of order 1 to 4, length of the hypotheses and of the references.
        self.add_state("counts", torch.zeros(10, dtype=torch.int64), dist_reduce_fx="sum")
        # The least and greatest number of references of a hypothesis.
        self.add_state("fewest", torch.tensor(MANY), dist_reduce_fx="min")
        self.add_state("most", torch.tensor(0), dist_reduce_fx="max")
        self.bleu.num_refs = 1  # of the last score, for its signature, which is asked for after the states were reset

    def update(self, hypotheses: list[str], references: Sequence[str | Sequence[str]]) -> None:
        """Adds hypotheses and the references of each: a list of one or more, or text for a list of one."""
        lists = [[given] if isinstance(given, str) else given for given in references]
        # sacreBLEU takes all first references, all second ones, ..., with None where a hypothesis has no more.
        score = self.counter.corpus_score(hypotheses, list(zip_longest(*lists)))
        counts = [*score.counts, *score.totals, score.sys_len, score.ref_len]
        self.counts += torch.tensor(counts, device=self.counts.device)
        self.fewest = self.fewest.clamp(max=min(map(len, lists)))
        self.most = self.most.clamp(min=max(map(len, lists)))

    def compute(self) -> Tensor:
        """BLEU between 0 and 100."""
        counts, fewest, most = self.counts.tolist(), int(self.fewest), int(self.most)
        self.bleu.num_refs = (most or 1) if fewest >= most else VARYING
        score = self.bleu.compute_bleu(
            correct=counts[:4],
            total=counts[4:8],
            sys_len=counts[8],
            ref_len=counts[9],
            smooth_method=self.bleu.smooth_method,
            smooth_value=self.bleu.smooth_value,
        )
        return torch.tensor(score.score, dtype=torch.float64)

    def signature(self) -> str:
        """sacreBLEU's own signature of the last score."""
        return str(self.bleu.get_signature())
