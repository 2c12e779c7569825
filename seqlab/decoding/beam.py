"""Batched beam search.

Shape suffixes: B = sentences still running, K = width of the beam, R = B x K rows, V = size of the vocabulary,
N = candidates of a sentence at one step, t = tokens so far.
"""

import torch
from torch import Tensor

from seqlab.decoding.stepper import Hypothesis, S, Stepper
from seqlab.errors import UserError

NEVER = float("-inf")


@torch.no_grad()
def beam_search(
    stepper: Stepper[S],
    state: S,
    limits_B: Tensor,
    *,
    bos: int,
    eos: int,
    beam: int = 5,
    length_penalty: float = 1.0,
) -> list[list[Hypothesis]]:
    """Keeps the best ``beam`` unfinished hypotheses of every sentence, and its best finished ones.

    A finished hypothesis y scores ``log p(y) / |y|^length_penalty``, where ``|y|`` counts the end of sentence: 0
    compares plain log-probabilities and favours short outputs, 1 their mean per token. A hypothesis counts as finished
    when it is among the best ``beam`` candidates of its step. A sentence is done when it has ``beam`` finished
    hypotheses and the best unfinished one, at its present length, does not beat the worst of them. At its limit a
    hypothesis must end.

    Args:
        stepper: The model.
        state: Its state before the first step, one row per sentence.
        limits_B: The most tokens each output may have, not counting the end of sentence.
        bos: Token that starts every output.
        eos: Token that ends one.
        beam: Width K of the beam.
        length_penalty: Exponent of the length.

    Returns:
        For every sentence its finished hypotheses, at most ``beam``, the best first.

    Raises:
        UserError: The beam has no width.
    """
    if beam < 1:
        raise UserError(f"beam must be at least 1, not {beam}")
    device, sentences = limits_B.device, len(limits_B)
    results: list[list[Hypothesis]] = [[] for _ in range(sentences)]
    running = torch.arange(sentences, device=device)
    scores_BK = torch.zeros(sentences, 1, device=device)
    tokens_R = torch.full((sentences,), bos, device=device)
    history_BKt = limits_B.new_empty(sentences, 1, 0)
    finished_BK = torch.full((sentences, beam), NEVER, device=device)
    outputs_BKt = limits_B.new_full((sentences, beam, 0), eos)
    length = 0
    while len(running):
        log_probs_RV, state = stepper.step(tokens_R, state)
        length += 1
        vocabulary, width = log_probs_RV.shape[-1], scores_BK.shape[1]
        total_BKV = scores_BK[..., None] + log_probs_RV.unflatten(0, (-1, width))
        at_limit_B = length > limits_B[running]
        if bool(at_limit_B.any()):
            others_V = torch.arange(vocabulary, device=device) != eos
            total_BKV = total_BKV.masked_fill(at_limit_B[:, None, None] & others_V, NEVER)
        # Of 2K candidates at most K end here, since each hypothesis has one end: K remain to go on.
        top_BN, index_BN = total_BKV.flatten(1).topk(min(2 * beam, width * vocabulary))
        parents_BN, tokens_BN = index_BN // vocabulary, index_BN % vocabulary
        ends_BN = tokens_BN == eos
        extended_BNt = torch.cat([_gather(history_BKt, parents_BN), tokens_BN[..., None]], -1)

        # The finished: those kept so far and those that end now.
        penalty = float(length) ** length_penalty
        is_best_N = torch.arange(top_BN.shape[1], device=device) < beam
        ended_BN = (top_BN / penalty).masked_fill(~(ends_BN & is_best_N), NEVER)
        finished_BK, index_BK = torch.cat([finished_BK, ended_BN], 1).topk(beam)
        padded_BKt = torch.nn.functional.pad(outputs_BKt, (0, 1), value=eos)
        outputs_BKt = _gather(torch.cat([padded_BKt, extended_BNt], 1), index_BK)

        # The unfinished: the best K that do not end now.
        scores_BK, index_BK = top_BN.masked_fill(ends_BN, NEVER).topk(min(beam, top_BN.shape[1]))
        history_BKt = _gather(extended_BNt, index_BK)
        rows_BK = torch.arange(len(running), device=device)[:, None] * width + parents_BN.gather(1, index_BK)

        done_B = (finished_BK[:, -1] >= scores_BK[:, 0] / penalty) | (scores_BK[:, 0] == NEVER)
        if bool(done_B.any()):
            for b in done_B.nonzero()[:, 0].tolist():
                results[int(running[b])] = _hypotheses(finished_BK[b], outputs_BKt[b], eos)
            alive = ~done_B
            running, rows_BK, scores_BK, history_BKt = (
                running[alive],
                rows_BK[alive],
                scores_BK[alive],
                history_BKt[alive],
            )
            finished_BK, outputs_BKt = finished_BK[alive], outputs_BKt[alive]
        if len(running):
            state = state.select(rows_BK)
            tokens_R = history_BKt[..., -1].flatten()
    return results


def _gather(sequences_BKt: Tensor, index_BN: Tensor) -> Tensor:
    """Picks sequences by their number within each sentence: ``[B, N, t]``."""
    return sequences_BKt.gather(1, index_BN[..., None].expand(-1, -1, sequences_BKt.shape[-1]))


def _hypotheses(scores_K: Tensor, outputs_Kt: Tensor, eos: int) -> list[Hypothesis]:
    """The finished hypotheses of one sentence, without the slots that were never filled."""
    found = []
    for score, tokens in zip(scores_K.tolist(), outputs_Kt.tolist(), strict=True):
        if score > NEVER:
            found.append(Hypothesis(tokens[: tokens.index(eos)], score))
    return found
