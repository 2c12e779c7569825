"""A hand-made model, and beam search as it is documented, with lists, for one sentence.

Shape suffixes: K = hypotheses of a sentence, R = rows, V = size of the vocabulary, S = source steps.
"""

import itertools
import math
from typing import NamedTuple

import pytest
import torch

from seqlab.decoding.beam import beam_search
from seqlab.decoding.greedy import greedy_search
from seqlab.decoding.search import Search

BOS, EOS = 1, 2
SOURCE = (3, 5, 2, 4)
"""Numbers of source tokens of the sentences, over and over."""


def random_softmax(numbers, size, ending=0.0):
    """Log-probabilities that are a function of some numbers, with more for the end of sentence."""
    seed = 0
    for number in numbers:
        seed = (seed * 1009 + number + 1) % (2**61 - 1)
    logits_X = torch.randn(size, dtype=torch.double, generator=torch.Generator().manual_seed(seed))
    logits_X[EOS % size] += ending
    return logits_X.log_softmax(-1)


class OracleState(NamedTuple):
    """Each row's sentence and tokens so far; which rows are whose sentence's is checked, not stored twice."""

    rows: list
    oracle: "Oracle"
    is_tracked: bool = False

    def select(self, rows_BK):
        chosen = [[self.rows[row] for row in row_K] for row_K in rows_BK.tolist()]
        assert all(len({sentence for sentence, _ in row_K}) == 1 for row_K in chosen)
        return self._replace(rows=[row for row_K in chosen for row in row_K])

    def with_coverage(self):
        assert all(prefix == () for _, prefix in self.rows)
        return self._replace(is_tracked=True)

    def coverage(self):
        assert self.is_tracked
        sentences = list(dict.fromkeys(sentence for sentence, _ in self.rows))
        sums_RS = torch.zeros(len(self.rows), max(SOURCE), dtype=torch.double)
        for row, (sentence, prefix) in enumerate(self.rows):
            sums = self.oracle.coverage(sentence, prefix)
            sums_RS[row, : len(sums)] = torch.tensor(sums, dtype=torch.double)
        lengths_B1 = torch.tensor([[SOURCE[sentence % 4]] for sentence in sentences])
        return sums_RS, torch.arange(max(SOURCE)) >= lengths_B1


class Oracle:
    """A model whose log-probabilities and attention are random numbers that depend on the sentence and all tokens
    before."""

    def __init__(self, seed=0, ending=0.0, vocabulary=5):
        self.seed, self.ending, self.vocabulary = seed, ending, vocabulary

    def log_probs(self, sentence, prefix):
        return random_softmax((self.seed, sentence, *prefix), self.vocabulary, self.ending)

    def coverage(self, sentence, prefix):
        """Sums of the attention at each step, one step for each token that was read."""
        size = SOURCE[sentence % 4]
        steps = [random_softmax((77, sentence, *prefix[:end]), size).exp().tolist() for end in range(len(prefix))]
        return [math.fsum(column) for column in zip(*steps, strict=True)] or [0.0] * size

    def start(self, sentences):
        return OracleState([(sentence, ()) for sentence in sentences], self)

    def step(self, tokens_R, state):
        rows = [(b, (*prefix, token)) for (b, prefix), token in zip(state.rows, tokens_R.tolist(), strict=True)]
        assert all(prefix[0] == BOS for _, prefix in rows)
        return torch.stack([self.log_probs(b, prefix) for b, prefix in rows]), state._replace(rows=rows)

    def log_probability(self, sentence, tokens):
        """Of a whole output, its end included."""
        read = [(BOS, *tokens[:t]) for t in range(len(tokens) + 1)]
        return math.fsum(
            self.log_probs(sentence, prefix)[token].item() for prefix, token in zip(read, (*tokens, EOS), strict=True)
        )

    def score(self, sentence, tokens, search):
        """By the equations of Wu et al. 2016."""
        return score(
            self.log_probability(sentence, tokens), len(tokens) + 1, self.coverage(sentence, (BOS, *tokens)), search
        )

    def beam(self, sentences, limits, search, prefixes=None):
        state, limits_B = self.start(sentences), torch.tensor(limits)
        return beam_search(self, state, limits_B, bos=BOS, eos=EOS, search=search, prefixes=prefixes)

    def greedy(self, sentences, limits):
        return greedy_search(self, self.start(sentences), torch.tensor(limits), bos=BOS, eos=EOS)


def score(logp, length, coverage, search):
    """Of a log-probability, the number of tokens with the end, and the attention that each source token got."""
    base = length if search.length_normalization == "average" else (5 + length) / 6
    penalty = sum(math.log(min(part, 1.0)) for part in coverage) if search.coverage_penalty else 0.0
    return logp / base**search.length_penalty + search.coverage_penalty * penalty


def repeats(tokens, size):
    """Whether the last n-gram has occurred before."""
    ngrams = [tuple(tokens[start : start + size]) for start in range(len(tokens) - size + 1)]
    return ngrams[-1:] != [] and ngrams[-1] in ngrams[:-1]


def is_allowed(tokens, limit, search, prefix):
    """Whether an unfinished output may be begun with these tokens."""
    if len(tokens) > limit or tuple(tokens[: len(prefix)]) != tuple(prefix[: len(tokens)]):
        return False
    size = search.no_repeat_ngram_size
    return not size or not any(repeats(tokens[:end], size) for end in range(len(prefix) + 1, len(tokens) + 1))


def enumerated(score, limit, search, prefix=(), vocabulary=5):
    """Every output that is allowed, the best first."""
    others = [token for token in range(vocabulary) if token != EOS]
    lengths = range(max(len(prefix), search.min_length), limit + 1)
    outputs = [tokens for length in lengths for tokens in itertools.product(others, repeat=length)]
    allowed = [tokens for tokens in outputs if is_allowed(tokens, limit, search, prefix)]
    return sorted(((tokens, score(tokens)) for tokens in allowed), key=lambda pair: -pair[1])


def documented_beam(oracle, sentence, limit, search, prefix=()):
    """The search for one sentence."""
    unfinished, finished = [((), 0.0)], []
    for length in range(1, limit + 2):
        candidates, scores = [], {}
        for tokens, logp in unfinished:
            log_probs = oracle.log_probs(sentence, (BOS, *tokens)).tolist()
            coverage = oracle.coverage(sentence, (BOS, *tokens))
            for token in range(oracle.vocabulary):
                new = (*tokens, token)
                if token == EOS and max(len(prefix), search.min_length) > len(tokens):
                    continue
                if token != EOS and not is_allowed(new, limit, search, prefix):
                    continue
                candidates.append((new, logp + log_probs[token]))
                scores[new] = score(logp + log_probs[token], length, coverage, search)
        candidates.sort(key=lambda pair: -pair[1])
        finished += [(tokens[:-1], scores[tokens]) for tokens, _ in candidates[: search.beam] if tokens[-1] == EOS]
        finished = sorted(finished, key=lambda pair: -pair[1])[: search.beam]
        unfinished = [pair for pair in candidates if pair[0][-1] != EOS][: search.beam]
        hope = max((scores[tokens] for tokens, _ in unfinished), default=-math.inf)
        if not unfinished or (len(finished) == search.beam and finished[-1][1] >= hope):
            break
    return finished[: search.n_best]


class Decoding:
    """What the tests of decoding share."""

    BOS, EOS = BOS, EOS
    Oracle = Oracle
    score, enumerated, documented_beam = staticmethod(score), staticmethod(enumerated), staticmethod(documented_beam)

    @staticmethod
    def all_of(beam, **settings):
        """A search that gives all that it finds."""
        return Search(beam=beam, n_best=beam, **settings)

    @staticmethod
    def assert_ranked(found, expected):
        """The same outputs in the same order, with the same scores."""
        assert [tuple(hypothesis.tokens) for hypothesis in found] == [tuple(tokens) for tokens, _ in expected]
        assert [hypothesis.score for hypothesis in found] == pytest.approx([number for _, number in expected], rel=1e-9)


@pytest.fixture(scope="session")
def decoding():
    return Decoding()
