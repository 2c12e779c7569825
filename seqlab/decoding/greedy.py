"""Greedy search.

Shape suffixes: B = sentences, R = sentences still running, V = size of the vocabulary.
"""

import torch
from torch import Tensor

from seqlab.decoding.stepper import Hypothesis, S, Stepper


@torch.no_grad()
def greedy_search(stepper: Stepper[S], state: S, limits_B: Tensor, *, bos: int, eos: int) -> list[Hypothesis]:
    """Takes the likeliest token at every step.

    Args:
        stepper: The model.
        state: Its state before the first step, one row per sentence.
        limits_B: The most tokens each output may have, not counting the end of sentence.
        bos: Token that starts every output.
        eos: Token that ends one.

    Returns:
        One hypothesis per sentence; its score is the plain log-probability of its tokens (and of the end, if reached).
    """
    sentences = len(limits_B)
    outputs: list[list[int]] = [[] for _ in range(sentences)]
    scores = limits_B.new_zeros(sentences, dtype=torch.float64)
    running = torch.arange(sentences, device=limits_B.device)
    tokens_R = torch.full_like(running, bos)
    done = limits_B <= 0
    while not bool(done.all()):
        # Rows that have ended are carried along until half of them have: moving the others costs more than running
        # them.
        alive = ~done[running]
        if 2 * int(alive.sum()) <= len(running):
            keep = alive.nonzero()
            state, running, tokens_R = state.select(keep), running[alive], tokens_R[alive]
            alive = alive[alive]
        log_probs_RV, state = stepper.step(tokens_R, state)
        best_R, tokens_R = log_probs_RV.max(-1)
        scores[running] += torch.where(alive, best_R.double(), 0.0)
        for sentence, token, is_alive in zip(running.tolist(), tokens_R.tolist(), alive.tolist(), strict=True):
            if is_alive and token != eos:
                outputs[sentence].append(token)
        lengths = torch.tensor([len(outputs[sentence]) for sentence in running.tolist()], device=running.device)
        done[running] |= (tokens_R == eos) | (lengths >= limits_B[running])
    return [Hypothesis(tokens, score) for tokens, score in zip(outputs, scores.tolist(), strict=True)]
