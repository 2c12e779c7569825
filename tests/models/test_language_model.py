"""The recurrent language model: its parts against their definitions.

Shape suffixes: T = time steps, B = rows, E = embedding size, V = size of the vocabulary.
"""

import math

import pytest
import torch
from torch import nn

from seqlab.cells.gru import GRU
from seqlab.cells.lstm import LSTM
from seqlab.errors import UserError
from seqlab.models.language_model import RecurrentLanguageModel
from seqlab.models.output_layer import AdaptiveSoftmax, Softmax

T, B, V, E, H = 9, 3, 11, 5, 7


def make(**options):
    torch.manual_seed(1)
    options = {"embedding_size": E, "hidden_size": H, "layers": 2, **options}
    model = RecurrentLanguageModel(V, LSTM, **options).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.4)
    return model


def tokens(*shape, seed=2):
    return torch.randint(V, shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("tying", [True, False])
def test_it_is_embedding_torchs_lstm_and_softmax(tying):
    """Two layers of nn.LSTM with the same weights; with tying the last layer is as wide as the embedding."""
    model, tokens_TB = make(tying=tying).eval(), tokens(T, B)
    x_TBE = model.embedding.weight[tokens_TB] * math.sqrt(E)
    for cell, size, width in zip(model.layers.cells, (E, H), (H, E if tying else H), strict=True):
        layer = nn.LSTM(size, width).double()
        weights = [cell.input.weight, cell.recurrent.weight, cell.input.bias, cell.recurrent.bias]
        with torch.no_grad():
            for mine, theirs in zip(layer.parameters(), weights, strict=True):
                mine.copy_(theirs)
        x_TBE, _ = layer(x_TBE)
    expected_TBV = (x_TBE @ model.output.weight.T + model.output.bias).log_softmax(-1)
    features_TBE, raw_TBE, _ = model(tokens_TB)
    torch.testing.assert_close(model.output.log_probs(features_TBE), expected_TBV, rtol=0, atol=1e-12)
    assert torch.equal(features_TBE, raw_TBE)
    assert (model.output.weight is model.embedding.weight) == tying


@pytest.mark.parametrize("sizes", [(9,), (4, 5), (1, 2, 6)])
def test_windows_with_the_state_carried_are_one_long_text(sizes):
    model, tokens_TB = make().eval(), tokens(T, B)
    whole_TBE, _, last = model(tokens_TB)
    state, parts = None, []
    for window in tokens_TB.split(sizes):
        features_TBE, _, state = model(window, state)
        parts.append(features_TBE)
    torch.testing.assert_close(torch.cat(parts), whole_TBE, rtol=0, atol=1e-12)
    torch.testing.assert_close(state, last, rtol=0, atol=1e-12)


def test_a_reset_starts_a_text_anew():
    model, tokens_TB = make().eval(), tokens(T, B)
    resets_TB = torch.zeros(T, B, dtype=torch.bool)
    resets_TB[4] = True
    features_TBE, _, _ = model(tokens_TB, resets=resets_TB)
    expected_TBE = torch.cat([model(part)[0] for part in tokens_TB.split((4, 5))])
    torch.testing.assert_close(features_TBE, expected_TBE, rtol=0, atol=1e-12)


def test_steps_are_the_text():
    """As a stepper: log-probabilities of one token after the other."""
    model, tokens_TB = make().eval(), tokens(T, B)
    expected_TBV = model.output.log_probs(model(tokens_TB)[0])
    state = model.start(B)
    for t in range(T):
        log_probs_BV, state = model.step(tokens_TB[t], state)
        torch.testing.assert_close(log_probs_BV, expected_TBV[t], rtol=0, atol=1e-12)
    kept = state.select(torch.tensor([[2], [0]]))
    assert torch.equal(kept.layers[1][0], state.layers[1][0][[2, 0]])


def test_embedding_dropout_drops_whole_words():
    """A word is dropped wherever it occurs or nowhere; the others are scaled; another batch drops others."""
    model, p = make(embedding_dropout=0.5).train(), 0.5
    tokens_TB = tokens(50, 4)
    whole_TBE = model.embedding(tokens_TB)
    drops = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        x_TBE = model._embed(tokens_TB)
        dropped_TB = (x_TBE == 0).all(-1)
        torch.testing.assert_close(x_TBE[~dropped_TB], whole_TBE[~dropped_TB] / (1 - p))
        words = {int(word) for word in tokens_TB[dropped_TB]}
        assert words and words.isdisjoint({int(word) for word in tokens_TB[~dropped_TB]})
        drops.append(words)
    assert drops[0] != drops[1]
    torch.testing.assert_close(model.eval()._embed(tokens_TB), whole_TBE)


@pytest.mark.parametrize("locked", [True, False])
def test_input_and_output_dropout(locked):
    model = make(input_dropout=0.5, dropout=0.5, locked_dropout=locked).train()
    seen = []
    model.layers.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    features_TBE, raw_TBE, _ = model(tokens(T, B))
    for dropped_TBE in (seen[0], features_TBE):
        masks_TBE = dropped_TBE != 0
        assert 0.2 < masks_TBE.double().mean() < 0.8
        assert (masks_TBE == masks_TBE[:1]).all() == locked
    kept_TBE = features_TBE != 0
    torch.testing.assert_close(features_TBE[kept_TBE], 2 * raw_TBE[kept_TBE])


def test_adaptive_softmax_is_its_definition():
    """p(head token) from the head; p(tail token) = p(its cluster) x p(token in the cluster)."""
    torch.manual_seed(1)
    output, features_NE = AdaptiveSoftmax(32, V, [4, 7]).double(), torch.randn(20, 32, dtype=torch.double)
    head_N6 = features_NE @ output.layer.head.weight.T
    head_N6 = head_N6.log_softmax(-1)
    expected_NV = torch.cat(
        [
            head_N6[:, :4],
            *(
                head_N6[:, 4 + cluster, None] + (features_NE @ small.weight.T @ large.weight.T).log_softmax(-1)
                for cluster, (small, large) in enumerate(output.layer.tail)
            ),
        ],
        -1,
    )
    torch.testing.assert_close(output.log_probs(features_NE), expected_NV, rtol=0, atol=1e-12)
    targets_N = torch.randint(V, (20,))
    nll_N, hits_N = output.scores(features_NE, targets_N)
    torch.testing.assert_close(nll_N, -expected_NV[torch.arange(20), targets_N], rtol=0, atol=1e-12)
    assert torch.equal(hits_N, expected_NV.argmax(-1) == targets_N)
    torch.testing.assert_close(output.nll(features_NE, targets_N), nll_N)


def test_softmax_scores():
    torch.manual_seed(1)
    output, features_NE, targets_N = Softmax(E, V).double(), torch.randn(20, E, dtype=torch.double), tokens(20)
    log_probs_NV = (features_NE @ output.weight.T + output.bias).log_softmax(-1)
    nll_N, hits_N = output.scores(features_NE, targets_N)
    torch.testing.assert_close(nll_N, -log_probs_NV[torch.arange(20), targets_N], rtol=0, atol=1e-12)
    assert torch.equal(hits_N, log_probs_NV.argmax(-1) == targets_N)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"cutoffs": [4]}, "tying shares the embedding matrix .* but it has clusters"),
        ({"tying": False, "cutoffs": [7, 4]}, "cutoffs must rise"),
        ({"tying": False, "cutoffs": [4, 7]}, "2 clusters need features at least 16 wide"),
        ({"tying": False, "cutoffs": [V]}, "cutoffs must rise and lie below the 11 tokens"),
        ({"layers": 0}, "layers must be at least 1"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1"),
        ({"embedding_dropout": -0.1}, "embedding_dropout must be"),
    ],
)
def test_impossible_options(options, problem):
    with pytest.raises(UserError, match=problem):
        make(**options)


def test_tying_needs_outputs_as_wide_as_the_embedding():
    with pytest.raises(UserError, match="the last layer's outputs are 4 wide"):
        RecurrentLanguageModel(V, lambda *sizes: LSTM(*sizes, projection=4), embedding_size=E)
    assert RecurrentLanguageModel(V, GRU, embedding_size=E, hidden_size=H).output.weight.shape == (V, E)
