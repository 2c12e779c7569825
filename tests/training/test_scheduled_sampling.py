"""Scheduled sampling: its decays, and tokens of the model's own against a loop that draws as it goes.

Shape suffixes: S = source steps, T = target steps, B = sentences, V = target vocabulary.
"""

import math

import pytest
import torch

from seqlab.cells.gru import GRU
from seqlab.cells.lstm import LSTM
from seqlab.errors import UserError
from seqlab.models.encoder_decoder import EncoderDecoder
from seqlab.training.scheduled_sampling import Exponential, InverseSigmoid, Linear, ScheduledSampling

SOURCES, V, T, B = 13, 11, 7, 5
LENGTHS = [5, 2, 3, 4, 1]
S = max(LENGTHS)
OPTIONS = [{}, {"input_feeding": True}, {"coverage": True}, {"attention": "none"}]
DROPOUTS = {"dropout": 0.4, "weight_drop": 0.3, "zoneout": 0.2, "word_dropout": 0.3, "normalization": "layer"}


class Fixed(ScheduledSampling):
    """A share of true tokens that does not change."""

    def __init__(self, share, argmax=False):
        super().__init__(argmax)
        self.share = share

    def probability(self, step):
        return self.share


def make(**options):
    """A model in float64 with large random weights, so that its tokens differ."""
    sizes = {"embedding_size": 6, "encoder_size": 4, "decoder_size": 5, "decoder_layers": 2}
    model = EncoderDecoder(SOURCES, V, GRU, LSTM, tying="two-way", **(sizes | options)).double()
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=1.2, generator=generator)
    return model


def batch():
    """Padded sources ``[S, B]``, their lengths, targets ``[T, B]`` that begin with BOS."""
    generator = torch.Generator().manual_seed(1)
    target_TB = torch.randint(4, V, (T, B), generator=generator)
    target_TB[0] = 2
    return torch.randint(4, SOURCES, (S, B), generator=generator), torch.tensor(LENGTHS), target_TB


@pytest.mark.parametrize("share", [0.0, 0.4, 0.8])
@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: next(iter(options), "plain"))
@torch.no_grad()
def test_it_is_a_loop_that_draws_as_it_goes(options, share):
    """For each sentence alone: a coin for each token but the first, then the likeliest after those given so far."""
    model, (source_SB, lengths_B, target_TB) = make(**options), batch()
    torch.manual_seed(5)
    own_TB = torch.rand(T, B) >= share
    torch.manual_seed(5)
    mixed_TB = Fixed(share, argmax=True).mix(model, model.start(source_SB, lengths_B), target_TB, 0)
    for b, length in enumerate(LENGTHS):
        state, given = model.start(source_SB[:length, b : b + 1], lengths_B[b : b + 1]), [2]
        for t in range(1, T):
            log_probs_1V, state = model.step(torch.tensor(given[-1:]), state)
            given.append(log_probs_1V.argmax().item() if own_TB[t, b] else target_TB[t, b].item())
        assert mixed_TB[:, b].tolist() == given
    assert not torch.equal(mixed_TB, target_TB)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: next(iter(options), "plain"))
def test_both_passes_have_the_same_dropout(options):
    """So the model's own tokens are those that the pass with the gradient holds for the likeliest."""
    model, (source_SB, lengths_B, target_TB) = make(**options, **DROPOUTS), batch()
    torch.manual_seed(5)
    state = model.start(source_SB, lengths_B)
    random_state = torch.get_rng_state()
    mixed_TB = Fixed(0.0, argmax=True).mix(model, state, target_TB, 0)
    assert torch.equal(torch.get_rng_state(), random_state)
    features_TBE = model.decoder(mixed_TB, state)
    assert torch.equal(model.output(features_TBE).argmax(-1)[:-1], mixed_TB[1:])
    assert features_TBE.requires_grad
    again_TBE = model.decoder(mixed_TB, state)
    assert not torch.allclose(again_TBE, features_TBE), "there was dropout"


@pytest.mark.parametrize("options", OPTIONS[:2], ids=["plain", "input_feeding"])
def test_in_mixed_precision_every_weight_has_its_gradient(options):
    model, (source_SB, lengths_B, target_TB) = make(**options).float(), batch()
    grads = []
    with torch.autocast("cpu", torch.bfloat16):
        for sampling in (Fixed(0.0, argmax=True), None):
            state = model.start(source_SB, lengths_B)
            if sampling is not None:
                target_TB = sampling.mix(model, state, target_TB, 0)
            loss = model.output(model.decoder(target_TB, state)).float().square().mean()
            grads.append(torch.autograd.grad(loss, list(model.parameters())))
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-2, atol=1e-3)


@torch.no_grad()
def test_tokens_are_drawn_from_the_models_distribution():
    """Of a model that is certain of its distribution, within four standard deviations."""
    model, rows = make().eval(), 4000
    model.output.weight.zero_()
    model.output.bias.copy_(torch.linspace(-1, 2, V))
    source_SB, target_TB = torch.full((2, rows), 5), torch.full((3, rows), 4)
    torch.manual_seed(3)
    mixed_TB = Fixed(0.0).mix(model, model.start(source_SB, torch.full((rows,), 2)), target_TB, 0)
    assert torch.equal(mixed_TB[0], target_TB[0])
    for t in (1, 2):
        for token, p in enumerate(model.output.bias.softmax(-1).tolist()):
            found = (mixed_TB[t] == token).double().mean().item()
            assert found == pytest.approx(p, abs=4 * (p * (1 - p) / rows) ** 0.5)


@torch.no_grad()
def test_the_share_of_true_tokens_is_the_probability():
    model, rows = make().eval(), 3000
    model.output.weight.zero_()
    model.output.bias.copy_(-1e3 * (torch.arange(V) != 9))
    source_SB, target_TB = torch.full((1, rows), 5), torch.full((3, rows), 4)
    mixed_TB = Linear(start=0.9, slope=0.01).mix(model, model.start(source_SB, torch.ones(rows).long()), target_TB, 20)
    assert (mixed_TB[1:] == 4).double().mean().item() == pytest.approx(0.7, abs=4 * (0.21 / 2 / rows) ** 0.5)
    assert set(mixed_TB[1:].unique().tolist()) == {4, 9}


def test_where_all_are_true_nothing_is_drawn():
    random_state, target_TB = torch.get_rng_state(), batch()[2]
    assert Linear(slope=0.1).mix(None, None, target_TB, 0) is target_TB
    assert torch.equal(torch.get_rng_state(), random_state)


def test_decays_are_those_of_the_paper():
    """Section 2.4; the inverse sigmoid is 1/2 at k ln k, and nothing overflows."""
    for step in (0, 1, 7, 500):
        linear = max(0.2, 0.95 - 0.01 * step)
        assert Linear(start=0.95, slope=0.01, minimum=0.2).probability(step) == pytest.approx(linear)
        assert Exponential(k=0.99).probability(step) == pytest.approx(0.99**step)
        sigmoid = 30 / (30 + math.exp(step / 30))
        assert InverseSigmoid(k=30).probability(step) == pytest.approx(sigmoid)
    assert InverseSigmoid(k=1000).probability(round(1000 * math.log(1000))) == pytest.approx(0.5, abs=1e-3)
    assert InverseSigmoid(k=1).probability(10**9) == pytest.approx(0, abs=1e-300)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Linear(start=1.1),
        lambda: Linear(start=0.2),
        lambda: Linear(minimum=-0.1),
        lambda: Linear(slope=-1e-3),
        lambda: Exponential(k=1.0),
        lambda: Exponential(k=0.0),
        lambda: InverseSigmoid(k=0.9),
        lambda: InverseSigmoid(k=math.inf),
        lambda: InverseSigmoid(k=math.nan),
    ],
)
def test_bad_arguments(make):
    with pytest.raises(UserError, match=r"^scheduled_sampling \w+: "):
        make()
