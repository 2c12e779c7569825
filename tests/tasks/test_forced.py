"""Force decoding against plain loops over one text, the beam search, and what an evaluation finds."""

import itertools
import math

import numpy as np
import pytest
import torch
from datasets import Dataset

from seqlab.data.batches import PlannedBatches, plan_evaluation
from seqlab.data.encoded_text import encode_documents
from seqlab.data.pairs import EncodedPairs
from seqlab.data.streams import Documents, Windows
from seqlab.data.tokenizers import BOS, EOS, UNK, TokenizerSettings, make_tokenizer
from seqlab.data.words import Bytes, Characters, Words
from seqlab.errors import UserError
from seqlab.metrics import Perplexity
from seqlab.models.loss import token_scores
from seqlab.tasks import Translation
from seqlab.tasks.batching import Batching
from seqlab.tasks.forced import Forced, ForcedStream, perplexity, token_names
from seqlab.tasks.language_model import LanguageModel
from seqlab.tasks.translator import Translator

SOURCE, TARGET = Words(list("abcdefg")), Words(list("stuvwxyz"))
SOURCES = ["a b c", "d", "g f e d c b a", "", "b odd c", "a a"]
TARGETS = ["t u", "z y x w v", "", "v", "odd w odd", "t t t t t t t"]
LINES = ["a b c d", "", "e", "g odd f e d c b a a b", "c c c"]


def randomised(task):
    """The task in float64 with random weights."""
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in task.double().parameters():
            parameter.normal_(std=0.7, generator=generator)
    return task.eval()


def translation(cell="lstm", **options):
    sizes = {"embedding_size": 6, "encoder_size": 4, "decoder_size": 5, "tying": "two-way"}
    metrics = {"perplexity": Perplexity()}
    return randomised(
        Translation(SOURCE, TARGET, cell, metrics=metrics, optimizer=torch.optim.SGD, **(sizes | options))
    )


def language_model(cell="gru", **options):
    sizes = {"embedding_size": 6, "hidden_size": 5, "tying": False}
    metrics = {"perplexity": Perplexity()}
    return randomised(LanguageModel(SOURCE, cell, metrics=metrics, optimizer=torch.optim.SGD, **(sizes | options)))


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert one.tokens == other.tokens and one.source_unknown == other.source_unknown
        np.testing.assert_allclose(one.log_probabilities, other.log_probabilities, rtol=1e-10)


@torch.no_grad()
def walk(network, state, first, tokens):
    """The specification: the stepper, token by token."""
    scores, last = [], first
    for token in tokens:
        log_probs_1V, state = network.step(torch.tensor([last]), state)
        scores.append(log_probs_1V[0, token].item())
        last = token
    return scores, state


TRANSLATIONS = [
    {},
    {"cell": "gru", "attention": "none", "encoder_layers": 2, "decoder_layers": 2},
    {"input_feeding": True, "coverage": True, "bridge": "last"},
    {"cell": "rrnn", "word_dropout": 0.5, "dropout": 0.5, "zoneout": 0.5, "weight_drop": 0.5},
]


@pytest.mark.parametrize("options", TRANSLATIONS, ids=str)
def test_pairs_are_a_loop_over_the_stepper(options):
    task = translation(**options)
    expected = []
    for source, target in zip(SOURCES, TARGETS, strict=True):
        tokens = [*SOURCE.encode(source), EOS]
        state = task.network.start(torch.tensor(tokens)[:, None], torch.tensor([len(tokens)]))
        scores, _ = walk(task.network, state, BOS, [*TARGET.encode(target), EOS])
        expected.append(Forced([*TARGET.encode(target), EOS], scores, source.count("odd")))
    assert_same(task.train().log_probabilities(SOURCES, TARGETS), expected)


LANGUAGE_MODELS = [
    {},
    {"cutoffs": [4, 7], "hidden_size": 17},
    {"cell": "lstm", "initial_state": "learned", "hidden_size": 6, "tying": True},
]


@pytest.mark.parametrize("options", LANGUAGE_MODELS, ids=str)
def test_lines_are_a_loop_over_the_stepper(options):
    """Each from EOS and the first state; of a stream, from that after the line before."""
    task = language_model(dropout=0.5, **options)
    alone, carried, state = [], [], task.network.start(1)
    for line in LINES:
        tokens = [*SOURCE.encode(line), EOS]
        alone.append(Forced(tokens, walk(task.network, task.network.start(1), EOS, tokens)[0]))
        scores, state = walk(task.network, state, EOS, tokens)
        carried.append(Forced(tokens, scores))
    assert_same(task.train().log_probabilities(LINES), alone)
    assert_same(task.train().log_probabilities(LINES, stream=True), carried)
    assert abs(alone[-1].log_probability - carried[-1].log_probability) > 1e-3
    for window in (1, 4, 5, 100):
        read = ForcedStream(task.network, SOURCE, window)
        assert_same([*read(LINES[:2]), *read([]), *read(LINES[2:])], carried)


@pytest.mark.parametrize("tokens", [1, 7, 12])
def test_batches_and_order_change_nothing(tokens, monkeypatch):
    pairs, lines = translation(), language_model(cutoffs=[5])
    expected_pairs, expected_lines = pairs.log_probabilities(SOURCES, TARGETS), lines.log_probabilities(LINES)
    monkeypatch.setattr("seqlab.tasks.forced.LOGITS", 30)
    batches: list[int] = []
    found = pairs.log_probabilities(SOURCES[::-1], TARGETS[::-1], batching=Batching(tokens), done=batches.append)
    assert_same(found[::-1], expected_pairs)
    assert sum(batches) == len(SOURCES) and len(batches) > 2
    assert_same(lines.log_probabilities(LINES[::-1], batching=Batching(tokens))[::-1], expected_lines)


def test_a_document_is_its_lines_in_a_row():
    task = language_model()
    (document,) = task.log_probabilities(["\n".join(LINES)])
    stream = task.log_probabilities(LINES, stream=True)
    assert document.tokens == [token for line in stream for token in line.tokens]
    assert document.log_probability == pytest.approx(sum(line.log_probability for line in stream), rel=1e-10)


@pytest.mark.parametrize("options", TRANSLATIONS[::2], ids=str)
def test_a_hypothesis_has_the_log_probability_that_the_search_found(options):
    task = translation(**options)
    with torch.no_grad():  # what no text is
        task.network.output.bias[:EOS] = -1e4
    found = Translator([task]).decode(SOURCES, beam=4, n_best=3, length_penalty=0.6)
    count = 0
    for source, candidates in zip(SOURCES, found, strict=True):
        texts = [candidate.text for candidate in candidates]
        for forced, candidate in zip(task.log_probabilities([source] * len(texts), texts), candidates, strict=True):
            assert forced.tokens == [*candidate.tokens, EOS]
            assert forced.log_probability == pytest.approx(candidate.log_probability, rel=1e-9)
            count += 1
    assert count == 15


def test_the_sum_is_the_perplexity_of_an_evaluation():
    task = translation()
    pairs = EncodedPairs(Dataset.from_dict({"source": SOURCES, "target": TARGETS}), SOURCE, TARGET)
    for _ in task.score(PlannedBatches(pairs, plan_evaluation(pairs, 9))):
        pass
    found = task.log_probabilities(SOURCES, TARGETS)
    assert total_perplexity(found) == pytest.approx(task.compute_metrics()["perplexity"].item(), rel=1e-10)


@pytest.mark.parametrize("options", LANGUAGE_MODELS[:2], ids=str)
def test_the_sum_is_the_perplexity_of_a_text(options):
    """Of one stream, where lines go on from each other, and of documents, where each is a text of its own."""
    task, text = language_model(**options), encode_documents(LINES, SOURCE)
    documents = Documents(text)
    scores = []
    for batches in (
        Windows(text, 1, 4, scored=True).batches(),
        PlannedBatches(documents, plan_evaluation(documents, 9)),
    ):
        for _ in task.score(batches):
            pass
        scores.append(task.compute_metrics()["perplexity"].item())
    assert total_perplexity(task.log_probabilities(LINES, stream=True)) == pytest.approx(scores[0], rel=1e-10)
    assert total_perplexity(task.log_probabilities(LINES)) == pytest.approx(scores[1], rel=1e-10)
    assert abs(scores[0] - scores[1]) > 1e-3


def total_perplexity(found):
    return perplexity(sum(one.log_probability for one in found), sum(len(one.tokens) for one in found))


def test_memory_that_runs_out_halves_a_batch(monkeypatch):
    task = translation()
    expected, sizes = task.log_probabilities(SOURCES, TARGETS), []

    def scarce(features_NE, targets_N, output):
        sizes.append(len(targets_N))
        if len(targets_N) > 8:
            raise torch.OutOfMemoryError
        return token_scores(features_NE, targets_N, output)

    monkeypatch.setattr("seqlab.tasks.forced.token_scores", scarce)
    batching = Batching(100)
    assert_same(task.log_probabilities(SOURCES, TARGETS, batching=batching), expected)
    assert sizes[0] > 8 and batching.batch_tokens < 50
    monkeypatch.setattr("seqlab.tasks.forced.token_scores", lambda *_: scarce(torch.empty(9), torch.empty(9), None))
    with pytest.raises(UserError, match="the text 't u' does not fit into memory"):
        task.log_probabilities(["a"], ["t u"])


def test_the_numbers_of_a_text():
    forced = Forced([UNK, 7, UNK, EOS], [-1.0, -2.0, -0.25, -0.75], source_unknown=3)
    assert (forced.log_probability, forced.unknown, forced.source_unknown) == (-4.0, 2, 3)
    assert forced.perplexity == pytest.approx(math.e)
    assert perplexity(-1e4, 3) == math.inf


def test_no_texts():
    assert translation().log_probabilities([], []) == []
    assert language_model().log_probabilities([]) == language_model().log_probabilities([], stream=True) == []
    (empty,) = translation().log_probabilities([""], [""])
    assert empty.tokens == [EOS] and empty.log_probability < 0


def test_what_is_no_text():
    pairs, lines = translation(), language_model()
    for sides in (("a", ["t"]), (["a"], "t"), ([3], ["t"]), (3, ["t"]), (["a"], None), (["a"], iter(["t"]))):
        with pytest.raises(UserError, match="log_probabilities takes lists of lines of text"):
            pairs.log_probabilities(*sides)
    for stream, given in itertools.product((False, True), ("a b", 3, None, iter(["a b"]))):
        with pytest.raises(UserError, match="log_probabilities takes lists of lines of text"):
            lines.log_probabilities(given, stream=stream)
    with pytest.raises(UserError, match="takes a target for each source, not 1 for 2"):
        pairs.log_probabilities(["a", "b"], ["t"])


def test_every_token_has_a_name():
    assert token_names(Words(["a", "b"]))[UNK:] == ["<unk>", "", "<eos>", "a", "b"]
    assert token_names(Characters(["a", " "]))[EOS:] == ["<eos>", "a", " "]
    names = token_names(Bytes())
    assert [names[token] for token in Bytes().encode("aé\t")] == ["a", "<0xC3>", "<0xA9>", "\t"]
    subwords = make_tokenizer(["the dog sees the cat"] * 9, TokenizerSettings("bpe", 25))
    assert token_names(subwords)[EOS] == "<eos>" and any(name.startswith("▁") for name in token_names(subwords))
