"""The likeliest ends of a line against all of them, by a model that reads each whole line."""

import itertools

import pytest
import torch

from seqlab.cells.gru import GRU
from seqlab.data.tokenizers import BOS, EOS, PAD, UNK, TokenizerSettings, make_tokenizer
from seqlab.decoding.completion import completions
from seqlab.decoding.search import Search
from seqlab.errors import UserError
from seqlab.models.language_model import RecurrentLanguageModel

TEXT = ["the dog sees", "the dog"]
LENGTH = 3


@pytest.fixture(scope="module")
def words():
    return make_tokenizer(TEXT, TokenizerSettings("word", 100))


@pytest.fixture(scope="module", params=["softmax", "adaptive"])
def network(request, words):
    """A small model in float64 with large random weights."""
    options = {"cutoffs": [5]} if request.param == "adaptive" else {}
    model = RecurrentLanguageModel(len(words), GRU, embedding_size=7, hidden_size=5, tying=False, **options)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=1.2, generator=generator)
    return model.double().eval()


@pytest.mark.parametrize("unk", [False, True])
@pytest.mark.parametrize("prompt", ["", "the", "dog sees\nthe dog", "the dog\n"])
@torch.no_grad()
def test_all_ends_of_a_line_are_found_in_order(network, words, prompt, unk):
    """Not those with tokens that no text has; the others keep their probabilities."""
    size = 3 + unk
    beam = sum(size**length for length in range(LENGTH + 1))
    search = Search(beam, 1.0, "wu", n_best=beam, coverage_penalty=0.0)
    lines = [[], *(words.encode(line) for line in prompt.split("\n"))]
    read = [token for line in lines for token in (*line, EOS)][:-1]
    others = [token for token in range(len(words)) if token not in (PAD, BOS, EOS, *([] if unk else [UNK]))]
    assert len(others) == size
    expected = []
    for tokens in (tokens for n in range(LENGTH + 1) for tokens in itertools.product(others, repeat=n)):
        log_probs_TV = network.output.log_probs(network(torch.tensor([*read, *tokens])[:, None])[0][len(read) - 1 :, 0])
        logp = sum(log_probs_TV[t, token].item() for t, token in enumerate((*tokens, EOS)))
        space = " " if prompt[-1:].strip() and tokens else ""
        expected.append((space + words.decode(list(tokens)), logp / ((6 + len(tokens)) / 6), logp))
    expected.sort(key=lambda row: -row[1])
    found = completions(network, words, prompt, search, LENGTH, unk)
    assert [part.text for part in found] == [text for text, _, _ in expected]
    assert [part.score for part in found] == pytest.approx([score for _, score, _ in expected], rel=1e-9)
    assert [part.log_probability for part in found] == pytest.approx([logp for _, _, logp in expected], rel=1e-9)


def test_what_cannot_be_searched_for_is_refused(network, words):
    for search, length, message in (
        (Search(), 0, "length must be at least 1, not 0"),
        (Search(min_length=4), 3, "min_length 4 is above length 3"),
        (Search(coverage_penalty=1), 3, "coverage_penalty needs a model with attention, but this one has none"),
    ):
        with pytest.raises(UserError, match=f"^{message}"):
            completions(network, words, "the", search, length)
