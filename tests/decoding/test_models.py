"""Beam search with real models, alone and in ensembles, against teacher forcing of every output.

Shape suffixes: B = sentences, S = source steps, T = target steps, V = size of the vocabulary.
"""

import math
from functools import cache, partial

import pytest
import torch

from seqlab.cells.gru import GRU
from seqlab.cells.lstm import LSTM
from seqlab.decoding.beam import beam_search
from seqlab.decoding.ensemble import Ensemble
from seqlab.decoding.greedy import greedy_search
from seqlab.decoding.search import Search
from seqlab.errors import UserError
from seqlab.models.encoder_decoder import EncoderDecoder
from seqlab.models.language_model import RecurrentLanguageModel

V, BOS, EOS = 5, 1, 2
LENGTHS = (5, 2, 3, 4)
LIMITS = (3, 2, 0, 3)
MODELS = {
    "gru general": (GRU, {}),
    "lstm none": (LSTM, {"attention": "none", "decoder_layers": 2}),
    "lstm mlp feeding": (LSTM, {"attention": "mlp", "input_feeding": True}),
    "gru general coverage": (GRU, {"coverage": True, "decoder_layers": 2}),
    "lstm dot feeding coverage": (LSTM, {"attention": "dot", "coverage": True, "input_feeding": True}),
}
ATTENTIVE = [name for name in MODELS if "none" not in name]
EVERYTHING = {
    "length_normalization": "wu",
    "length_penalty": 0.8,
    "coverage_penalty": 0.6,
    "no_repeat_ngram_size": 2,
}
BEGINNINGS = [[4, 4, 4], [], [], [3]]


@cache
def make(name, seed=4, vocabulary=V):
    """A small model in float64 with large random weights, so that its outputs differ."""
    cell, options = MODELS[name]
    sizes = {"embedding_size": 6, "encoder_size": 3, "decoder_size": 6, "tying": "two-way"}
    model = EncoderDecoder(9, vocabulary, cell, cell, **sizes, **options).double().eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=1.2, generator=generator)
        model.output.bias[EOS] += 3
    return model


def sources(sentences):
    """Some of the sentences, padded with tokens that must not be seen."""
    lengths_B = torch.tensor(LENGTHS)[sentences]
    source_SB = torch.randint(9, (max(LENGTHS), len(LENGTHS)), generator=torch.Generator().manual_seed(1))
    return source_SB[: int(lengths_B.max()), sentences], lengths_B


@torch.no_grad()
def find(model, search, sentences=(0, 1, 2, 3), prefixes=None, limits=LIMITS):
    """Searches for some of the sentences, in any order."""
    sentences = list(sentences)
    limits_B = torch.tensor(limits)[sentences]
    given = None if prefixes is None else [prefixes[sentence] for sentence in sentences]
    state = model.start(*sources(sentences))
    return beam_search(model, state, limits_B, bos=BOS, eos=EOS, search=search, prefixes=given)


@cache
@torch.no_grad()
def forced(model, sentence, tokens):
    """Log-probabilities of each token and the sums of attention, by teacher forcing one sentence."""
    source_SB, lengths_B = sources([sentence])
    decoded = model.decoder.decode(torch.tensor([BOS, *tokens])[:, None], model.start(source_SB, lengths_B))
    coverage = [] if decoded.weights_BTS is None else decoded.weights_BTS[0].sum(0).tolist()
    return model.output(decoded.features_TBE)[:, 0].log_softmax(-1), coverage


def score(decoding, search, models, mean, sentence, tokens):
    """Of an output of one or several models, written out."""
    parts = [forced(model, sentence, tuple(tokens)) for model in models]
    logp = 0.0
    for t, token in enumerate((*tokens, EOS)):
        numbers = [log_probs_TV[t, token].item() for log_probs_TV, _ in parts]
        if mean == "probabilities":
            logp += math.log(sum(map(math.exp, numbers)) / len(numbers))
        else:
            logp += sum(numbers) / len(numbers)
    coverage = [sum(column) / len(parts) for column in zip(*(part for _, part in parts), strict=True)]
    return decoding.score(logp, len(tokens) + 1, coverage, search)


def assert_every_output(decoding, found, search, models, mean="probabilities", prefixes=((), (), (), ())):
    for sentence, hypotheses in enumerate(found):
        of = partial(score, decoding, search, models, mean, sentence)
        expected = decoding.enumerated(of, LIMITS[sentence], search, prefixes[sentence])
        decoding.assert_ranked(hypotheses, expected)
        plain = Search(length_penalty=0.0)
        for hypothesis in hypotheses:
            logp = score(decoding, plain, models, mean, sentence, hypothesis.tokens)
            assert hypothesis.log_probability == pytest.approx(logp, rel=1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_all_outputs_of_a_model_are_found_with_the_scores_of_teacher_forcing(decoding, name):
    model = make(name)
    for settings in ({}, {"length_penalty": 0.0}, {"length_normalization": "wu", "length_penalty": 0.6}):
        search = decoding.all_of(85, **settings)
        assert_every_output(decoding, find(model, search), search, [model])


@pytest.mark.parametrize("name", ATTENTIVE)
def test_coverage_is_that_of_teacher_forcing(decoding, name):
    model = make(name)
    for settings, prefixes in (({"coverage_penalty": 1.5}, [[]] * 4), (EVERYTHING, BEGINNINGS)):
        search = decoding.all_of(85, **settings)
        found = find(model, search, prefixes=prefixes)
        assert_every_output(decoding, found, search, [model], prefixes=prefixes)
        assert len(found[0]) == (85 if settings is not EVERYTHING else 1)


def settings_of(name):
    settings = {**EVERYTHING, "min_length": 1}
    return settings if name in ATTENTIVE else {**settings, "coverage_penalty": 0.0}


@pytest.mark.parametrize("beam", [1, 3, 6])
@pytest.mark.parametrize("name", MODELS)
def test_the_batch_and_its_order_change_nothing(decoding, name, beam):
    model, limits, early = make(name), (8, 3, 2, 7), 0
    for settings, prefixes in (({}, None), (settings_of(name), [[4], [], [0, 0], [3, 3, 3]])):
        look = partial(find, model, decoding.all_of(beam, **settings), prefixes=prefixes, limits=limits)
        together = look()
        early += sum(len(found[0].tokens) < limit for found, limit in zip(together, limits, strict=True))
        for sentences in ([0], [1], [2], [3], [3, 1, 0, 2], [2, 0], [1, 1, 3]):
            for sentence, hypotheses in zip(sentences, look(sentences), strict=True):
                decoding.assert_ranked(hypotheses, [(part.tokens, part.score) for part in together[sentence]])
    assert early, "some sentences leave the batch before others"


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_a_beam_of_one_is_greedy(decoding, name):
    model, limits_B = make(name), torch.tensor([7, 3, 5, 0])
    source_SB, lengths_B = sources([0, 1, 2, 3])
    greedy = greedy_search(model, model.start(source_SB, lengths_B), limits_B, bos=BOS, eos=EOS)
    search = Search(1, length_penalty=0.0)
    for prefixes in (None, [[]] * 4):
        state = model.start(source_SB, lengths_B)
        found = beam_search(model, state, limits_B, bos=BOS, eos=EOS, search=search, prefixes=prefixes)
        decoding.assert_ranked(
            [hypotheses[0] for hypotheses in found], [(part.tokens, part.log_probability) for part in greedy]
        )


def test_a_coverage_penalty_prefers_outputs_that_look_at_all_of_the_source():
    model = make("gru general")
    plain, covering = (
        find(model, Search(30, length_penalty=0.0, coverage_penalty=weight), limits=(9, 9, 9, 9))
        for weight in (0.0, 4.0)
    )
    assert [part[0].tokens for part in plain] != [part[0].tokens for part in covering]
    for sentence, (first, second) in enumerate(zip(plain, covering, strict=True)):
        gaps = [
            sum(math.log(min(part, 1)) for part in forced(model, sentence, tuple(found[0].tokens))[1])
            for found in (first, second)
        ]
        assert gaps[1] >= gaps[0]
        assert second[0].log_probability <= first[0].log_probability


@torch.no_grad()
def test_sums_of_attention_are_float32_at_least():
    model = EncoderDecoder(9, V, GRU, GRU, embedding_size=6, encoder_size=3, tying="two-way").bfloat16()
    state = model.start(*sources([0, 1])).with_coverage()
    _, state = model.step(torch.tensor([BOS, BOS]), state)
    assert state.coverage()[0].dtype == torch.float32
    torch.testing.assert_close(state.coverage()[0].sum(-1), torch.ones(2), rtol=0.01, atol=0)


# ----------------------------------------------------------------------------------------------------------- ensembles


@pytest.mark.parametrize("mean", ["probabilities", "log-probabilities"])
@pytest.mark.parametrize("name", MODELS)
def test_a_model_with_itself_is_the_model(decoding, name, mean):
    model, limits, settings = make(name), (6, 3, 2, 5), settings_of(name)
    for members in (1, 2, 3):
        for search in (decoding.all_of(4), decoding.all_of(4, **settings), Search(1)):
            alone, together = (find(part, search, limits=limits) for part in (model, Ensemble([model] * members, mean)))
            for expected, found in zip(alone, together, strict=True):
                decoding.assert_ranked(found, [(part.tokens, part.score) for part in expected])


@pytest.mark.parametrize("mean", ["probabilities", "log-probabilities"])
def test_an_ensemble_of_different_models(decoding, mean):
    """All its outputs, with the mean of the members' coverage."""
    models = [make("gru general"), make("lstm mlp feeding", seed=8), make("gru general coverage", seed=9)]
    ensemble = Ensemble(models, mean)
    for settings, prefixes in (({}, [[]] * 4), ({"coverage_penalty": 1.5}, [[]] * 4), (EVERYTHING, BEGINNINGS)):
        search = decoding.all_of(85, **settings)
        found = find(ensemble, search, prefixes=prefixes)
        assert_every_output(decoding, found, search, models, mean, prefixes)


@torch.no_grad()
def test_a_mean_of_probabilities_sums_to_one_and_one_of_logarithms_does_not():
    models = [make("gru general"), make("lstm none", seed=8)]
    sums = []
    for mean in ("probabilities", "log-probabilities"):
        ensemble = Ensemble(models, mean)
        log_probs_BV, _ = ensemble.step(torch.tensor([BOS] * 4), ensemble.start(*sources([0, 1, 2, 3])))
        sums.append(log_probs_BV.exp().sum(-1))
    torch.testing.assert_close(sums[0], torch.ones(4, dtype=torch.double), rtol=1e-12, atol=0)
    assert bool((sums[1] < 0.999).all())


def test_what_no_ensemble_can_be_is_refused():
    model = make("gru general")
    for members, mean, message in (
        ([], "probabilities", "an ensemble needs at least one model"),
        ([model], "median", "the mean of an ensemble must be one of probabilities, log-probabilities, not 'median'"),
    ):
        with pytest.raises(UserError) as error:
            Ensemble(members, mean)
        assert str(error.value) == message
    with pytest.raises(UserError) as error:
        find(Ensemble([model, make("gru general", vocabulary=7)]), Search())
    assert str(error.value) == "an ensemble needs one vocabulary, but its members have 5 and 7 tokens"


def test_a_coverage_penalty_needs_attention():
    message = (
        r"^coverage_penalty needs a model with attention, but this one has none \(model.attention none\); leave it out$"
    )
    for stepper in (make("lstm none"), Ensemble([make("gru general"), make("lstm none")])):
        with pytest.raises(UserError, match=message):
            find(stepper, Search(coverage_penalty=0.1))


# ----------------------------------------------------------------------------------------------------- language models


@pytest.fixture(scope="module")
def language_model():
    model = RecurrentLanguageModel(V, LSTM, embedding_size=6, hidden_size=7, layers=2).double().eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=1.2, generator=generator)
    return model


@torch.no_grad()
def test_a_language_model_is_searched_from_any_state(decoding, language_model):
    """One row for each prompt; its last token starts the outputs."""
    search, prompt = decoding.all_of(85, length_normalization="wu", no_repeat_ngram_size=2), [2, 4, 0]
    _, _, layers = language_model(torch.tensor(prompt[:-1])[:, None])
    state = language_model.start(1)._replace(layers=layers)
    (found,) = beam_search(language_model, state, torch.tensor([3]), bos=prompt[-1], eos=EOS, search=search)

    def of(tokens):
        features_TBE, _, _ = language_model(torch.tensor([*prompt, *tokens])[:, None])
        log_probs_TV = language_model.output.log_probs(features_TBE[len(prompt) - 1 :, 0])
        logp = sum(log_probs_TV[t, token].item() for t, token in enumerate((*tokens, EOS)))
        return decoding.score(logp, len(tokens) + 1, [], search)

    decoding.assert_ranked(found, decoding.enumerated(of, 3, search))


@torch.no_grad()
def test_a_language_model_has_no_coverage(language_model):
    with pytest.raises(UserError) as error:
        beam_search(
            language_model,
            language_model.start(1),
            torch.tensor([3]),
            bos=BOS,
            eos=EOS,
            search=Search(coverage_penalty=0.1),
        )
    assert str(error.value) == "coverage_penalty needs a model with attention, but this one has none; leave it out"
