"""The encoder-decoder: one step at a time or all at once, whatever the batch, and the parts it is made of.

Shape suffixes: S = source steps, T = target steps, B = sentences, R = rows, E = embedding size, V = target vocabulary.
"""

import math

import pytest
import torch

from seqlab.cells.elman import Elman
from seqlab.cells.gru import GRU
from seqlab.cells.lstm import LSTM
from seqlab.cells.rrnn import RRNN
from seqlab.errors import UserError
from seqlab.models.bridge import MeanBridge
from seqlab.models.embedding import ScaledEmbedding
from seqlab.models.encoder_decoder import EncoderDecoder
from seqlab.models.loss import real_tokens, smoothed_cross_entropy, token_scores

SOURCES, V, E, T = 13, 11, 6, 7
LENGTHS = [5, 2, 3]
S, B = max(LENGTHS), len(LENGTHS)
EXACT = {"rtol": 0, "atol": 1e-12}
ROUNDED = {"rtol": 0, "atol": 2e-6, "check_dtype": False}  # log-probabilities may be float32
PAIRS = [(Elman, Elman), (LSTM, LSTM), (GRU, GRU), (RRNN, RRNN), (GRU, LSTM), (LSTM, RRNN), (RRNN, GRU)]


def draw(*shape, seed):
    return torch.randn(shape, dtype=torch.double, generator=torch.Generator().manual_seed(seed))


def make(encoder=GRU, decoder=LSTM, attention="general", tying="two-way", **options):
    """A model in float64 with random weights, biases too."""
    sizes = {"embedding_size": E, "encoder_size": 4, "decoder_size": 8 if attention == "dot" else 5}
    model = EncoderDecoder(SOURCES, V, encoder, decoder, attention=attention, tying=tying, **(sizes | options)).double()
    with torch.no_grad():
        for seed, parameter in enumerate(model.parameters(), 100):
            parameter.copy_(0.5 * draw(*parameter.shape, seed=seed))
    return model


def batch():
    """Padded sources ``[S, B]``, their lengths, targets ``[T, B]``."""
    generator = torch.Generator().manual_seed(1)
    source_SB = torch.randint(SOURCES, (S, B), generator=generator)
    return source_SB, torch.tensor(LENGTHS), torch.randint(V, (T, B), generator=generator)


@pytest.mark.parametrize("attention", ["general", "mlp", "dot", "none"])
@pytest.mark.parametrize(("encoder", "decoder"), PAIRS)
@torch.no_grad()
def test_steps_are_the_teacher_forced_forward(encoder, decoder, attention):
    """Features exactly, log-probabilities to rounding, through two layers on both sides."""
    model = make(encoder, decoder, attention, encoder_layers=2, decoder_layers=2)
    source_SB, lengths_B, target_TB = batch()
    features_TBE = model(source_SB, lengths_B, target_TB)
    log_probs_TBV = model.output(features_TBE).log_softmax(-1)
    state = model.start(source_SB, lengths_B)
    for t in range(T):
        features_BE, _ = model.decoder.step(target_TB[t], state)
        torch.testing.assert_close(features_BE, features_TBE[t], **EXACT)
        log_probs_BV, state = model.step(target_TB[t], state)
        torch.testing.assert_close(log_probs_BV, log_probs_TBV[t], **ROUNDED)


@pytest.mark.parametrize("attention", ["general", "mlp", "dot", "none"])
@pytest.mark.parametrize("decoder", [LSTM, GRU])
@torch.no_grad()
def test_selected_rows_go_on_as_if_computed_from_scratch(decoder, attention):
    """Rows multiply, swap, repeat, and sentences end; every row stays a hypothesis of its own sentence."""
    model = make(GRU, decoder, attention, decoder_layers=2)
    source_SB, lengths_B, _ = batch()
    state, rows = model.start(source_SB, lengths_B), [(b, []) for b in range(B)]  # sentence and tokens of each row
    generator = torch.Generator().manual_seed(2)
    selections = [[[0, 0], [1, 1], [2, 2]], [[1, 0], [2, 3], [5, 4]], [[1, 0, 0], [5, 5, 4]], [[1, 0], [4, 3]], [[3]]]
    for rows_BK in selections:
        tokens_R = torch.randint(V, (len(rows),), generator=generator)
        features_RE, _ = model.decoder.step(tokens_R, state)
        log_probs_RV, state = model.step(tokens_R, state)
        rows = [(b, [*tokens, token]) for (b, tokens), token in zip(rows, tokens_R.tolist(), strict=True)]
        for r, (b, tokens) in enumerate(rows):
            alone = (source_SB[: LENGTHS[b], b : b + 1], lengths_B[b : b + 1])
            expected_E = model(*alone, torch.tensor(tokens)[:, None])[-1, 0]
            torch.testing.assert_close(features_RE[r], expected_E, **EXACT)
            torch.testing.assert_close(log_probs_RV[r], model.output(expected_E).log_softmax(-1), **ROUNDED)
        state = state.select(torch.tensor(rows_BK))
        rows = [rows[r] for row_K in rows_BK for r in row_K]
    assert [b for b, _ in rows] == [2]


@pytest.mark.parametrize("attention", ["general", "mlp", "none"])
@pytest.mark.parametrize(("encoder", "decoder"), PAIRS)
@torch.no_grad()
def test_padding_and_the_other_sentences_change_nothing(encoder, decoder, attention):
    """Alone, in another order, or with other tokens in the padding, a sentence gives the same features."""
    model = make(encoder, decoder, attention, encoder_layers=2)
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
    other_SB = torch.cat([torch.where(padding_SB, (source_SB + 1) % SOURCES, source_SB), torch.ones_like(source_SB)])
    torch.testing.assert_close(model(other_SB, lengths_B, target_TB), features_TBE, **EXACT)


@pytest.mark.parametrize("tying", ["none", "two-way", "three-way"])
def test_tying_shares_the_matrices_it_names(tying):
    model = EncoderDecoder(V, V, GRU, GRU, embedding_size=E, encoder_size=4, decoder_size=5, tying=tying)
    source, target = model.encoder.embedding.weight, model.decoder.embedding.weight
    assert (target is model.output.weight) == (tying != "none")
    assert (source is target) == (tying == "three-way")
    matrices = sum(parameter.shape == (V, E) for parameter in model.parameters())
    assert matrices == {"none": 3, "two-way": 2, "three-way": 1}[tying]


@pytest.mark.parametrize(
    ("tying", "problem"),
    [
        ("three-way", "three-way needs one joint vocabulary, not 13 and 11 tokens"),
        ("all", "tying must be one of none, two-way, three-way, not 'all'"),
    ],
)
def test_impossible_and_unknown_tyings_are_refused(tying, problem):
    with pytest.raises(UserError, match=problem):
        EncoderDecoder(SOURCES, V, GRU, GRU, tying=tying)


@pytest.mark.parametrize("tying", ["none", "two-way", "three-way"])
def test_embeddings_enter_with_unit_variance_and_logits_start_even(tying):
    torch.manual_seed(1)
    model = EncoderDecoder(500, 500, GRU, GRU, embedding_size=64, encoder_size=4, decoder_size=5, tying=tying)
    tokens = torch.arange(500)[:, None]
    for embedding in (model.encoder.embedding, model.decoder.embedding):
        assert isinstance(embedding, ScaledEmbedding)
        assert embedding(tokens).var().item() == pytest.approx(1, rel=0.05)
        assert embedding(tokens).mean().item() == pytest.approx(0, abs=0.03)
        torch.testing.assert_close(embedding(tokens)[7, 0], 8 * embedding.weight[7])  # 64 ** 0.5
    assert model.output.weight.std().item() == pytest.approx(1 / 8, rel=0.05)
    assert not model.output.bias.any()


def test_mean_bridge_is_each_sentences_mean_through_a_map_and_tanh():
    bridge, memory_SBM = MeanBridge(4, [(5, 5), (3,)]).double(), draw(S, B, 4, seed=1)
    for b, length in enumerate(LENGTHS):
        memory_SBM[length:, b] = 0
    state = bridge(memory_SBM, torch.tensor(LENGTHS))
    assert [[part.shape for part in cell] for cell in state] == [[(B, 5), (B, 5)], [(B, 3)]]
    for cell, maps in zip(state, bridge.maps, strict=True):
        for part, linear in zip(cell, maps, strict=True):
            for b, length in enumerate(LENGTHS):
                mean_M = torch.stack([memory_SBM[s, b] for s in range(length)]).mean(0)
                torch.testing.assert_close(part[b], torch.tanh(linear.weight @ mean_M + linear.bias), **EXACT)


def test_real_tokens_drops_padding_alone():
    features_TBE, targets_TB = draw(3, 2, E, seed=1), torch.tensor([[4, 5], [6, 0], [0, 0]])
    features_NE, targets_N = real_tokens(features_TBE, targets_TB, padding=0)
    assert targets_N.tolist() == [4, 5, 6]
    assert torch.equal(features_NE, torch.stack([features_TBE[0, 0], features_TBE[0, 1], features_TBE[1, 0]]))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.6])
def test_smoothed_cross_entropy_is_its_definition(smoothing):
    """Its sum, and its gradient, against target distributions written out token by token."""
    output, features_NE, targets_N = torch.nn.Linear(E, V).double(), draw(5, E, seed=1), [3, 0, 10, 3, 7]
    features_NE.requires_grad_()
    loss = smoothed_cross_entropy(features_NE, torch.tensor(targets_N), output, smoothing)
    expected = 0.0
    for n, target in enumerate(targets_N):
        logits_V = output.weight @ features_NE[n] + output.bias
        for v in range(V):
            share = smoothing / V + (1 - smoothing) * (v == target)
            expected = expected - share * (logits_V[v] - logits_V.exp().sum().log())
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0, check_dtype=False)
    grads, expected_grads = (torch.autograd.grad(value, features_NE) for value in (loss, expected))
    torch.testing.assert_close(grads, expected_grads, rtol=0, atol=1e-6)


def test_token_scores_are_log_softmax_and_hits():
    output, features_NE = torch.nn.Linear(E, V).double(), draw(20, E, seed=1)
    logits_NV = (features_NE @ output.weight.T + output.bias).tolist()
    targets = [max(range(V), key=row.__getitem__) if n % 3 else (n * 5) % V for n, row in enumerate(logits_NV)]
    nll_N, hits_N = token_scores(features_NE, torch.tensor(targets), output)
    for row, target, nll, hit in zip(logits_NV, targets, nll_N.tolist(), hits_N.tolist(), strict=True):
        assert nll == pytest.approx(math.log(sum(map(math.exp, row))) - row[target], rel=1e-5)
        assert hit == (row[target] == max(row))
    assert 0 < sum(hits_N.tolist()) < 20
