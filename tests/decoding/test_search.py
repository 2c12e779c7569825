"""Greedy and beam search with every setting against full enumeration, and against plain loops over one sentence.

Shape suffixes: B = sentences, K = hypotheses of a sentence, V = size of the vocabulary, N = candidates.
"""

import itertools
from functools import partial

import pytest
import torch

from seqlab.decoding.beam import best_candidates
from seqlab.decoding.search import Search
from seqlab.errors import UserError

PENALTIES = [0.0, 0.6, 1.0]
OPTIONS = {
    "plain": {},
    "negative": {"length_penalty": -0.5},
    "wu": {"length_normalization": "wu", "length_penalty": 0.6},
    "coverage": {"coverage_penalty": 0.4},
    "wu and coverage": {"length_normalization": "wu", "length_penalty": 1.3, "coverage_penalty": 2.0},
    "no token twice": {"no_repeat_ngram_size": 1},
    "no pair twice": {"no_repeat_ngram_size": 2, "length_penalty": 1.2},
    "no triple twice": {"no_repeat_ngram_size": 3, "length_penalty": 2.0},
    "min_length": {"min_length": 2},
    "all": {
        "length_normalization": "wu",
        "coverage_penalty": 0.7,
        "no_repeat_ngram_size": 2,
        "min_length": 1,
        "length_penalty": 0.3,
    },
}
BEGINNINGS = [(), (3,), (0, 4, 0, 4), (4, 4), (3, 0, 1)]
"""Some repeat themselves, which is allowed to whoever asks for it."""


@pytest.mark.parametrize("alpha", PENALTIES)
@pytest.mark.parametrize("seed", range(3))
def test_a_wide_beam_finds_every_output_in_order(decoding, seed, alpha):
    oracle, limits = decoding.Oracle(seed), [3, 0, 2, 1]
    search = decoding.all_of(1 + 4 + 16 + 64, length_penalty=alpha)
    results = oracle.beam(range(4), limits, search)
    for sentence, limit in enumerate(limits):
        expected = decoding.enumerated(partial(oracle.score, sentence, search=search), limit, search)
        assert len(expected) == sum(4**length for length in range(limit + 1))
        decoding.assert_ranked(results[sentence], expected)


@pytest.mark.parametrize("with_prefixes", [False, True])
@pytest.mark.parametrize("name", OPTIONS)
def test_a_wide_beam_finds_every_output_that_is_allowed(decoding, name, with_prefixes):
    oracle, limits = decoding.Oracle(8), [3, 2, 4, 3, 3]
    search = decoding.all_of(500, **OPTIONS[name])
    prefixes = BEGINNINGS if with_prefixes else [()] * 5
    results = oracle.beam(range(5), limits, search, prefixes)
    for sentence, (found, limit, prefix) in enumerate(zip(results, limits, prefixes, strict=True)):
        score = partial(oracle.score, sentence, search=search)
        decoding.assert_ranked(found, decoding.enumerated(score, limit, search, prefix))


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("beam", [1, 2, 3, 5, 8])
def test_a_narrow_beam_is_the_documented_search(decoding, beam, name):
    """Also where some sentences stop early and others run into their limits."""
    search, limits = decoding.all_of(beam, **OPTIONS[name]), [6, 4, 9, 2, 2, 9]
    prefixes = [*BEGINNINGS, ()]
    limits_too_low = [max(limit, len(prefix)) for limit, prefix in zip(limits, prefixes, strict=True)]
    for ending, given in itertools.product((-2.0, 0.0, 1.0), ([()] * 6, prefixes)):
        oracle = decoding.Oracle(7, ending)
        results = oracle.beam(range(6), limits_too_low, search, given)
        for sentence, (found, limit, prefix) in enumerate(zip(results, limits_too_low, given, strict=True)):
            decoding.assert_ranked(found, decoding.documented_beam(oracle, sentence, limit, search, prefix))


@pytest.mark.parametrize("vocabulary", [64, 100, 200])
def test_a_large_vocabulary_is_searched_in_blocks(decoding, vocabulary):
    oracle, search = decoding.Oracle(4, 3.0, vocabulary), decoding.all_of(3)
    for sentence, found in enumerate(oracle.beam(range(3), [6, 3, 9], search)):
        decoding.assert_ranked(found, decoding.documented_beam(oracle, sentence, [6, 3, 9][sentence], search))


@pytest.mark.parametrize("vocabulary", [3, 63, 64, 65, 128, 300])
def test_the_best_candidates_are_those_of_all(vocabulary):
    generator = torch.Generator().manual_seed(vocabulary)
    for width, count in ((1, 4), (3, 6), (2, 700)):
        logps_BK = torch.randn(5, width, generator=generator)
        log_probs_BKV = torch.randn(5, width, vocabulary, generator=generator)
        log_probs_BKV[1] = float("-inf")
        log_probs_BKV[1, 0, vocabulary // 2] = -9.0
        log_probs_BKV[2, 0] = float("-inf")
        top_BN, parents_BN, tokens_BN = best_candidates(logps_BK, log_probs_BKV, count)
        sums_BX = (logps_BK[..., None] + log_probs_BKV).flatten(1)
        expected_BN = sums_BX.sort(descending=True).values[:, :count]
        assert torch.equal(top_BN, expected_BN)
        numbers_BN = parents_BN * vocabulary + tokens_BN
        assert torch.equal(sums_BX.gather(1, numbers_BN), top_BN)
        assert all(len(set(row)) == len(row) for row in numbers_BN.tolist())


@pytest.mark.parametrize("alpha", PENALTIES)
@pytest.mark.parametrize("beam", [1, 2, 4])
def test_hypotheses_are_sorted_finite_within_limits_and_end(decoding, beam, alpha):
    oracle, limits = decoding.Oracle(3, -3.0), [0, 1, 2, 5, 8]
    search = decoding.all_of(beam, length_penalty=alpha)
    for sentence, found in enumerate(oracle.beam(range(5), limits, search)):
        assert 1 <= len(found) <= beam
        scores = [hypothesis.score for hypothesis in found]
        assert scores == sorted(scores, reverse=True)
        assert all(-100 < score <= 0 for score in scores)
        assert len({tuple(hypothesis.tokens) for hypothesis in found}) == len(found)
        for hypothesis in found:
            assert len(hypothesis.tokens) <= limits[sentence]
            assert decoding.EOS not in hypothesis.tokens
            logp = oracle.log_probability(sentence, hypothesis.tokens)
            assert hypothesis.log_probability == pytest.approx(logp, rel=1e-9)
            assert hypothesis.score == pytest.approx(logp / (len(hypothesis.tokens) + 1) ** alpha, rel=1e-9)


def test_n_best_are_the_first_of_all(decoding):
    oracle, limits = decoding.Oracle(2), [5, 3, 4]
    every = oracle.beam(range(3), limits, decoding.all_of(4))
    for n_best in (1, 2, 3):
        found = oracle.beam(range(3), limits, Search(beam=4, n_best=n_best))
        assert found == [hypotheses[:n_best] for hypotheses in every]
        assert all(len(hypotheses) == n_best for hypotheses in found)


def test_greedy_takes_the_likeliest_token_at_every_step(decoding):
    oracle, limits, ended = decoding.Oracle(5), [9, 0, 3, 9, 1, 9, 9, 2], []
    for sentence, hypothesis in enumerate(oracle.greedy(range(8), limits)):
        tokens = []
        while len(tokens) < limits[sentence] and decoding.EOS not in tokens:
            tokens.append(oracle.log_probs(sentence, (decoding.BOS, *tokens)).argmax().item())
        ended.append(decoding.EOS in tokens)
        assert hypothesis.tokens == [token for token in tokens if token != decoding.EOS]
        assert hypothesis.log_probability == hypothesis.score
        assert hypothesis.score == pytest.approx(oracle.log_probability(sentence, hypothesis.tokens), rel=1e-9)
    assert any(ended) and not all(ended)


@pytest.mark.parametrize("normalization", ["average", "wu"])
@pytest.mark.parametrize("alpha", PENALTIES)
def test_a_beam_of_one_is_greedy(decoding, alpha, normalization):
    """Where it takes the short way, and where prefixes without a token make it take the long one."""
    oracle, limits = decoding.Oracle(5, 0.5), [7, 0, 1, 3] * 4
    search = Search(1, alpha, normalization)
    ended = set()
    for sentence, hypothesis in enumerate(oracle.greedy(range(16), limits)):
        ended.add(len(hypothesis.tokens) < limits[sentence])
        expected = [(hypothesis.tokens, oracle.score(sentence, hypothesis.tokens, search))]
        for prefixes in (None, [()]):
            (found,) = oracle.beam([sentence], [limits[sentence]], search, prefixes)
            decoding.assert_ranked(found, expected)
            assert found[0].log_probability == pytest.approx(hypothesis.log_probability, rel=1e-9)
    assert ended == {True, False}


def test_a_limit_of_zero_gives_the_empty_output(decoding):
    oracle = decoding.Oracle()
    assert [hypothesis.tokens for hypothesis in oracle.greedy(range(2), [0, 0])] == [[], []]
    search = decoding.all_of(3)
    for sentence, found in enumerate(oracle.beam(range(2), [0, 0], search)):
        decoding.assert_ranked(found, [((), oracle.score(sentence, (), search))])
    assert oracle.beam([], [], search) == oracle.greedy([], []) == []
    assert oracle.beam([], [], search, []) == []


def test_a_prefix_may_be_a_whole_output(decoding):
    oracle, search = decoding.Oracle(1), decoding.all_of(3)
    (found,) = oracle.beam([0], [2], search, [[4, 4]])
    decoding.assert_ranked(found, [((4, 4), oracle.score(0, (4, 4), search))])


def test_limits_are_of_the_source_or_max_length():
    lengths_B = torch.tensor([3, 7, 1])
    assert Search().limits(lengths_B).tolist() == [16, 24, 12]
    assert Search(max_length=5).limits(lengths_B).tolist() == [5, 5, 5]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beam": 0}, "beam must be at least 1, not 0"),
        ({"beam": -1}, "beam must be at least 1, not -1"),
        ({"length_penalty": float("nan")}, "length_penalty must be between -10 and 10, not nan"),
        ({"length_penalty": 11.0}, "length_penalty must be between -10 and 10, not 11.0"),
        ({"length_normalization": "mean"}, "length_normalization must be one of average, wu, not 'mean'"),
        ({"coverage_penalty": -0.1}, "coverage_penalty must be at least 0, not -0.1"),
        ({"coverage_penalty": float("nan")}, "coverage_penalty must be at least 0, not nan"),
        ({"n_best": 0}, "n_best must be at least 1, not 0"),
        ({"n_best": 6}, "n_best 6 is more than a beam of 5 finds; take --beam 6 or wider"),
        ({"no_repeat_ngram_size": -1}, "no_repeat_ngram_size must be at least 0, not -1"),
        ({"min_length": -1}, "min_length must be at least 0, not -1"),
        ({"max_length": 0}, "max_length must be at least 1, not 0"),
        ({"min_length": 4, "max_length": 3}, "min_length 4 is above max_length 3"),
        ({"beam": 10_001}, "beam must be between 1 and 10,000, not 10001"),
        ({"beam": 10**40, "n_best": 10**40}, f"n_best must be between 1 and 10,000, not 1{'0' * 29}..."),
        ({"max_length": 10**10}, "max_length must be between 1 and 1,000,000,000, not 10000000000"),
        ({"min_length": 10**10}, "min_length must be between 0 and 1,000,000,000, not 10000000000"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(UserError) as error:
        Search(**settings)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("settings", "prefixes", "message"),
    [
        ({"min_length": 4}, None, "min_length 4 is above the limit of 3 tokens that a sentence has; set max_length"),
        ({}, [[0]], "1 prefixes are given for 2 sentences"),
        ({}, [[], [0, 2]], "prefix 2 holds the end of sentence, which nothing can follow; leave it out"),
        ({}, [[0, 0, 0, 0], []], "prefix 1 has 4 tokens, but its output may have 3; raise max_length"),
    ],
)
def test_what_no_output_can_be_is_refused(decoding, settings, prefixes, message):
    oracle = decoding.Oracle()
    with pytest.raises(UserError) as error:
        oracle.beam(range(2), [3, 5], Search(**settings), prefixes)
    assert str(error.value) == message


def test_a_sentence_without_any_output_is_named(decoding):
    oracle, search = decoding.Oracle(), Search(3, no_repeat_ngram_size=1, min_length=5)
    with pytest.raises(UserError) as error:
        oracle.beam(range(2), [8, 9], search)
    assert str(error.value) == (
        "a sentence has no output of at least 5 tokens that writes no 1-gram twice; lower min_length, or raise "
        "no_repeat_ngram_size"
    )


def test_a_model_that_gives_no_numbers_is_named(decoding):
    class Diverged(decoding.Oracle):
        def log_probs(self, sentence, prefix):
            return super().log_probs(sentence, prefix) * float("nan")

    with pytest.raises(UserError, match=r"^the model gives probabilities that are no numbers: its training has"):
        Diverged().beam(range(2), [4, 3], Search(2))
