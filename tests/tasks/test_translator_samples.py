"""Samples of translations: what they follow and what they depend on.

Shape suffixes: V = target vocabulary.
"""

from collections import Counter

import numpy as np
import pytest
import torch

from seqlab.decoding.sampling import Sampling
from seqlab.tasks.translator import Translator

from .translating import BOS, EOS, LINES, UNK, assert_same, encoded, log_probability, make


def test_a_sample_depends_on_the_seed_and_the_number_of_its_line_alone():
    task = make()
    draw = {"sampling": Sampling(temperature=1.5)}
    found = Translator([task]).decode(LINES, **draw, seed=7)
    assert_same(Translator([task], batch_tokens=1).decode(LINES, **draw, seed=7), found)
    assert_same(Translator([task]).decode(LINES[4:], **draw, seed=7, first=5), found[4:])
    assert_same(Translator([task, task]).decode(LINES, **draw, seed=7), found)
    assert Translator([task]).decode(LINES, **draw, seed=8) != found
    twice = Translator([task]).decode(["a b c"] * 2, **draw, seed=7)
    assert twice[0] != twice[1]


def test_samples_follow_the_model():
    """First tokens of many lines against the model's probabilities without the unknown token, within five standard
    deviations; the log-probability is the model's own."""
    task, count = make(), 3000
    found = [
        candidates[0]
        for candidates in Translator([task], batch_tokens=20_000).decode(
            ["a b c"] * count, sampling=Sampling(), seed=2, max_length=1
        )
    ]
    with torch.no_grad():
        log_probs_V = task.network.step(torch.tensor([BOS]), task.network.start(*encoded("a b c")))[0][0]
    probs_V = log_probs_V.exp()
    probs_V[[0, BOS, UNK]] = 0
    probs_V = (probs_V / probs_V.sum()).numpy()
    drawn = Counter(candidate.tokens[0] if candidate.tokens else EOS for candidate in found)
    assert probs_V[EOS] > 0.01 and len(drawn) > 4
    for token, probability in enumerate(probs_V):
        assert abs(drawn[token] - count * probability) <= 5 * np.sqrt(count * probability * (1 - probability))
    for candidate in found[:50]:
        expected = log_probability([task], "a b c", candidate.tokens)
        assert candidate.score == candidate.log_probability == pytest.approx(expected, rel=1e-9)


def test_samples_without_a_temperature_are_greedy_and_end_at_their_limits():
    task = make()
    with torch.no_grad():
        task.network.output.bias[UNK] = -50.0
    assert Translator([task]).translate(LINES, sampling=Sampling(temperature=0)) == task.translate(LINES, beam=1)
    with torch.no_grad():
        task.network.output.bias[EOS] = -50.0
    found = Translator([task]).decode(LINES, sampling=Sampling())
    assert [len(c[0].tokens) for c in found if c] == [
        2 * (len(line.split()) + 1) + 10 for line in LINES if line.strip()
    ]
