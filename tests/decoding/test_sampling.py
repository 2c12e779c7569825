"""Sampling against the definitions, written out with lists, and against plain loops over one row.

Shape suffixes: R = rows, V = size of the vocabulary.
"""

import itertools
import math
from typing import NamedTuple

import pytest
import torch

from seqlab.decoding.sampling import Sampling, make_generators, sample
from seqlab.errors import UserError

V, START, EOS = 7, 1, 2


def defined(logits, seen, sampling):
    """The distribution of one row by its definition, token by token."""
    logits = list(logits)
    for token in seen:
        penalty = sampling.repetition_penalty
        logits[token] = logits[token] / penalty if logits[token] > 0 else logits[token] * penalty
    if sampling.temperature == 0:
        return [float(token == logits.index(max(logits))) for token in range(len(logits))]
    weights = [math.exp(logit / sampling.temperature) for logit in logits]
    kept = sorted(range(len(logits)), key=lambda token: -weights[token])[: sampling.top_k]
    total, nucleus = sum(weights[token] for token in kept), []
    while sum(weights[token] / total for token in nucleus) < (sampling.top_p or 1) and len(nucleus) < len(kept):
        nucleus.append(kept[len(nucleus)])
    total = sum(weights[token] for token in nucleus)
    return [weights[token] / total if token in nucleus else 0.0 for token in range(len(logits))]


SETTINGS = [
    Sampling(temperature, top_k, top_p, penalty)
    for temperature, top_k, top_p, penalty in itertools.product(
        (0.3, 1.0, 2.5), (None, 1, 3, 50), (None, 0.01, 0.6, 0.9, 1.0), (1.0, 1.7, 0.6)
    )
]


@pytest.mark.parametrize("sampling", [*SETTINGS, Sampling(0.0), Sampling(0.0, repetition_penalty=3.0)], ids=str)
def test_probabilities_are_those_of_the_definition(sampling):
    logits_RV = 2 * torch.randn(5, V, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    seen = [{0, 4}, set(), {1, 2, 3, 4, 5, 6}, {6}, {2, 3}]
    seen_RV = torch.tensor([[token in row for token in range(V)] for row in seen])
    expected = [defined(logits, row, sampling) for logits, row in zip(logits_RV.tolist(), seen, strict=True)]
    found_RV = sampling.probabilities(logits_RV, seen_RV)
    assert found_RV.dtype == torch.float64
    torch.testing.assert_close(found_RV, torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [0.2, 0.4, 0.1, 0.3]),
        ({"temperature": 0.5}, [4 / 30, 16 / 30, 1 / 30, 9 / 30]),
        ({"temperature": 0}, [0, 1, 0, 0]),
        ({"top_k": 2}, [0, 4 / 7, 0, 3 / 7]),
        ({"top_k": 9}, [0.2, 0.4, 0.1, 0.3]),
        ({"top_p": 0.5}, [0, 4 / 7, 0, 3 / 7]),
        ({"top_p": 1e-9}, [0, 1, 0, 0]),
        ({"top_p": 0.95}, [0.2, 0.4, 0.1, 0.3]),
        # Of the three likeliest, 4/9 + 3/9 are already above 0.76; of all four, 0.4 + 0.3 would not be.
        ({"top_k": 3, "top_p": 0.76}, [0, 4 / 7, 0, 3 / 7]),
        ({"temperature": 0.5, "top_p": 0.84}, [4 / 29, 16 / 29, 0, 9 / 29]),
    ],
)
def test_a_distribution_by_hand(settings, expected):
    probs_1V = torch.tensor([[0.2, 0.4, 0.1, 0.3]], dtype=torch.float64)
    for logits_1V in (probs_1V.log(), probs_1V.log() + 5):
        found_1V = Sampling(**settings).probabilities(logits_1V)
        torch.testing.assert_close(found_1V, torch.tensor([expected], dtype=torch.float64))


def test_the_penalty_by_hand():
    seen_1V = torch.tensor([[True, True, False, False]])
    found_1V = Sampling(repetition_penalty=2.0).probabilities(torch.tensor([[3.0, -1.0, 3.0, -1.0]]), seen_1V)
    torch.testing.assert_close(found_1V, torch.tensor([[1.5, -2.0, 3.0, -1.0]]).double().softmax(-1))


def test_equally_likely_tokens_at_a_border_are_cut():
    even_1V = torch.zeros(1, 4)
    assert Sampling(top_k=3).probabilities(even_1V).count_nonzero() == 3
    assert Sampling(top_p=0.5).probabilities(even_1V)[0].tolist() == [0.5, 0.5, 0, 0]
    for sampling in (Sampling(top_k=3), Sampling(top_p=2.5 / 5000)):
        assert sampling.probabilities(torch.zeros(1, 5000))[0].nonzero()[:, 0].tolist() == [0, 1, 2]


def test_no_temperature_is_too_extreme():
    logits_1V = torch.tensor([[-900.0, 80.0, 79.0, -math.inf]])
    for tiny in (1e-300, 5e-324):
        assert Sampling(tiny).probabilities(logits_1V)[0].tolist() == [0, 1, 0, 0]
    assert Sampling(1e308).probabilities(logits_1V)[0].tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0])


class Prefixes(NamedTuple):
    rows: list


class Oracle:
    """A hand-made model whose logits are random numbers that depend on the whole prefix."""

    def __init__(self, seed=0, **added):
        self.seed, self.added, self.steps = seed, added, 0

    def logits(self, prefix):
        number = self.seed
        for digit in prefix:
            number = number * 11 + digit + 1
        logits_V = 1.5 * torch.randn(V, dtype=torch.double, generator=torch.Generator().manual_seed(number % 2**63))
        for token, more in self.added.items():
            logits_V[int(token[1:])] += more
        return logits_V

    def step(self, tokens_R, state):
        self.steps += 1
        rows = [(*prefix, token) for prefix, token in zip(state.rows, tokens_R.tolist(), strict=True)]
        return torch.stack([self.logits(prefix) for prefix in rows]), Prefixes(rows)

    def sample(self, rows, limit, sampling=Sampling(), seed=5, **options):  # noqa: B008  (read, never changed)
        """The tokens of the given rows, which all begin alike."""
        generators = [generator for row in rows for generator in make_generators(seed, range(row, row + 1))]
        steps = list(
            sample(
                self,
                Prefixes([()] * len(rows)),
                torch.full((len(rows),), START),
                limit,
                sampling=sampling,
                generators=generators,
                eos=EOS,
                **options,
            )
        )
        return [[step[row] for step in steps] for row in range(len(rows))]


def looped(oracle, row, limit, sampling, seed=5, lines=None, forbidden=(), seen=()):
    """One row as it is documented."""
    (generator,), prefix = make_generators(seed, range(row, row + 1)), (START,)
    while len(prefix) <= limit:
        logits = oracle.logits(prefix).tolist()
        for token in forbidden:
            logits[token] = -math.inf
        probs = defined(logits, {*seen, *prefix[1:]} - {EOS}, sampling)
        draw, token = torch.rand((), dtype=torch.float64, generator=generator).item(), 0
        while sum(probs[: token + 1]) <= draw:
            token += 1
        prefix = (*prefix, token)
        if lines is not None and prefix.count(EOS) == lines:
            return [*prefix[1:-1], *[None] * (limit + 2 - len(prefix))]
    return list(prefix[1:])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"forbidden": [0, 5]},
        {"seen": [3, 6]},
        {"lines": 1},
        {"lines": 2, "forbidden": [3], "seen": [4]},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "sampling", [Sampling(), Sampling(0.0), Sampling(0.7, 4, 0.8), Sampling(repetition_penalty=2.5)], ids=str
)
def test_tokens_are_those_of_a_loop_over_each_row(sampling, options):
    oracle, limit = Oracle(), 12
    expected = [looped(oracle, row, limit, sampling, **options) for row in range(6)]
    found = oracle.sample(range(6), limit, sampling, **options)
    longest = len(found[0])
    assert [tokens + [None] * (limit - longest) for tokens in found] == expected
    if "lines" not in options:
        assert longest == limit and (sampling.temperature == 0 or EOS in itertools.chain(*expected))


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(0.6, 5, 0.9, 1.3)], ids=str)
def test_a_row_does_not_depend_on_the_others(sampling):
    together = Oracle().sample(range(7), 25, sampling)
    for rows in ([0], [4], [6, 2], [3, 3, 1]):
        assert Oracle().sample(rows, 25, sampling) == [together[row] for row in rows]
    assert len({tuple(tokens) for tokens in together}) == 7
    assert Oracle().sample(range(7), 25, sampling, seed=6) != together


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(1.4, 4, 0.9)], ids=str)
def test_frequencies_are_the_probabilities(sampling):
    """By Pearson's statistic: its mean is the number of free cells, its variance twice that."""
    logits_V, rows, steps = Oracle().logits((START,)), 40, 500

    class Steady:
        def step(self, tokens_R, state):
            return logits_V.expand(len(tokens_R), -1), state

    found = Oracle.sample(Steady(), range(rows), steps, sampling)
    expected = [rows * steps * p for p in defined(logits_V.tolist(), (), sampling)]
    for by_row in (False, True):  # all draws, and pairs of a token and the one of the next row
        if by_row:
            pairs = [pair for row in range(rows - 1) for pair in zip(found[row], found[row + 1], strict=True)]
            counts = [pairs.count(pair) for pair in itertools.product(range(V), repeat=2)]
            cells = [len(pairs) * a * b / (rows * steps) ** 2 for a, b in itertools.product(expected, repeat=2)]
        else:
            counts, cells = [sum(tokens.count(token) for tokens in found) for token in range(V)], expected
        assert [count for count, cell in zip(counts, cells, strict=True) if not cell] == [0] * cells.count(0)
        free = len(cells) - cells.count(0) - 1
        statistic = sum((count - cell) ** 2 / cell for count, cell in zip(counts, cells, strict=True) if cell)
        assert abs(statistic - free) < 4 * math.sqrt(2 * free)


def test_forbidden_tokens_are_never_drawn_even_if_they_are_the_likeliest():
    oracle = Oracle(t0=30.0, t4=20.0)
    for sampling in (Sampling(), Sampling(0.0), Sampling(top_k=2), Sampling(top_p=0.01)):
        assert {*itertools.chain(*oracle.sample(range(3), 8, sampling))} == {0}
        assert {*itertools.chain(*oracle.sample(range(3), 8, sampling, forbidden=[0]))} == {4}
        assert {0, 4}.isdisjoint(itertools.chain(*oracle.sample(range(3), 8, sampling, forbidden=[0, 4])))


@pytest.mark.parametrize("draw", [0.0, 1 - 2**-53])
def test_the_least_and_the_largest_draw_give_tokens_that_may_be(draw, monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda size, dtype, generator: torch.full(size, draw, dtype=dtype))
    tokens = Oracle().sample([0], 40, forbidden=[0, 6])[0]
    assert {*tokens} == {1 if draw == 0 else 5}


def test_rows_end_at_their_lines_and_all_stops_with_the_last():
    oracle = Oracle(t2=1.0)
    found = oracle.sample(range(5), 50, lines=2)
    lengths = [tokens.index(None) for tokens in found]
    assert len(set(lengths)) > 2 and oracle.steps == len(found[0]) == max(lengths) + 1 < 50
    for tokens, length in zip(found, lengths, strict=True):
        assert tokens[:length].count(EOS) == 1 and {*tokens[length:]} == {None}


def test_a_penalty_leaves_ends_of_lines_alone():
    oracle, strong = Oracle(t2=4.0), Sampling(repetition_penalty=1e6)
    (tokens,) = oracle.sample([0], 30, strong)
    assert tokens.count(EOS) > 15
    assert max(tokens.count(token) for token in range(V) if token != EOS) <= 2, "two if both have logits below 0"


def test_the_random_state_of_torch_is_left_alone():
    before = torch.get_rng_state()
    Oracle().sample(range(3), 4)
    assert torch.equal(torch.get_rng_state(), before)


def test_generators_depend_on_seed_and_row_alone():
    firsts = [[torch.rand(3, generator=g).tolist() for g in make_generators(seed, range(4))] for seed in (0, 1, 2**70)]
    assert len({tuple(draws) for draws in itertools.chain(*firsts)}) == 12
    assert [torch.rand(3, generator=g).tolist() for g in make_generators(1, range(2, 4))] == firsts[1][2:]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -0.1}, "temperature must be 0 .* or above, not -0.1"),
        ({"temperature": math.nan}, "temperature must be"),
        ({"temperature": math.inf}, "temperature must be"),
        ({"top_k": 0}, "top_k must be at least 1, not 0"),
        ({"top_p": 0.0}, "top_p must be above 0 and at most 1, not 0.0"),
        ({"top_p": 1.01}, "top_p must be above 0 and at most 1, not 1.01"),
        ({"top_p": math.nan}, "top_p must be"),
        ({"repetition_penalty": 0.0}, "repetition_penalty must be above 0 .*, not 0.0"),
        ({"repetition_penalty": math.nan}, "repetition_penalty must be"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        Sampling(**settings)


def test_a_negative_seed_is_refused():
    with pytest.raises(UserError, match="seed must not be negative, but is -1"):
        make_generators(-1, range(3))
