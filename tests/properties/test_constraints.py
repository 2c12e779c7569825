"""Properties of what beam search may write: prefixes, lengths and n-grams, against a loop over lists."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from seqlab.decoding.constraints import Constraints
from seqlab.decoding.search import Search

VOCABULARY, EOS = 6, 3
TOKENS = st.integers(0, VOCABULARY - 1)


def allowed(history, prefix, limit, search):
    """The tokens that may follow."""
    if len(history) < len(prefix):
        return {prefix[len(history)]}
    if len(history) >= limit:
        return {EOS}
    n, found = search.no_repeat_ngram_size, set(range(VOCABULARY))
    if n:
        grams = {tuple(history[first : first + n]) for first in range(len(history) - n + 1)}
        found -= {token for token in found if (*history, token)[len(history) - n + 1 :] in grams}
    return found - ({EOS} if len(history) < search.min_length else set())


def test_what_may_come_next(examples):
    @examples
    @given(st.data(), st.integers(1, 3), st.integers(1, 4), st.integers(0, 3), st.integers(0, 3))
    def check(data, beams, sentences, ngram, least):
        length = data.draw(st.integers(0, 8))
        search = Search(beam=beams, no_repeat_ngram_size=ngram, min_length=least)
        prefix = st.lists(TOKENS.filter(lambda token: token != EOS), max_size=4)
        prefixes = data.draw(st.lists(prefix, min_size=sentences, max_size=sentences))
        limits = [data.draw(st.integers(max(least, len(prefix), 1), 9)) for prefix in prefixes]
        running = sorted(data.draw(st.sets(st.integers(0, sentences - 1), min_size=1)))
        row = st.lists(TOKENS, min_size=length, max_size=length)
        histories = [[data.draw(row) for _ in range(beams)] for _ in running]
        scores_BKV = torch.randn(len(running), beams, VOCABULARY)
        before = scores_BKV.clone()
        found_BKV = Constraints(search, torch.tensor(limits), prefixes, EOS)(
            scores_BKV,
            torch.tensor(histories, dtype=torch.int64).reshape(len(running), beams, length),
            torch.tensor(running),
        )
        assert torch.equal(scores_BKV, before)
        for b, sentence in enumerate(running):
            for k in range(beams):
                tokens = allowed(histories[b][k], prefixes[sentence], limits[sentence], search)
                for token in range(VOCABULARY):
                    expected = before[b, k, token] if token in tokens else -torch.inf
                    assert found_BKV[b, k, token] == expected

    check()
