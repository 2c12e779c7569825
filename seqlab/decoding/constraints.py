"""Which tokens beam search may write next.

Shape suffixes: B = sentences still running, K = hypotheses of one sentence, V = size of the vocabulary, P = tokens of
the longest prefix, t = tokens so far, W = n-grams that a hypothesis has begun to write before.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from seqlab.decoding.search import Search
from seqlab.errors import UserError

NEVER = float("-inf")


class Constraints:
    """The lengths and prefixes of outputs, and their n-grams.

    Args:
        search: The settings.
        limits_B: The most tokens of each output, not counting the end of sentence.
        prefixes: The tokens each output begins with; nothing if None.
        eos: Token that ends an output.

    Raises:
        UserError: The shortest length or a prefix is beyond a limit, or a prefix holds the end of sentence.
    """

    def __init__(self, search: Search, limits_B: Tensor, prefixes: Sequence[Sequence[int]] | None, eos: int):
        self.search, self.limits_B, self.eos = search, limits_B, eos
        if prefixes is not None and len(prefixes) != len(limits_B):
            raise UserError(f"{len(prefixes)} prefixes are given for {len(limits_B)} sentences")
        limits = limits_B.tolist()
        if limits and search.min_length > min(limits):
            raise UserError(
                f"min_length {search.min_length} is above the limit of {min(limits)} tokens that a sentence has; "
                "set max_length"
            )
        given = [list(prefix) for prefix in prefixes or []]
        for number, (prefix, limit) in enumerate(zip(given, limits, strict=False), 1):
            if eos in prefix:
                raise UserError(f"prefix {number} holds the end of sentence, which nothing can follow; leave it out")
            if len(prefix) > limit:
                raise UserError(
                    f"prefix {number} has {len(prefix)} tokens, but its output may have {limit}; raise max_length"
                )
        self.longest = max(map(len, given), default=0)
        padded = [prefix + [-1] * (self.longest - len(prefix)) for prefix in given]
        self.prefixes_BP = limits_B.new_tensor(padded) if self.longest else limits_B.new_empty(len(limits_B), 0)

    def __call__(self, log_probs_BKV: Tensor, history_BKt: Tensor, running_B: Tensor) -> Tensor:
        """Log-probabilities of the next token, with -inf for those that may not come next.

        Args:
            log_probs_BKV: Those of the model; left as they are.
            history_BKt: The tokens of each hypothesis so far.
            running_B: The numbers of the sentences still running.
        """
        length = history_BKt.shape[-1]
        forced_B = torch.where(length >= self.limits_B[running_B], self.eos, -1)
        if length < self.longest:
            given_B = self.prefixes_BP[running_B, length]
            forced_B = torch.where(given_B >= 0, given_B, forced_B)
        is_forced_B = forced_B >= 0
        size = self.search.no_repeat_ngram_size
        if size and length >= size:
            log_probs_BKV = _without_repetitions(log_probs_BKV, history_BKt, size, ~is_forced_B)
        tokens_V = torch.arange(log_probs_BKV.shape[-1], device=log_probs_BKV.device)
        if length < self.search.min_length:
            log_probs_BKV = log_probs_BKV.masked_fill(tokens_V == self.eos, NEVER)
        if bool(is_forced_B.any()):
            others_BV = is_forced_B[:, None] & (tokens_V != forced_B[:, None])
            log_probs_BKV = log_probs_BKV.masked_fill(others_BV[:, None], NEVER)
        return log_probs_BKV


def _without_repetitions(log_probs_BKV: Tensor, history_BKt: Tensor, size: int, free_B: Tensor) -> Tensor:
    """-inf for each token that would end an n-gram that its hypothesis has written before.

    Args:
        log_probs_BKV: Log-probabilities of the next token.
        history_BKt: The tokens so far, at least ``size``.
        size: n.
        free_B: For which sentences.
    """
    starts_BKWn = history_BKt[..., :-1].unfold(-1, size - 1, 1)
    last_BKn = history_BKt[..., history_BKt.shape[-1] - (size - 1) :]
    repeats_BKW = (starts_BKWn == last_BKn[:, :, None]).all(-1) & free_B[:, None, None]
    b, k, first = repeats_BKW.nonzero(as_tuple=True)
    log_probs_BKV = log_probs_BKV.clone()
    log_probs_BKV[b, k, history_BKt[b, k, first + size - 1]] = NEVER
    return log_probs_BKV
