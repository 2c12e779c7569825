"""Greedy and beam search against full enumeration and against plain loops over one sentence.

Shape suffixes: B = sentences, K = hypotheses of a sentence, R = rows, V = size of the vocabulary, S = source steps.
"""

import itertools
from typing import NamedTuple

import pytest
import torch

from seqlab.cells.gru import GRU
from seqlab.cells.lstm import LSTM
from seqlab.decoding.beam import beam_search
from seqlab.decoding.greedy import greedy_search
from seqlab.errors import UserError
from seqlab.models.encoder_decoder import EncoderDecoder

V, BOS, EOS = 5, 1, 2
PENALTIES = [0.0, 0.6, 1.0]


class Prefixes(NamedTuple):
    """Each row's sentence and tokens so far; which rows are whose sentence's is checked, not stored twice."""

    rows: list

    def select(self, rows_BK):
        chosen = [[self.rows[row] for row in row_K] for row_K in rows_BK.tolist()]
        assert all(len({sentence for sentence, _ in row_K}) == 1 for row_K in chosen)
        return Prefixes([row for row_K in chosen for row in row_K])


class Oracle:
    """A hand-made model whose log-probabilities are random numbers that depend on the sentence and the whole prefix."""

    def __init__(self, seed=0, ending=0.0):
        self.seed, self.ending = seed, ending

    def log_probs(self, sentence, prefix):
        number = 0
        for digit in (self.seed, sentence, *prefix):
            number = number * 11 + digit + 1
        logits_V = torch.randn(V, dtype=torch.double, generator=torch.Generator().manual_seed(number))
        logits_V[EOS] += self.ending
        return logits_V.log_softmax(-1)

    def start(self, sentences):
        return Prefixes([(sentence, ()) for sentence in sentences])

    def step(self, tokens_R, state):
        rows = [(b, (*prefix, token)) for (b, prefix), token in zip(state.rows, tokens_R.tolist(), strict=True)]
        assert all(prefix[0] == BOS for _, prefix in rows)
        return torch.stack([self.log_probs(b, prefix) for b, prefix in rows]), Prefixes(rows)

    def score(self, sentence, tokens, alpha):
        """Of a whole output, its end included, divided by the number of its tokens to the power alpha."""
        prefix, total = (BOS,), 0.0
        for token in (*tokens, EOS):
            total += self.log_probs(sentence, prefix)[token].item()
            prefix = (*prefix, token)
        return total / (len(tokens) + 1) ** alpha

    def beam(self, sentences, limits, beam, alpha=1.0):
        options = {"bos": BOS, "eos": EOS, "beam": beam, "length_penalty": alpha}
        return beam_search(self, self.start(sentences), torch.tensor(limits), **options)

    def greedy(self, sentences, limits):
        return greedy_search(self, self.start(sentences), torch.tensor(limits), bos=BOS, eos=EOS)


def assert_ranked(found, expected):
    """The same outputs in the same order, with the same scores."""
    assert [hypothesis.tokens for hypothesis in found] == [list(tokens) for tokens, _ in expected]
    assert [hypothesis.score for hypothesis in found] == pytest.approx([score for _, score in expected], rel=1e-5)


def enumerated(score, limit):
    """Every output of at most ``limit`` tokens without the end, the best first."""
    others = [token for token in range(V) if token != EOS]
    outputs = [tokens for length in range(limit + 1) for tokens in itertools.product(others, repeat=length)]
    return sorted(((tokens, score(tokens)) for tokens in outputs), key=lambda pair: -pair[1])


@pytest.mark.parametrize("alpha", PENALTIES)
@pytest.mark.parametrize("seed", range(3))
def test_a_wide_beam_finds_every_output_in_order(seed, alpha):
    oracle, limits = Oracle(seed), [3, 0, 2, 1]
    results = oracle.beam(range(4), limits, 1 + 4 + 16 + 64, alpha)
    for sentence, limit in enumerate(limits):
        expected = enumerated(lambda tokens, b=sentence: oracle.score(b, tokens, alpha), limit)
        assert len(expected) == sum(4**length for length in range(limit + 1))
        assert_ranked(results[sentence], expected)


def reference_beam(oracle, sentence, limit, beam, alpha):
    """The search as it is documented, for one sentence, with lists."""
    unfinished, finished = [((), 0.0)], []
    for length in range(1, limit + 2):
        candidates = []
        for tokens, total in unfinished:
            log_probs = oracle.log_probs(sentence, (BOS, *tokens)).tolist()
            allowed = [EOS] if length > limit else range(V)
            candidates += [((*tokens, token), total + log_probs[token]) for token in allowed]
        candidates.sort(key=lambda pair: -pair[1])
        finished += [(tokens[:-1], total / length**alpha) for tokens, total in candidates[:beam] if tokens[-1] == EOS]
        finished = sorted(finished, key=lambda pair: -pair[1])[:beam]
        unfinished = [pair for pair in candidates if pair[0][-1] != EOS][:beam]
        if not unfinished or (len(finished) == beam and finished[-1][1] >= unfinished[0][1] / length**alpha):
            break
    return finished


@pytest.mark.parametrize("alpha", PENALTIES)
@pytest.mark.parametrize("beam", [1, 2, 3, 5, 8])
def test_a_narrow_beam_is_the_documented_search(beam, alpha):
    """Also where some sentences stop early and others run into their limits."""
    for ending in (-2.0, 0.0, 1.0):
        oracle, limits = Oracle(7, ending), [6, 4, 9, 1, 0, 9]
        results = oracle.beam(range(6), limits, beam, alpha)
        for sentence, limit in enumerate(limits):
            assert_ranked(results[sentence], reference_beam(oracle, sentence, limit, beam, alpha))


@pytest.mark.parametrize("alpha", PENALTIES)
@pytest.mark.parametrize("beam", [1, 2, 4])
def test_hypotheses_are_sorted_finite_within_limits_and_end(beam, alpha):
    oracle, limits = Oracle(3, -3.0), [0, 1, 2, 5, 8]
    for sentence, found in enumerate(oracle.beam(range(5), limits, beam, alpha)):
        assert 1 <= len(found) <= beam
        scores = [hypothesis.score for hypothesis in found]
        assert scores == sorted(scores, reverse=True)
        assert all(-100 < score <= 0 for score in scores)
        assert len({tuple(hypothesis.tokens) for hypothesis in found}) == len(found)
        for hypothesis in found:
            assert len(hypothesis.tokens) <= limits[sentence]
            assert EOS not in hypothesis.tokens
            assert hypothesis.score == pytest.approx(oracle.score(sentence, hypothesis.tokens, alpha), rel=1e-5)


def test_greedy_takes_the_likeliest_token_at_every_step():
    oracle, limits, ended = Oracle(5), [9, 0, 3, 9, 1, 9, 9, 2], []
    for sentence, hypothesis in enumerate(oracle.greedy(range(8), limits)):
        tokens, total = [], 0.0
        while len(tokens) < limits[sentence] and EOS not in tokens:
            best = oracle.log_probs(sentence, (BOS, *tokens)).max(-1)
            tokens.append(best.indices.item())
            total += best.values.item()
        ended.append(EOS in tokens)
        assert hypothesis.tokens == [token for token in tokens if token != EOS]
        assert hypothesis.score == pytest.approx(total, rel=1e-6)
    assert any(ended) and not all(ended)


@pytest.mark.parametrize("alpha", PENALTIES)
def test_a_beam_of_one_is_greedy_where_greedy_ends_by_itself(alpha):
    oracle, limits = Oracle(5, 0.5), [7] * 12
    ended = 0
    for greedy, (best,) in zip(oracle.greedy(range(12), limits), oracle.beam(range(12), limits, 1, alpha), strict=True):
        if len(greedy.tokens) < 7:
            ended += 1
            assert best.tokens == greedy.tokens
            assert best.score == pytest.approx(greedy.score / (len(greedy.tokens) + 1) ** alpha, rel=1e-5)
    assert ended >= 4


def test_a_limit_of_zero_gives_the_empty_output():
    oracle = Oracle()
    assert [hypothesis.tokens for hypothesis in oracle.greedy(range(2), [0, 0])] == [[], []]
    for sentence, found in enumerate(oracle.beam(range(2), [0, 0], 3)):
        assert_ranked(found, [((), oracle.score(sentence, (), 1.0))])
    assert oracle.beam([], [], 3) == oracle.greedy([], []) == []


@pytest.mark.parametrize("beam", [0, -1])
def test_a_beam_without_width_is_refused(beam):
    with pytest.raises(UserError, match=f"beam must be at least 1, not {beam}"):
        Oracle().beam([0], [3], beam)


LENGTHS = [5, 2, 3, 4]


@pytest.fixture(scope="module", params=["general", "none"])
def model(request):
    """A small encoder-decoder in float64 with large random weights, so that its outputs differ."""
    sizes = {"embedding_size": 6, "encoder_size": 3, "decoder_size": 7, "decoder_layers": 2}
    model = EncoderDecoder(9, V, GRU, LSTM, tying="two-way", attention=request.param, **sizes).double().eval()
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=1.5, generator=generator)
    return model


def search(model, sentences, kind, limits=(4, 2, 0, 3), **options):
    """Runs a search over some of the sentences, given in any order."""
    source_SB = torch.randint(9, (5, 4), generator=torch.Generator().manual_seed(1))[:, sentences]
    with torch.no_grad():
        state = model.start(source_SB, torch.tensor(LENGTHS)[sentences])
    limits_B = torch.tensor(limits)[sentences]
    found = kind(model, state, limits_B, bos=BOS, eos=EOS, **options)
    return [[hypothesis] for hypothesis in found] if kind is greedy_search else found


@torch.no_grad()
def teacher_forced(model, sentence, tokens, alpha):
    source_SB = torch.randint(9, (5, 4), generator=torch.Generator().manual_seed(1))[
        : LENGTHS[sentence], sentence, None
    ]
    features_TBE = model(source_SB, torch.tensor([LENGTHS[sentence]]), torch.tensor([BOS, *tokens])[:, None])
    log_probs_TV = model.output(features_TBE)[:, 0].log_softmax(-1)
    return sum(log_probs_TV[t, token].item() for t, token in enumerate((*tokens, EOS))) / (len(tokens) + 1) ** alpha


@pytest.mark.parametrize("alpha", PENALTIES)
def test_a_models_scores_are_those_of_teacher_forcing(model, alpha):
    """The best of all outputs are found, in order."""
    limits = [3, 2, 0, 3]
    results = search(model, [0, 1, 2, 3], beam_search, limits, beam=85, length_penalty=alpha)
    for sentence, found in enumerate(results):
        score = {tuple(h.tokens): teacher_forced(model, sentence, h.tokens, alpha) for h in found}
        assert_ranked(found, enumerated(score.__getitem__, limits[sentence]))


@pytest.mark.parametrize(("kind", "options"), [(greedy_search, {}), *((beam_search, {"beam": k}) for k in (1, 3, 6))])
def test_the_batch_and_its_order_change_nothing(model, kind, options):
    together = search(model, [0, 1, 2, 3], kind, **options)
    for sentences in ([0], [1], [2], [3], [3, 1, 0, 2], [2, 0], [1, 1, 3]):
        for sentence, found in zip(sentences, search(model, sentences, kind, **options), strict=True):
            assert_ranked(found, [(hypothesis.tokens, hypothesis.score) for hypothesis in together[sentence]])
