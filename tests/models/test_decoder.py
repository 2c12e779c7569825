"""The decoder with input feeding, coverage and word dropout, against loops written from the papers.

Shape suffixes: S = source steps, T = target steps, B = sentences, R = rows, E = embedding size, V = target vocabulary.
"""

import itertools
import math

import pytest
import torch

from seqlab.cells.elman import Elman
from seqlab.cells.gru import GRU
from seqlab.cells.lstm import LSTM
from seqlab.cells.rrnn import RRNN
from seqlab.decoding.beam import beam_search
from seqlab.decoding.greedy import greedy_search
from seqlab.decoding.search import Search
from seqlab.errors import UserError
from seqlab.models.encoder_decoder import EncoderDecoder
from seqlab.models.loss import coverage_loss

SOURCES, V, E, T = 13, 11, 6, 7
LENGTHS = [5, 2, 3]
S, B = max(LENGTHS), len(LENGTHS)
EXACT = {"rtol": 0, "atol": 1e-12}
OPTIONS = [{"input_feeding": True}, {"coverage": True}, {"input_feeding": True, "coverage": True}]
NAMES = ["feeding", "coverage", "both"]
KINDS = ["general", "mlp", "dot"]


def draw(*shape, seed):
    return torch.randn(shape, dtype=torch.double, generator=torch.Generator().manual_seed(seed))


def make(decoder=LSTM, attention="general", **options):
    """A model in float64 with random weights, biases too."""
    sizes = {"embedding_size": E, "encoder_size": 4, "decoder_size": 8 if attention == "dot" else 5}
    model = EncoderDecoder(SOURCES, V, GRU, decoder, attention=attention, tying="two-way", **(sizes | options)).double()
    with torch.no_grad():
        for seed, parameter in enumerate(model.parameters(), 100):
            parameter.copy_(0.5 * draw(*parameter.shape, seed=seed))
    return model


def batch():
    """Padded sources ``[S, B]``, their lengths, targets ``[T, B]``; no token is a special one."""
    generator = torch.Generator().manual_seed(1)
    source_SB = torch.randint(4, SOURCES, (S, B), generator=generator)
    return source_SB, torch.tensor(LENGTHS), torch.randint(4, V, (T, B), generator=generator)


def score(attention, q, m, c):
    """The score of one query and one memory vector that was looked at c so far."""
    key = m if attention.kind == "dot" else attention.key.weight @ m
    if attention.coverage:
        key = key + attention.cover * c
    if attention.kind == "mlp":
        hidden = torch.tanh(attention.query.weight @ q + attention.query.bias + key)
        return attention.gain / math.sqrt(len(q)) * (attention.score @ hidden)
    return attention.gain / math.sqrt(len(q)) * (q @ key)


def by_hand(model, masks=None):
    """Features ``[T, B, E]``, attention weights ``[B, T, S]`` and the sum over tokens of the coverage loss, sentence by
    sentence and step by step, with masks of embeddings and features."""
    decoder, attention = model.decoder, model.decoder.attention
    source_SB, lengths_B, target_TB = batch()
    memory_SBM = model.encoder(source_SB, lengths_B)
    start = model.bridge(memory_SBM, lengths_B, None)
    ones = draw(T, B, E, seed=1) * 0 + 1
    embedding_mask, feature_mask = masks or (ones, ones)
    features, weights, loss = {}, torch.zeros(B, T, S, dtype=torch.double), 0.0
    for b, length in enumerate(LENGTHS):
        layers = [tuple(part[b : b + 1] for part in cell) for cell in start]
        fed_E = torch.zeros(E, dtype=torch.double)
        seen = [torch.zeros((), dtype=torch.double) for _ in range(length)]
        for t in range(T):
            x = decoder.embedding(target_TB[t, b]) * embedding_mask[t, b]
            if decoder.input_feeding:
                x = torch.cat([x, fed_E])
            for number, cell in enumerate(decoder.layers.cells):
                y, layers[number] = cell(x[None], layers[number])
                x = y[0]
            powers = [score(attention, x, memory_SBM[s, b], seen[s]).exp() for s in range(length)]
            a = [power / sum(powers) for power in powers]
            context_M = sum(weight * memory_SBM[s, b] for s, weight in enumerate(a))
            combined = decoder.combine.weight @ torch.cat([context_M, x]) + decoder.combine.bias
            fed_E = features[t, b] = torch.tanh(combined) * feature_mask[t, b]
            loss = loss + sum(torch.minimum(weight, before) for weight, before in zip(a, seen, strict=True))
            seen = [before + weight for before, weight in zip(seen, a, strict=True)]
            weights[b, t, :length] = torch.stack(a)
    return torch.stack([torch.stack([features[t, b] for b in range(B)]) for t in range(T)]), weights, loss


def assert_same(model, found, expected):
    """Results are equal, and so are the gradients of all weights."""
    factors = [draw(*result.shape, seed=seed) for seed, result in enumerate(found)]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-11)
    grads, expected_grads = (
        torch.autograd.grad(results, list(model.parameters()), factors, allow_unused=True, materialize_grads=True)
        for results in (found, expected)
    )
    torch.testing.assert_close(grads, expected_grads, rtol=0, atol=1e-10)


def decode(model):
    """Features, attention weights and the coverage loss over all tokens."""
    source_SB, lengths_B, target_TB = batch()
    features_TBE, weights_BTS = model.decoder.decode(target_TB, model.start(source_SB, lengths_B))
    return features_TBE, weights_BTS, coverage_loss(weights_BTS, torch.ones(T, B, dtype=torch.bool))


CASES = [(LSTM, kind, option) for kind, option in itertools.product(KINDS, OPTIONS)]
CASES += [(cell, "general", option) for cell, option in itertools.product((Elman, GRU, RRNN), OPTIONS)]
IDS = [f"{cell.__name__}-{kind}-{NAMES[OPTIONS.index(option)]}" for cell, kind, option in CASES]


@pytest.mark.parametrize(("cell", "kind", "options"), CASES, ids=IDS)
def test_it_is_the_papers_loop(cell, kind, options):
    """Through two layers: features, weights and coverage loss, and their gradients."""
    model = make(cell, kind, decoder_layers=2, **options)
    assert_same(model, decode(model), by_hand(model))


@pytest.mark.parametrize("engine", ["plain", "deferred"])
@pytest.mark.parametrize("options", OPTIONS, ids=NAMES)
def test_either_engine_is_the_loop(options, engine):
    model = make(attention="mlp", engine=engine, **options)
    assert_same(model, decode(model), by_hand(model))


@pytest.mark.parametrize("locked", [False, True])
@pytest.mark.parametrize("options", OPTIONS, ids=NAMES)
def test_dropped_features_are_what_is_fed(options, locked):
    """And a locked mask is the same at all steps, of embeddings and of features."""
    model = make(dropout=0.4, locked_dropout=locked, **options)
    source_SB, lengths_B, target_TB = batch()
    state = model.eval().start(source_SB, lengths_B)
    torch.manual_seed(6)
    masks = [torch.nn.functional.dropout(draw(1 if locked else T, B, E, seed=1) * 0 + 1, 0.4) for _ in range(2)]
    masks = [mask.expand(T, B, E) for mask in masks]
    torch.manual_seed(6)
    features_TBE, weights_BTS = model.train().decoder.decode(target_TB, state)
    expected_TBE, expected_BTS, _ = by_hand(model.eval(), masks)
    assert_same(model, (features_TBE, weights_BTS), (expected_TBE, expected_BTS))


@pytest.mark.parametrize("name", ["residual", "normalization", "weight_drop", "zoneout", "bridge", "initial_state"])
@torch.no_grad()
def test_steps_are_teacher_forcing_beside_other_options(name):
    value = {"residual": True, "normalization": "layer", "bridge": "last", "initial_state": "random"}.get(name, 0.3)
    model = make(decoder_layers=2, input_feeding=True, coverage=True, **{name: value})
    source_SB, lengths_B, target_TB = batch()
    model.train().decoder.decode(target_TB, model.start(source_SB, lengths_B))
    model.eval()
    features_TBE = model(source_SB, lengths_B, target_TB)
    state = model.start(source_SB, lengths_B)
    for t in range(T):
        features_BE, state = model.decoder.step(target_TB[t], state)
        torch.testing.assert_close(features_BE, features_TBE[t], **EXACT)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", OPTIONS, ids=NAMES)
@torch.no_grad()
def test_selected_rows_go_on_as_if_computed_from_scratch(options, kind):
    """Rows multiply, swap, repeat, and sentences end; what was fed and looked at stays with its hypothesis."""
    model = make(GRU, kind, decoder_layers=2, **options)
    source_SB, lengths_B, _ = batch()
    state, rows = model.start(source_SB, lengths_B), [(b, []) for b in range(B)]  # sentence and tokens of each row
    generator = torch.Generator().manual_seed(2)
    selections = [[[0, 0], [1, 1], [2, 2]], [[1, 0], [2, 3], [5, 4]], [[1, 0, 0], [5, 5, 4]], [[1, 0], [4, 3]], [[3]]]
    for rows_BK in selections:
        tokens_R = torch.randint(4, V, (len(rows),), generator=generator)
        features_RE, state = model.decoder.step(tokens_R, state)
        rows = [(b, [*tokens, token]) for (b, tokens), token in zip(rows, tokens_R.tolist(), strict=True)]
        for r, (b, tokens) in enumerate(rows):
            alone = (source_SB[: LENGTHS[b], b : b + 1], lengths_B[b : b + 1])
            expected_E = model(*alone, torch.tensor(tokens)[:, None])[-1, 0]
            torch.testing.assert_close(features_RE[r], expected_E, **EXACT)
        state = state.select(torch.tensor(rows_BK))
        rows = [rows[r] for row_K in rows_BK for r in row_K]
        assert len(state.memory.keys_BSA) == len(rows_BK), "the memory is kept once for each sentence"
    assert [b for b, _ in rows] == [2]


@pytest.mark.parametrize("options", OPTIONS, ids=NAMES)
@torch.no_grad()
def test_padding_and_the_other_sentences_change_nothing(options):
    model = make(**options)
    source_SB, lengths_B, target_TB = batch()
    features_TBE = model(source_SB, lengths_B, target_TB)
    for b, length in enumerate(LENGTHS):
        one = slice(b, b + 1)
        alone_TBE = model(source_SB[:length, one], lengths_B[one], target_TB[: 1 + length, one])
        torch.testing.assert_close(alone_TBE, features_TBE[: 1 + length, one], **EXACT)
    order = torch.tensor([2, 0, 1])
    permuted_TBE = model(source_SB[:, order], lengths_B[order], target_TB[:, order])
    torch.testing.assert_close(permuted_TBE, features_TBE[:, order], **EXACT)
    padding_SB = torch.arange(S)[:, None] >= lengths_B
    other_SB = torch.cat([torch.where(padding_SB, source_SB - 1, source_SB), torch.ones_like(source_SB)])
    torch.testing.assert_close(model(other_SB, lengths_B, target_TB), features_TBE, **EXACT)


@pytest.mark.parametrize("options", OPTIONS, ids=NAMES)
@torch.no_grad()
def test_search_is_by_teacher_forced_scores(options):
    """The scores of what beam search finds, whichever sentences are searched together; greedy takes the likeliest."""
    model = make(**options).eval()
    source_SB, lengths_B, _ = batch()
    limits_B = torch.tensor([6, 4, 5])

    def score(b, tokens):
        features_TBE = model(source_SB[:, b : b + 1], lengths_B[b : b + 1], torch.tensor([2, *tokens])[:, None])
        log_probs_TV = model.output(features_TBE)[:, 0].log_softmax(-1)
        return sum(log_probs_TV[t, token].item() for t, token in enumerate((*tokens, 3))), log_probs_TV

    plain = Search(beam=4, length_penalty=0.0, n_best=4)
    found = beam_search(model, model.start(source_SB, lengths_B), limits_B, bos=2, eos=3, search=plain)
    for b, hypotheses in enumerate(found):
        for hypothesis in hypotheses:
            assert hypothesis.score == pytest.approx(score(b, hypothesis.tokens)[0], rel=1e-5)
        state = model.start(source_SB[:, b : b + 1], lengths_B[b : b + 1])
        (alone,) = beam_search(model, state, limits_B[b : b + 1], bos=2, eos=3, search=plain)
        assert [hypothesis.tokens for hypothesis in alone] == [hypothesis.tokens for hypothesis in hypotheses]
    for b, best in enumerate(greedy_search(model, model.start(source_SB, lengths_B), limits_B, bos=2, eos=3)):
        likeliest = score(b, best.tokens)[1].argmax(-1).tolist()
        assert [*best.tokens, 3][: limits_B[b]] == likeliest[: limits_B[b]]


def test_padding_counts_for_nothing_in_batch_normalisation():
    """Neither in training's statistics nor in the running ones, however much there is of it."""
    results = []
    for more in (0, 3):
        model, (source_SB, lengths_B, target_TB) = make(normalization="batch", decoder_layers=2), batch()
        target_TB = torch.cat([target_TB, target_TB[:more] * 0])
        steps_B = torch.tensor([T, 3, 5])
        features_TBE, _ = model.decoder.decode(target_TB, model.start(source_SB, lengths_B), steps_B)
        real_TBE = [features_TBE[:length, b] for b, length in enumerate(steps_B.tolist())]
        results.append([*real_TBE, *model.decoder.layers.norms.state_dict().values()])
    torch.testing.assert_close(results[0], results[1], **EXACT)


def test_names_and_numbers_of_parameters_are_those_of_before_without_the_options():
    plain, options = make(), make(input_feeding=True, coverage=True, word_dropout=0.3)
    new = set(options.state_dict()) - set(plain.state_dict())
    assert new == {"decoder.attention.cover"}
    assert options.decoder.layers.cells[0].input_size == 2 * E
    assert options.decoder.layers.engines() == ["deferred"]
    assert plain.decoder.layers.engines() == ["native"]


def test_coverage_starts_as_attention_without_it():
    model = EncoderDecoder(SOURCES, V, GRU, GRU, coverage=True, tying="two-way")
    assert not model.decoder.attention.cover.any()


def test_the_coverage_loss_is_of_real_tokens_alone():
    weights_BTS = draw(B, T, S, seed=1).softmax(-1)
    real_TB = torch.arange(T)[:, None] < torch.tensor([7, 1, 4])
    expected = 0.0
    for b, length in enumerate([7, 1, 4]):
        for t in range(length):
            for s in range(S):
                before = sum(weights_BTS[b, u, s].item() for u in range(t))
                expected += min(weights_BTS[b, t, s].item(), before)
    assert coverage_loss(weights_BTS, real_TB).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", ["input_feeding", "coverage"])
def test_without_attention_they_are_refused(name):
    with pytest.raises(
        UserError, match=rf"^{name} .* but attention is none; take another attention, or leave {name} out$"
    ):
        make(attention="none", **{name: True})


def test_input_feeding_refuses_what_needs_all_steps_at_once():
    with pytest.raises(UserError, match=r"^input_feeding runs step by step, but normalization batch is over all steps"):
        make(input_feeding=True, normalization="batch", decoder_layers=2)
    with pytest.raises(UserError, match=r"^input_feeding runs step by step, but engine native runs all steps at once"):
        make(input_feeding=True, engine="native")
