"""Attention computes the scores its docstring prints, and sees no padding.

Shape suffixes: B = sentences, T = queries, S = source steps, Q = width of a query, M = width of the memory.
"""

import math

import pytest
import torch

from seqlab.errors import UserError
from seqlab.models.attention import Attention

B, T, S, Q = 3, 4, 5, 7
LENGTHS = [5, 1, 3]
WIDTHS = {"dot": Q, "general": 2, "mlp": 2}
EXACT = {"rtol": 0, "atol": 1e-12}


def draw(*shape, seed):
    return torch.randn(shape, dtype=torch.double, generator=torch.Generator().manual_seed(seed))


def make(kind, **options):
    """Attention in float64 with random weights, queries ``[B, T, Q]`` and a padded memory ``[S, B, M]``."""
    attention = Attention(kind, Q, WIDTHS[kind], **options).double()
    with torch.no_grad():
        for seed, parameter in enumerate(attention.parameters()):
            parameter.copy_(draw(*parameter.shape, seed=seed))
    return attention, draw(B, T, Q, seed=10), draw(S, B, WIDTHS[kind], seed=11)


def score(attention, q, m, c=0.0):
    """The score of one query ``[Q]`` and one memory vector ``[M]`` that earlier queries looked at c in all."""
    if attention.kind == "dot":
        key = m + attention.cover * c if attention.coverage else m
        return attention.gain / math.sqrt(len(m)) * sum(a * b for a, b in zip(q, key, strict=True))
    W_m = attention.key.weight @ m
    if attention.coverage:
        W_m = W_m + attention.cover * c
    if attention.kind == "general":
        return attention.gain / math.sqrt(Q) * (q @ W_m)
    hidden = torch.tanh(attention.query.weight @ q + attention.query.bias + W_m)
    return attention.gain / math.sqrt(Q) * (attention.score @ hidden)


def gradients(results, inputs):
    return torch.autograd.grad(results, inputs, [draw(*result.shape, seed=seed) for seed, result in enumerate(results)])


@pytest.mark.parametrize("kind", WIDTHS)
def test_attention_is_its_equations(kind):
    """Contexts, weights and all gradients equal a loop over sentences, queries and source steps."""
    attention, query_BTQ, values_SBM = make(kind)
    inputs = (query_BTQ.requires_grad_(), values_SBM.requires_grad_(), *attention.parameters())
    results = attention(query_BTQ, attention.prepare(values_SBM, torch.tensor(LENGTHS)))
    contexts, weights = [], []
    for b in range(B):
        for t in range(T):
            powers = [score(attention, query_BTQ[b, t], values_SBM[s, b]).exp() for s in range(LENGTHS[b])]
            row = [power / sum(powers) for power in powers]
            contexts.append(sum(weight * values_SBM[s, b] for s, weight in enumerate(row)))
            weights.append(torch.stack(row + [torch.zeros((), dtype=torch.double)] * (S - len(row))))
    expected = tuple(torch.stack(rows).unflatten(0, (B, T)) for rows in (contexts, weights))
    torch.testing.assert_close(results, expected, **EXACT)
    torch.testing.assert_close(gradients(results, inputs), gradients(expected, inputs), rtol=0, atol=1e-11)


@pytest.mark.parametrize("kind", WIDTHS)
def test_coverage_is_its_equations(kind):
    """One query after the other sees the sum of the weights before it; each alone is given the sum."""
    attention, query_BTQ, values_SBM = make(kind, coverage=True)
    inputs = (query_BTQ.requires_grad_(), values_SBM.requires_grad_(), *attention.parameters())
    memory, before_BS = attention.prepare(values_SBM, torch.tensor(LENGTHS)), draw(B, S, seed=12).exp()
    before_BS = before_BS.masked_fill(memory.padding_BS, 0.0)
    results = attention.in_turn(query_BTQ, memory, before_BS)
    contexts, weights, sums = [], [], []
    for b in range(B):
        seen = list(before_BS[b, : LENGTHS[b]])
        for t in range(T):
            powers = [score(attention, query_BTQ[b, t], values_SBM[s, b], c).exp() for s, c in enumerate(seen)]
            row = [power / sum(powers) for power in powers]
            rest = [torch.zeros((), dtype=torch.double)] * (S - len(row))
            contexts.append(sum(weight * values_SBM[s, b] for s, weight in enumerate(row)))
            weights.append(torch.stack(row + rest))
            sums.append(torch.stack(seen + rest))
            seen = [c + weight for c, weight in zip(seen, row, strict=True)]
    expected = tuple(torch.stack(rows).unflatten(0, (B, T)) for rows in (contexts, weights))
    torch.testing.assert_close(results, expected, **EXACT)
    torch.testing.assert_close(gradients(results, inputs), gradients(expected, inputs), rtol=0, atol=1e-10)
    at_once = attention(query_BTQ, memory, torch.stack(sums).unflatten(0, (B, T)).detach())
    torch.testing.assert_close(at_once, expected, **EXACT)


@pytest.mark.parametrize("kind", WIDTHS)
def test_weights_sum_to_one_and_are_zero_on_padding(kind):
    attention, query_BTQ, values_SBM = make(kind)
    _, weights_BTS = attention(query_BTQ, attention.prepare(values_SBM, torch.tensor(LENGTHS)))
    torch.testing.assert_close(weights_BTS.sum(-1), torch.ones(B, T, dtype=torch.double), **EXACT)
    for b, length in enumerate(LENGTHS):
        assert (weights_BTS[b, :, :length] > 0).all()
        assert not weights_BTS[b, :, length:].any()


@pytest.mark.parametrize("kind", WIDTHS)
def test_what_padding_holds_changes_nothing(kind):
    """Nor how much padding there is: each sentence alone gives the same contexts."""
    attention, query_BTQ, values_SBM = make(kind)
    lengths_B = torch.tensor(LENGTHS)
    contexts_BTM, _ = attention(query_BTQ, attention.prepare(values_SBM, lengths_B))
    other_SBM = values_SBM.clone()
    for b, length in enumerate(LENGTHS):
        other_SBM[length:, b] = 1e3
        alone = attention.prepare(values_SBM[:length, b : b + 1], lengths_B[b : b + 1])
        torch.testing.assert_close(attention(query_BTQ[b : b + 1], alone)[0], contexts_BTM[b : b + 1], **EXACT)
    torch.testing.assert_close(attention(query_BTQ, attention.prepare(other_SBM, lengths_B))[0], contexts_BTM, **EXACT)


@pytest.mark.parametrize("kind", WIDTHS)
def test_a_selected_memory_is_that_of_the_selected_sentences(kind):
    attention, query_BTQ, values_SBM = make(kind)
    memory = attention.prepare(values_SBM, torch.tensor(LENGTHS))
    sentences = torch.tensor([2, 0])
    contexts_BTM, weights_BTS = attention(query_BTQ, memory)
    selected = attention(query_BTQ[sentences], memory.select(sentences))
    torch.testing.assert_close(selected, (contexts_BTM[sentences], weights_BTS[sentences]), **EXACT)


def test_the_gain_is_learned_and_starts_at_four():
    for kind, width in WIDTHS.items():
        gain = dict(Attention(kind, Q, width).named_parameters())["gain"]
        assert gain.item() == 4.0
        assert gain.requires_grad


@pytest.mark.parametrize(
    ("kind", "memory_size", "problem"),
    [
        ("dot", 5, "attention dot needs decoder states as wide as encoder outputs, not 7 and 5"),
        ("cosine", 7, "no attention named 'cosine' .there are: dot, general, mlp"),
    ],
)
def test_impossible_and_unknown_kinds_are_refused(kind, memory_size, problem):
    with pytest.raises(UserError, match=problem):
        Attention(kind, Q, memory_size)
