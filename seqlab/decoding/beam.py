"""Batched beam search.

Shape suffixes: B = sentences still running, K = width of the beam, R = B x K rows, V = size of the vocabulary,
N = candidates of a sentence at one step, t = tokens so far.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from seqlab.decoding.constraints import NEVER, Constraints
from seqlab.decoding.greedy import greedy_search
from seqlab.decoding.penalties import coverage_penalties, length_normalizer, with_coverage
from seqlab.decoding.search import Search
from seqlab.decoding.stepper import AttentiveState, Hypothesis, S, Stepper
from seqlab.errors import UserError

BLOCK = 64
"""Tokens whose largest log-probability is looked at before they are."""


@torch.no_grad()
def beam_search(
    stepper: Stepper[S],
    state: S,
    limits_B: Tensor,
    *,
    bos: int,
    eos: int,
    search: Search,
    prefixes: Sequence[Sequence[int]] | None = None,
) -> list[list[Hypothesis]]:
    """Keeps the best ``search.beam`` unfinished hypotheses of every sentence, and its best finished ones.

    Unfinished hypotheses are compared by their log-probability, finished ones by their score; see
    :class:`~seqlab.decoding.search.Search`. A hypothesis counts as finished when it is among the best ``beam``
    candidates of its step. A sentence is done when it has ``beam`` finished hypotheses and no unfinished one, scored as
    if this step had ended it, beats the worst of them. At its limit a hypothesis must end.

    Args:
        stepper: The model.
        state: Its state before the first step, one row per sentence.
        limits_B: The most tokens each output may have, not counting the end of sentence; see :meth:`limits
            <seqlab.decoding.search.Search.limits>`, which is where ``search.max_length`` counts.
        bos: Token that starts every output.
        eos: Token that ends one.
        search: The settings.
        prefixes: The tokens each output begins with, for each sentence, of any lengths. Their log-probabilities count,
            and so do their n-grams, though none of them is blocked.

    Returns:
        For every sentence its finished hypotheses, at most ``search.n_best``, the best first.

    Raises:
        UserError: The shortest length or a prefix is beyond a limit, a prefix holds the end of sentence, a coverage
            penalty is asked of a model without attention, or no output keeps to the settings.
    """
    weight, beam, device = search.coverage_penalty, search.beam, limits_B.device
    if beam == 1 and prefixes is None and not (weight or search.no_repeat_ngram_size or search.min_length):
        found = greedy_search(stepper, state, limits_B, bos=bos, eos=eos)
        return [[_normalized(hypothesis, search)] for hypothesis in found]
    constraints = Constraints(search, limits_B, prefixes, eos)
    if weight:
        state = with_coverage(state)
    results: list[list[Hypothesis]] = [[] for _ in limits_B]
    running_B = torch.arange(len(limits_B), device=device)
    tokens_R = torch.full_like(running_B, bos)
    # Of the unfinished: log-probabilities and tokens; of the finished their scores as well.
    logps_BK = torch.zeros(len(limits_B), 1, device=device)
    history_BKt = limits_B.new_empty(len(limits_B), 1, 0)
    finished_BK = torch.full((len(limits_B), beam), NEVER, device=device)
    finished_logps_BK = finished_BK
    outputs_BKt = limits_B.new_full((len(limits_B), beam, 0), eos)
    length = 0
    while len(running_B):
        log_probs_RV, state = stepper.step(tokens_R, state)
        length += 1
        width = logps_BK.shape[1]
        log_probs_BKV = constraints(log_probs_RV.unflatten(0, (-1, width)), history_BKt, running_B)
        # Of 2K candidates at most K end here, since each hypothesis has one end: K remain to go on.
        top_BN, parents_BN, tokens_BN = best_candidates(logps_BK, log_probs_BKV, 2 * beam)
        ends_BN = tokens_BN == eos
        extended_BNt = torch.cat([_gather(history_BKt, parents_BN), tokens_BN[..., None]], -1)
        scores_BN = top_BN / length_normalizer(search, length)
        if weight:
            penalties_BK = coverage_penalties(weight, cast(AttentiveState, state))
            scores_BN = scores_BN + penalties_BK.gather(1, parents_BN)

        # The finished: those kept so far and those that end now.
        ended_BN = scores_BN.masked_fill(~ends_BN, NEVER)
        ended_BN[:, beam:] = NEVER
        finished_BK, index_BK = torch.cat([finished_BK, ended_BN], 1).topk(beam)
        finished_logps_BK = torch.cat([finished_logps_BK, top_BN], 1).gather(1, index_BK)
        outputs_BKt = _gather(torch.cat([functional.pad(outputs_BKt, (0, 1), value=eos), extended_BNt], 1), index_BK)

        # The unfinished: the best K that do not end now.
        logps_BK, index_BK = top_BN.masked_fill(ends_BN, NEVER).topk(min(beam, top_BN.shape[1]))
        history_BKt, parents_BK = _gather(extended_BNt, index_BK), parents_BN.gather(1, index_BK)
        rows_BK = torch.arange(len(running_B), device=device)[:, None] * width + parents_BK
        hopes_B = scores_BN.gather(1, index_BK).masked_fill(logps_BK == NEVER, NEVER).amax(1)

        done_B = (finished_BK[:, -1] >= hopes_B) | ~(logps_BK[:, 0] > NEVER)  # a NaN ends it too
        if bool(done_B.any()):
            for b in done_B.nonzero()[:, 0].tolist():
                kept = (finished_BK[b], finished_logps_BK[b], outputs_BKt[b])
                results[int(running_B[b])] = _hypotheses(*kept, eos)[: search.n_best]
            alive_B = ~done_B
            running_B, rows_BK, logps_BK, history_BKt = (
                part[alive_B] for part in (running_B, rows_BK, logps_BK, history_BKt)
            )
            finished_BK, finished_logps_BK, outputs_BKt = (
                part[alive_B] for part in (finished_BK, finished_logps_BK, outputs_BKt)
            )
        if len(running_B):
            state = state.select(rows_BK)
            tokens_R = history_BKt[..., -1].flatten()
    if not all(results):
        raise UserError(_why_nothing(search))
    return results


def best_candidates(logps_BK: Tensor, log_probs_BKV: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The likeliest extensions of each sentence's hypotheses by one token.

    Args:
        logps_BK: Log-probabilities of the hypotheses.
        log_probs_BKV: Of the next token of each.
        count: How many to give; fewer where there are not as many.

    Returns:
        Log-probabilities, the numbers of the extended hypotheses, and the tokens, each ``[B, N]``, the best first.
    """
    # Equal to topk over all K x V sums, but that takes several times as long as one over the blocks' largest: the N
    # largest sums lie in the N blocks with the largest ones, or behind the last whole block.
    width, vocabulary = log_probs_BKV.shape[1:]
    device, blocks = log_probs_BKV.device, vocabulary // BLOCK
    whole_BKXY = log_probs_BKV[..., : blocks * BLOCK].unflatten(-1, (blocks, BLOCK))
    peaks_BX = (logps_BK[..., None] + whole_BKXY.amax(-1)).flatten(1)
    block_BX = peaks_BX.topk(min(count, peaks_BX.shape[1])).indices
    first_BX = block_BX // blocks * vocabulary + block_BX % blocks * BLOCK if blocks else block_BX
    within_BX = (first_BX[..., None] + torch.arange(BLOCK, device=device)).flatten(1)
    behind_X = torch.arange(width * vocabulary, device=device).view(width, -1)[:, blocks * BLOCK :].flatten()
    index_BX = torch.cat([within_BX, behind_X.expand(len(block_BX), -1)], 1)
    sums_BX = log_probs_BKV.flatten(1).gather(1, index_BX) + logps_BK.gather(1, index_BX // vocabulary)
    top_BN, chosen_BN = sums_BX.topk(min(count, sums_BX.shape[1]))
    index_BN = index_BX.gather(1, chosen_BN)
    return top_BN, index_BN // vocabulary, index_BN % vocabulary


def _gather(sequences_BKt: Tensor, index_BN: Tensor) -> Tensor:
    """Picks sequences by their number within each sentence: ``[B, N, t]``."""
    return sequences_BKt.gather(1, index_BN[..., None].expand(-1, -1, sequences_BKt.shape[-1]))


def _hypotheses(scores_K: Tensor, logps_K: Tensor, outputs_Kt: Tensor, eos: int) -> list[Hypothesis]:
    """The finished hypotheses of one sentence, without the slots that were never filled."""
    found = zip(scores_K.tolist(), logps_K.tolist(), outputs_Kt.tolist(), strict=True)
    return [Hypothesis(tokens[: tokens.index(eos)], score, logp) for score, logp, tokens in found if score > NEVER]


def _why_nothing(search: Search) -> str:
    """What to say of a sentence without any hypothesis."""
    if search.no_repeat_ngram_size and search.min_length:
        return (
            f"a sentence has no output of at least {search.min_length} tokens that writes no "
            f"{search.no_repeat_ngram_size}-gram twice; lower min_length, or raise no_repeat_ngram_size"
        )
    return "the model gives probabilities that are no numbers: its training has diverged; take an earlier checkpoint"


def _normalized(hypothesis: Hypothesis, search: Search) -> Hypothesis:
    """A hypothesis of greedy search, scored as in beam search."""
    logp = hypothesis.log_probability
    return Hypothesis(hypothesis.tokens, logp / length_normalizer(search, len(hypothesis.tokens) + 1), logp)
