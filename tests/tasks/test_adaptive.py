"""Neural cache and dynamic evaluation against slow loops.

Shape suffixes: T = time steps, B = rows, E = width of the features, V = size of the vocabulary.
"""

import pytest
import torch

from seqlab.data.encoded_text import Sizes
from seqlab.data.streams import StreamBatch
from seqlab.data.tokenizers import PAD, TokenizerSettings, make_tokenizer
from seqlab.errors import UserError
from seqlab.metrics import Accuracy, Perplexity
from seqlab.tasks.adaptive import DynamicEvaluation, NeuralCache
from seqlab.tasks.language_model import LanguageModel

T, B, E, V = 9, 2, 5, 7
WORDS = make_tokenizer(["a b c d e f g"], TokenizerSettings("word", 20))


def slow_cache(log_probs_TBV, h_TBE, targets_TB, size, theta, weight):
    """The equations, token by token."""
    expected = log_probs_TBV.clone()
    for row in range(B):
        for t in range(1, T):
            kept = [i for i in range(max(0, t - size), t) if targets_TB[i, row] != PAD]
            if not kept:
                continue
            scores = torch.stack([(theta * h_TBE[t, row] @ h_TBE[i, row]).exp() for i in kept])
            cache = torch.zeros(V, dtype=torch.double)
            for i, score in zip(kept, scores / scores.sum(), strict=True):
                cache[targets_TB[i, row]] += score
            expected[t, row] = ((1 - weight) * log_probs_TBV[t, row].exp() + weight * cache).log()
    return expected


@pytest.mark.parametrize("size", [1, 3, 20])
@pytest.mark.parametrize("windows", [(9,), (4, 5), (1,) * 9])
def test_the_cache_is_its_equations_however_the_text_is_cut(size, windows):
    torch.manual_seed(1)
    log_probs_TBV = torch.randn(T, B, V, dtype=torch.double).log_softmax(-1)
    h_TBE, targets_TB = torch.randn(T, B, E, dtype=torch.double), torch.randint(1, V, (T, B))
    targets_TB[-2:, 1] = PAD
    cache = NeuralCache(size, theta=0.7, weight=0.3)
    parts = [
        cache.mix(*part) for part in zip(*(x.split(windows) for x in (log_probs_TBV, h_TBE, targets_TB)), strict=True)
    ]
    expected = slow_cache(log_probs_TBV, h_TBE, targets_TB, size, 0.7, 0.3)
    torch.testing.assert_close(torch.cat(parts), expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(torch.cat(parts).exp().sum(-1), torch.ones(T, B, dtype=torch.double), rtol=1e-6, atol=0)


def make():
    torch.manual_seed(1)
    metrics = {"perplexity": Perplexity(), "accuracy": Accuracy()}
    return LanguageModel(
        WORDS, "gru", embedding_size=6, hidden_size=6, metrics=metrics, optimizer=torch.optim.SGD
    ).double()


def windows(lengths=(4, 3)):
    draw, batches = torch.Generator().manual_seed(2), []
    for number, length in enumerate(lengths):
        inputs, targets = (torch.randint(4, len(WORDS), (length, B), generator=draw) for _ in range(2))
        count = length * B
        batches.append(
            StreamBatch(inputs, targets, None, None, number == 0, 1.0, count, count, torch.arange(B), B, Sizes())
        )
    return batches


def test_dynamic_evaluation_scores_each_window_and_then_learns_from_it():
    task, twin = make(), make()
    for _ in DynamicEvaluation(0.5, decay=0.1).score(task, windows()):
        pass
    found = float(task.compute_metrics()["perplexity"])
    origin = [parameter.detach().clone() for parameter in twin.network.parameters()]
    total = count = 0.0
    state = None
    twin.eval()
    for batch in windows():
        state = state and tuple(tuple(part.detach() for part in cell) for cell in state)
        features, _, state = twin.network(batch.inputs_TB, state)
        loss = twin.network.output.nll(features.flatten(0, 1), batch.targets_TB.flatten())
        total, count = total + float(loss.detach().sum()), count + len(loss)
        grads = torch.autograd.grad(loss.mean(), list(twin.network.parameters()))
        with torch.no_grad():
            for parameter, grad, first in zip(twin.network.parameters(), grads, origin, strict=True):
                parameter.copy_(parameter - 0.5 * grad + 0.1 * (first - parameter))
    assert found == pytest.approx(torch.tensor(total / count).exp().item(), rel=1e-6)
    for parameter, first in zip(task.network.parameters(), origin, strict=True):
        assert torch.equal(parameter, first), "the trained weights are put back"


def test_the_trained_weights_are_put_back_after_an_exception():
    task = make()
    before = [parameter.detach().clone() for parameter in task.network.parameters()]
    scores = DynamicEvaluation(0.5).score(task, windows())
    next(scores)
    scores.close()
    assert all(torch.equal(a, b) for a, b in zip(task.network.parameters(), before, strict=True))


@pytest.mark.parametrize(
    "make_it", [lambda: NeuralCache(0), lambda: NeuralCache(5, weight=1.0), lambda: NeuralCache(5, -1)]
)
def test_impossible_caches(make_it):
    with pytest.raises(UserError, match="neural cache"):
        make_it()


@pytest.mark.parametrize("settings", [(0.0, 0.0), (0.1, 1.0), (-1.0, 0.0)])
def test_impossible_dynamic_evaluations(settings):
    with pytest.raises(UserError, match="dynamic evaluation"):
        DynamicEvaluation(*settings)
