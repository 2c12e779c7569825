"""Translating lines against plain loops over one sentence, in float64."""

import logging

import numpy as np
import pytest
import torch

from seqlab.data.words import Words
from seqlab.decoding.beam import beam_search
from seqlab.decoding.sampling import Sampling
from seqlab.decoding.search import Search
from seqlab.errors import UserError
from seqlab.tasks.translator import Translator

from .translating import BOS, EOS, LINES, MOTS, WORDS, assert_same, encoded, log_probability, make


@pytest.mark.parametrize("batch_tokens", [1, 12, 4000])
def test_batches_and_their_order_change_nothing(batch_tokens):
    """Against beam search for each line alone."""
    task = make(search=Search(beam=4, n_best=3, length_penalty=0.7))
    counts: list[int] = []
    translator = Translator([task], batch_tokens=batch_tokens)
    found = translator.decode(LINES, done=counts.append)
    assert sum(counts) == 7 and (len(counts) == 7) == (batch_tokens == 1)
    for line, candidates in zip(LINES, found, strict=True):
        if not line.strip():
            assert candidates == []
            continue
        source, lengths = encoded(line)
        (expected,) = beam_search(
            task.network, task.network.start(source, lengths), 2 * lengths + 10, bos=BOS, eos=EOS, search=task.search
        )
        assert len(candidates) == 3
        assert [c.tokens for c in candidates] == [hypothesis.tokens for hypothesis in expected]
        for candidate, hypothesis in zip(candidates, expected, strict=True):
            assert candidate.text == MOTS.decode(hypothesis.tokens)
            assert candidate.score == pytest.approx(hypothesis.score, rel=1e-12)
            assert candidate.log_probability == pytest.approx(log_probability([task], line, candidate.tokens), rel=1e-9)
    assert_same(translator.decode(LINES[::-1])[::-1], found)
    best = [candidates[0].text if candidates else "" for candidates in found]
    assert task.translate(LINES) == translator.translate(LINES) == best


def test_settings_of_the_search_can_be_changed():
    task = make()
    translator = Translator([task])
    assert [len(found) for found in translator.decode(["a b", "c"], n_best=2)] == [2, 2]
    assert all(len(found[0].tokens) == 3 for found in translator.decode(["a b", "c"], min_length=3, max_length=3))
    greedy = make(search=Search(beam=1))
    assert task.translate(LINES, beam=1, n_best=None) == greedy.translate(LINES)
    assert task.search == Search()
    listing = make(search=Search(n_best=4))
    assert listing.translate(LINES, beam=1) == greedy.translate(LINES), "of one translation there is no list"


@pytest.mark.parametrize("mean", ["probabilities", "log-probabilities"])
def test_an_ensemble(mean):
    """Of a model with itself it is the model; of others its log-probabilities are those of the mean."""
    one, two, three = make(1), make(2), make(3, attention="mlp", decoder_size=7)
    assert_same(Translator([one, one], mean=mean).decode(LINES, n_best=2), Translator([one]).decode(LINES, n_best=2))
    members = [one, two, three]
    found = Translator(members, mean=mean).decode(LINES, n_best=2)
    assert found != Translator([one]).decode(LINES, n_best=2)
    for line, candidates in zip(LINES, found, strict=True):
        for candidate in candidates:
            expected = log_probability(members, line, candidate.tokens, mean)
            assert candidate.log_probability == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("sampling", [None, Sampling()])
def test_prefixes_begin_the_output_as_they_are_written(sampling):
    task = make()
    prefixes = ["v w", "", "x", "y  zig ", "", "", "u", "zag", "w"]
    found = Translator([task], batch_tokens=9).decode(LINES, prefixes=prefixes, sampling=sampling, seed=4)
    for line, prefix, candidates in zip(LINES, prefixes, found, strict=True):
        if not line.strip():
            assert candidates == []
            continue
        tokens = MOTS.encode(prefix)
        assert candidates[0].tokens[: len(tokens)] == tokens
        assert candidates[0].text.startswith(prefix.rstrip())
        rest = MOTS.decode(candidates[0].tokens[len(tokens) :])
        assert candidates[0].text.split() == [*prefix.split(), *rest.split()]
        assert candidates[0].log_probability == pytest.approx(
            log_probability([task], line, candidates[0].tokens), rel=1e-9
        )
    free = Translator([task]).decode(LINES, sampling=sampling, seed=4)
    assert found[1] == free[1] and found[0] != free[0]


def test_a_long_prefix_has_room_behind_it():
    task = make()
    with torch.no_grad():
        task.network.output.bias[EOS] = -50.0
    (found,) = Translator([task]).decode(["a"], prefixes=["u " * 40])
    assert len(found[0].tokens) == 50


# --------------------------------------------------------------------------------------------------------------- memory


class Tight:
    """A model that runs out of memory above some number of rows."""

    def __init__(self, network, rows, error):
        self.network, self.rows, self.error, self.start = network, rows, error, network.start

    def step(self, tokens_R, state):
        if len(tokens_R) > self.rows:
            raise self.error
        return self.network.step(tokens_R, state)


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried to"),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes."),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: str(error)[:20])
def test_a_batch_that_does_not_fit_is_halved(error, caplog):
    """Said once, and remembered for the next lines."""
    task, counts = make(), []
    expected = Translator([task]).decode(LINES, beam=3)
    translator = Translator([task])
    translator.stepper = Tight(task.network, 6, error)
    with caplog.at_level(logging.INFO, logger="seqlab"):
        assert_same(translator.decode(LINES, beam=3, done=counts.append), expected)
        assert_same(translator.decode(LINES, beam=3), expected)
    assert caplog.messages == ["a batch of 7 sentences does not fit into memory: halved, and again if need be"]
    assert max(counts) <= 2 and sum(counts) == 7


def test_a_sentence_that_does_not_fit_is_named():
    translator = Translator([make()])
    translator.stepper = Tight(translator.networks[0], 2, OUT_OF_MEMORY[0])
    with pytest.raises(UserError, match=r"^line 11 does not fit into memory, with 2 tokens; split it, or search with"):
        translator.decode(LINES, beam=3, first=11)
    translator.stepper = Tight(translator.networks[0], 2, RuntimeError("shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        translator.decode(LINES, beam=3)


# --------------------------------------------------------------------------------------------------------------- errors


def test_members_that_do_not_go_together():
    with pytest.raises(UserError, match=r"^runs/a and runs/c have different target vocabularies: an ensemble needs"):
        others = make(tokenizers=(WORDS, Words(["u", "v", "w", "y", "x"])))
        Translator([make(), make(2), others], names=["runs/a", "runs/b", "runs/c"])
    with pytest.raises(UserError, match=r"^model 1 and model 2 have different source vocabularies"):
        Translator([make(), make(tokenizers=(Words(["a", "b"]), MOTS))])
    with pytest.raises(UserError, match=r"^model 2 does not translate: its task is Linear$"):
        Translator([make(), torch.nn.Linear(2, 3)])
    with pytest.raises(UserError, match="the mean of an ensemble must be one of"):
        Translator([make(), make()], mean="median")
    same = make(2, tokenizers=(Words(["a", "b", "c", "d"]), Words(["u", "v", "w", "x", "y"])))
    assert Translator([make(), same]).translate(["a b"]), "equal vocabularies need not be the same object"


WRONG = [
    ({"beem": 3}, r"a search has no setting 'beem'; did you mean 'beam'\?"),
    ({"beam": 0}, "beam must be at least 1, not 0"),
    ({"n_best": 6}, "n_best 6 is more than a beam of 5 finds"),
    ({"prefixes": ["u"]}, "there are 1 prefixes for 2 lines: give one for each"),
    ({"prefixes": "uv"}, "prefixes takes a list of lines"),
    ({"prefixes": 3}, "prefixes takes a list of lines"),
    ({"prefixes": ["u", "u v w"], "max_length": 2}, "the prefix of line 2 has 3 tokens, more than max_length 2"),
    ({"prefixes": ["u", "u <eos>"]}, "the prefix of line 2 holds the end of sentence"),
    ({"sampling": Sampling(), "seed": -1}, "seed must not be negative, but is -1"),
]


@pytest.mark.parametrize(("options", "message"), WRONG, ids=lambda value: str(value)[:30])
def test_wrong_options(options, message):
    with pytest.raises(UserError, match=message):
        Translator([make()]).decode(["a", "b c"], **options)


@pytest.mark.parametrize(
    "lines", [3, None, "a b", b"a b", [3], {"a b": 1}, {"a b"}, iter(["a b"])], ids=lambda lines: type(lines).__name__
)
def test_what_is_no_list_of_lines(lines):
    """An iterator would be read to its end by the check alone, and nothing be translated."""
    for method in ("translate", "attention"):
        with pytest.raises(UserError, match=r"^translate takes a list of lines of text, as in translate\(\['A sent"):
            getattr(Translator([make()]), method)(lines)
    with pytest.raises(UserError, match=r"^translate takes a list of lines of text"):
        make().translate(lines)


@pytest.mark.parametrize("form", [tuple, np.array])
def test_what_serves_as_a_list_of_lines(form):
    lines = ["b", "a b c d d", ""]
    assert make().translate(form(lines)) == make().translate(lines)


def test_batches_without_a_token():
    with pytest.raises(UserError, match="batch_tokens must be at least 1, not 0"):
        make().translate(["a"], batch_tokens=0)
