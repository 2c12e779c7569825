"""Greedy search.

Shape suffixes: B = sentences, R = sentences still running, V = size of the vocabulary.
"""

import torch
from torch import Tensor

from seqlab.decoding.stepper import Hypothesis, S, Stepper


@torch.no_grad()
def greedy_search(stepper: Stepper[S], state: S, limits_B: Tensor, *, bos: int, eos: int) -> list[Hypothesis]:
    """Takes the likeliest token at every step; at its limit an output must end. The same as a beam of 1.

    Args:
        stepper: The model.
        state: Its state before the first step, one row per sentence.
        limits_B: The most tokens each output may have, not counting the end of sentence.
        bos: Token that starts every output.
        eos: Token that ends one.

    Returns:
        One hypothesis per sentence; its score is its log-probability.
    """
    sentences = len(limits_B)
    outputs: list[list[int]] = [[] for _ in range(sentences)]
    logps_B = limits_B.new_zeros(sentences, dtype=torch.float64)
    running_R = torch.arange(sentences, device=limits_B.device)
    tokens_R = torch.full_like(running_R, bos)
    done_B = torch.zeros_like(limits_B, dtype=torch.bool)
    length = 0
    while not bool(done_B.all()):
        # Rows that have ended are carried along until half of them have: moving the others costs more than running
        # them.
        alive_R = ~done_B[running_R]
        if 2 * int(alive_R.sum()) <= len(running_R):
            keep_R = alive_R.nonzero()
            state, running_R, tokens_R = state.select(keep_R), running_R[alive_R], tokens_R[alive_R]
            alive_R = alive_R[alive_R]
        log_probs_RV, state = stepper.step(tokens_R, state)
        best_R, tokens_R = log_probs_RV.max(-1)
        at_limit_R = length >= limits_B[running_R]
        best_R = torch.where(at_limit_R, log_probs_RV[:, eos], best_R)
        tokens_R = tokens_R.masked_fill(at_limit_R, eos)
        length += 1
        logps_B[running_R] += torch.where(alive_R, best_R.double(), 0.0)
        for sentence, token, is_alive in zip(running_R.tolist(), tokens_R.tolist(), alive_R.tolist(), strict=True):
            if is_alive and token != eos:
                outputs[sentence].append(token)
        done_B[running_R] |= tokens_R == eos
    return [Hypothesis(tokens, logp, logp) for tokens, logp in zip(outputs, logps_B.tolist(), strict=True)]
