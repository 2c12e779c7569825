"""Small tasks that translate, and a plain loop over one sentence that says how likely an output is, in float64.

Shape suffixes: V = target vocabulary.
"""

import pytest
import torch

from seqlab.data.words import Words
from seqlab.metrics import Perplexity
from seqlab.tasks import Translation

BOS, EOS, UNK = 2, 3, 1
WORDS, MOTS = Words(["a", "b", "c", "d"]), Words(["u", "v", "w", "x", "y"])
LINES = ["b", "a b c d d", "", "c c", "d b a a b c c", "  ", "a d b", "c", "b a d c"]


def make(seed=1, tokenizers=(WORDS, MOTS), **options):
    """A task in float64 with large random weights, which writes no padding."""
    sizes = {"embedding_size": 6, "encoder_size": 4, "decoder_size": 5, "tying": "two-way"}
    options = {"metrics": {"perplexity": Perplexity()}, "optimizer": torch.optim.SGD, **sizes, **options}
    task = Translation(*tokenizers, "lstm", **options).double().eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in task.parameters():
            parameter.normal_(std=0.8, generator=generator)
        task.network.output.bias[[0, BOS]] = -50.0
    return task


def encoded(line):
    tokens = [*WORDS.encode(line), EOS]
    return torch.tensor(tokens)[:, None], torch.tensor([len(tokens)])


def mean_log_probs(networks, states, token, mean):
    """Log-probabilities of the next token, averaged as the definition has it, and the new states."""
    steps = [network.step(torch.tensor([token]), state) for network, state in zip(networks, states, strict=True)]
    probs = torch.stack([log_probs_1V[0].exp() for log_probs_1V, _ in steps])
    averaged_V = probs.mean(0) if mean == "probabilities" else probs.log().mean(0).exp()
    return averaged_V.log(), [state for _, state in steps]


@torch.no_grad()
def log_probability(tasks, line, tokens, mean="probabilities"):
    """The sum over tokens and the end of sentence, in a plain loop."""
    networks = [task.network for task in tasks]
    states, total = [network.start(*encoded(line)) for network in networks], 0.0
    for last, token in zip([BOS, *tokens], [*tokens, EOS], strict=True):
        log_probs_V, states = mean_log_probs(networks, states, last, mean)
        total += log_probs_V[token].item()
    return total


def assert_same(found, expected):
    assert [[c.tokens for c in candidates] for candidates in found] == [[c.tokens for c in one] for one in expected]
    for candidates, others in zip(found, expected, strict=True):
        for candidate, other in zip(candidates, others, strict=True):
            assert candidate.text == other.text
            assert candidate.score == pytest.approx(other.score, rel=1e-12)
            assert candidate.log_probability == pytest.approx(other.log_probability, rel=1e-12)
