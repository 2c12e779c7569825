"""Every bridge against its definition, for any cell after any other.

Shape suffixes: S = source steps, T = target steps, B = sentences, X = width of the encoder's last states.
"""

import pytest
import torch

from seqlab.cells.elman import Elman
from seqlab.cells.gru import GRU
from seqlab.cells.lstm import LSTM
from seqlab.cells.rrnn import RRNN
from seqlab.errors import UserError
from seqlab.models.encoder_decoder import EncoderDecoder

CELLS = [Elman, LSTM, GRU, RRNN]
BRIDGES = ["mean", "last", "zero", "learned"]
SOURCES, V, T = 13, 11, 4
LENGTHS = [5, 2, 3]
S, B = max(LENGTHS), len(LENGTHS)
EXACT = {"rtol": 0, "atol": 1e-12}


class Warm(GRU):
    """A cell that starts from ones."""

    def initial_state(self, rows, like):
        return (like.new_ones(rows, self.hidden_size),)


def draw(*shape, seed):
    return torch.randn(shape, dtype=torch.double, generator=torch.Generator().manual_seed(seed))


def make(encoder, decoder, bridge="mean", **options):
    """A model in float64 with random weights, biases too, and two layers on both sides."""
    sizes = {"embedding_size": 6, "encoder_size": 4, "decoder_size": 5, "encoder_layers": 2, "decoder_layers": 2}
    model = EncoderDecoder(SOURCES, V, encoder, decoder, tying="two-way", bridge=bridge, **(sizes | options)).double()
    with torch.no_grad():
        for seed, parameter in enumerate(model.parameters(), 100):
            parameter.copy_(0.5 * draw(*parameter.shape, seed=seed))
    return model


def batch():
    """Padded sources ``[S, B]``, their lengths, targets ``[T, B]``."""
    generator = torch.Generator().manual_seed(1)
    source_SB = torch.randint(SOURCES, (S, B), generator=generator)
    return source_SB, torch.tensor(LENGTHS), torch.randint(V, (T, B), generator=generator)


def read(cell, x_SI):
    """All outputs ``[S, O]`` and the last state of a cell that reads one sentence."""
    state, outputs = cell.initial_state(1, x_SI), []
    for x_I in x_SI:
        output_1O, state = cell(x_I[None], state)
        outputs.append(output_1O[0])
    return torch.stack(outputs), state


def last_states(model, source_S):
    """The last layer's state parts of one sentence, side by side ``[X]``: the backward cell ends at the first word."""
    x_SI = model.encoder.embedding(source_S)
    for layer in range(2):
        forward, backward = model.encoder.layers.cells[2 * layer : 2 * layer + 2]
        (right_SO, right), (left_SO, left) = read(forward, x_SI), read(backward, x_SI.flip(0))
        x_SI = torch.cat([right_SO, left_SO.flip(0)], -1)
    return torch.cat([*right, *left], -1)[0]


@pytest.mark.parametrize("decoder", CELLS)
@pytest.mark.parametrize("encoder", CELLS)
def test_last_is_the_encoders_last_states_through_a_map_and_tanh(encoder, decoder):
    """With the gradients of every weight on the way."""
    model = make(encoder, decoder, "last")
    source_SB, lengths_B, _ = batch()
    found = model.start(source_SB, lengths_B).layers
    ends_BX = torch.stack([last_states(model, source_SB[:length, b]) for b, length in enumerate(LENGTHS)])
    parts, expected = [part for cell in found for part in cell], []
    for maps in model.bridge.maps:
        expected += [torch.tanh(ends_BX @ linear.weight.T + linear.bias) for linear in maps]
    assert [part.shape for part in parts] == [(B, size) for sizes in model.decoder.layers.state_sizes for size in sizes]
    torch.testing.assert_close(parts, expected, **EXACT)
    weights = [*model.encoder.parameters(), *model.bridge.parameters()]
    factors = [draw(*part.shape, seed=seed) for seed, part in enumerate(parts)]
    grads, expected_grads = (
        torch.autograd.grad(value, weights, factors, materialize_grads=True) for value in (parts, expected)
    )
    torch.testing.assert_close(grads, expected_grads, **EXACT)


@pytest.mark.parametrize("bridge", ["zero", "learned"])
@pytest.mark.parametrize(("encoder", "decoder"), [(LSTM, GRU), (Elman, LSTM), (GRU, RRNN), (RRNN, Elman), (GRU, Warm)])
def test_zero_and_learned_are_the_same_for_all_sentences(encoder, decoder, bridge):
    """zero is the cell's own start; learned are its own parameters, and the loss reaches every one of them."""
    model = make(encoder, decoder, bridge)
    source_SB, lengths_B, target_TB = batch()
    assert model.bridge is None
    value = 1.0 if decoder is Warm else 0.0
    start = model.start(source_SB, lengths_B).layers
    for number, (cell, sizes) in enumerate(zip(start, model.decoder.layers.state_sizes, strict=True)):
        learned = model.decoder.layers.learned.cells[number] if bridge == "learned" else None
        for index, (part, size) in enumerate(zip(cell, sizes, strict=True)):
            expected = torch.full((size,), value, dtype=torch.double) if learned is None else learned[index]
            assert torch.equal(part, expected.expand(B, size))
    model(source_SB, lengths_B, target_TB).sum().backward()
    if bridge == "learned":
        assert all(vector.grad.abs().sum() > 0 for vector in model.decoder.layers.learned.parameters())


def test_a_learned_start_begins_where_the_cell_does():
    model = EncoderDecoder(SOURCES, V, GRU, Warm, tying="none", decoder_size=5, bridge="learned")
    assert [vector.tolist() for vector in model.decoder.layers.learned.parameters()] == [[1.0] * 5]
    model = EncoderDecoder(SOURCES, V, GRU, LSTM, tying="none", decoder_size=5, bridge="learned")
    assert [vector.tolist() for vector in model.decoder.layers.learned.parameters()] == [[0.0] * 5] * 2


@pytest.mark.parametrize("bridge", BRIDGES)
@pytest.mark.parametrize(("encoder", "decoder"), [(LSTM, GRU), (GRU, LSTM), (RRNN, Elman), (Elman, RRNN)])
@torch.no_grad()
def test_padding_and_the_other_sentences_change_nothing(encoder, decoder, bridge):
    model = make(encoder, decoder, bridge)
    source_SB, lengths_B, target_TB = batch()
    features_TBE = model(source_SB, lengths_B, target_TB)
    for b, length in enumerate(LENGTHS):
        one = slice(b, b + 1)
        alone_TBE = model(source_SB[:length, one], lengths_B[one], target_TB[:, one])
        torch.testing.assert_close(alone_TBE, features_TBE[:, one], **EXACT)
    padding_SB = torch.arange(S)[:, None] >= lengths_B
    other_SB = torch.cat([torch.where(padding_SB, (source_SB + 1) % SOURCES, source_SB), torch.ones_like(source_SB)])
    torch.testing.assert_close(model(other_SB, lengths_B, target_TB), features_TBE, **EXACT)


@pytest.mark.parametrize("bridge", BRIDGES)
@torch.no_grad()
def test_steps_are_the_teacher_forced_forward(bridge):
    model = make(LSTM, LSTM, bridge)
    source_SB, lengths_B, target_TB = batch()
    features_TBE, state = model(source_SB, lengths_B, target_TB), model.start(source_SB, lengths_B)
    for t in range(T):
        features_BE, state = model.decoder.step(target_TB[t], state)
        torch.testing.assert_close(features_BE, features_TBE[t], **EXACT)


def test_only_bridge_last_keeps_the_encoder_from_torchs_lstm():
    assert make(LSTM, LSTM, "mean").encoder.layers.engines() == ["native"] * 4
    assert make(LSTM, LSTM, "last").encoder.layers.engines() == ["deferred"] * 4
    assert make(GRU, LSTM, "last").encoder.layers.engines() == ["native"] * 4
    assert make(LSTM, LSTM, "last").decoder.layers.engines() == ["native"] * 2


def test_the_default_has_the_parameters_it_always_had():
    names = [name for name, _ in make(GRU, LSTM, "mean", decoder_layers=1).named_parameters()]
    assert [name for name in names if not name.startswith(("encoder.", "decoder.", "output."))] == [
        *("bridge.maps.0.0.weight", "bridge.maps.0.0.bias", "bridge.maps.0.1.weight", "bridge.maps.0.1.bias")
    ]
    assert not any("learned" in name for name in names)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"bridge": "first"}, "^bridge must be one of mean, last, zero, learned, not 'first'$"),
        ({"bridge": "zero", "attention": "none"}, "^bridge zero and attention none leave the decoder nothing"),
        ({"bridge": "learned", "attention": "none"}, "^bridge learned and attention none leave the decoder nothing"),
        ({"bridge": "last", "engine": "native"}, "^engine native cannot run LSTM here: .* leave the choice open"),
        ({"initial_state": "one"}, "^initial_state must be one of zero, random, learned, not 'one'$"),
        ({"initial_state_std": -1.0}, r"^initial_state_std must not be negative, not -1\.0$"),
        ({"normalization": "group"}, "^normalization must be one of none, layer, batch, not 'group'$"),
    ],
)
def test_unknown_and_contradictory_options(options, problem):
    with pytest.raises(UserError, match=problem):
        make(LSTM, LSTM, **options)
