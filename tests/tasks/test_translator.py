"""Translating lines against plain loops over one sentence, in float64.

Shape suffixes: V = target vocabulary.
"""

import logging
from collections import Counter

import numpy as np
import pytest
import torch

from seqlab.data.words import Words
from seqlab.decoding.beam import beam_search
from seqlab.decoding.sampling import Sampling
from seqlab.decoding.search import Search
from seqlab.errors import UserError
from seqlab.metrics import Perplexity
from seqlab.tasks import Translation
from seqlab.tasks.translator import Translator

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


# ------------------------------------------------------------------------------------------------------------- sampling


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


# ------------------------------------------------------------------------------------------------------------ attention


OPTIONS = [{}, {"attention": "mlp", "coverage": True}, {"input_feeding": True}, {"attention": "dot", "decoder_size": 8}]


@torch.no_grad()
def weights_in_steps(task, line, tokens):
    """Attention weights ``[T, S]`` one step after the other, as differences of their sums."""
    state, sums, rows = task.network.start(*encoded(line)).with_coverage(), 0.0, []
    for token in (BOS, *tokens):
        _, state = task.network.step(torch.tensor([token]), state)
        rows.append((state.coverage_RS[0] - sums).numpy())
        sums = state.coverage_RS[0]
    return np.stack(rows)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_attention_is_that_of_each_step(options):
    task = make(**options)
    translator = Translator([task], batch_tokens=15)
    found, maps = translator.decode(LINES), translator.attention(LINES)
    for line, candidates, attention in zip(LINES, found, maps, strict=True):
        if not line.strip():
            assert attention is None
            continue
        expected = weights_in_steps(task, line, candidates[0].tokens)
        np.testing.assert_allclose(attention.weights, expected, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(np.sum(attention.weights, 1), 1, rtol=1e-12)
        assert attention.source == [*line.split(), "<eos>"]
        assert attention.target[-1] == "<eos>" and " ".join(attention.target[:-1]) == candidates[0].text
        assert (attention.source_text, attention.text) == (line, candidates[0].text)
        assert attention.score == candidates[0].score


def test_attention_of_an_ensemble_is_the_mean_of_its_members():
    tasks = [make(1), make(2, attention="mlp", coverage=True), make(3, encoder_size=3)]
    translator = Translator(tasks)
    for line, candidates, attention in zip(LINES, translator.decode(LINES), translator.attention(LINES), strict=True):
        if attention is not None:
            expected = np.mean([weights_in_steps(task, line, candidates[0].tokens) for task in tasks], 0)
            np.testing.assert_allclose(attention.weights, expected, rtol=1e-9, atol=1e-12)


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
    ({"prefixes": ["u", "u v w"], "max_length": 2}, "the prefix of line 2 has 3 tokens, more than max_length 2"),
    ({"prefixes": ["u", "u <eos>"]}, "the prefix of line 2 holds the end of sentence"),
    ({"sampling": Sampling(), "seed": -1}, "seed must not be negative, but is -1"),
]


@pytest.mark.parametrize(("options", "message"), WRONG, ids=lambda value: str(value)[:30])
def test_wrong_options(options, message):
    with pytest.raises(UserError, match=message):
        Translator([make()]).decode(["a", "b c"], **options)


def test_batches_without_a_token():
    with pytest.raises(UserError, match="batch_tokens must be at least 1, not 0"):
        make().translate(["a"], batch_tokens=0)


def test_a_model_without_attention_has_none_to_show():
    with pytest.raises(UserError, match=r"^model 2 has no attention to show \(model.attention none\)$"):
        Translator([make(), make(attention="none")]).attention(["a"])
