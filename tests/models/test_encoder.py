"""The encoder's outputs, last states and initial states.

Shape suffixes: S = source steps, B = sentences, I = input size, M = width of the outputs, X = width of the last states.
"""

import pytest
import torch
from torch import nn

from seqlab.cells.gru import GRU
from seqlab.cells.lstm import LSTM
from seqlab.models.encoder import Encoder
from seqlab.models.encoder_decoder import EncoderDecoder
from seqlab.recurrence.stack import RecurrentStack

LENGTHS = [5, 2, 3]
S, B, I, H = max(LENGTHS), len(LENGTHS), 3, 4  # noqa: E741


def make(**options):
    torch.manual_seed(1)
    return Encoder(nn.Identity(), RecurrentStack(lambda size: LSTM(size, H, projection=2), I, 2, **options)).double()


def inputs():
    return torch.randn(S, B, I, dtype=torch.double, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_last_states_are_those_of_the_last_layer(bidirectional):
    encoder, x_SBI, lengths_B = make(bidirectional=bidirectional, ends=True), inputs(), torch.tensor(LENGTHS)
    memory_SBM, end_BX = encoder.encode(x_SBI, lengths_B)
    _, state = encoder.layers(x_SBI, lengths=lengths_B)
    expected = [*state[-2], *state[-1]] if bidirectional else state[-1]
    assert torch.equal(end_BX, torch.cat(expected, -1))
    assert encoder.end_size == end_BX.shape[1] == (H + 2) * (2 if bidirectional else 1)
    assert torch.equal(memory_SBM, encoder(x_SBI, lengths_B))


def test_nothing_is_computed_that_nobody_asks_for():
    assert make(bidirectional=True).encode(inputs(), torch.tensor(LENGTHS))[1] is None


@pytest.mark.parametrize("kind", ["zero", "random", "learned"])
def test_the_initial_state_is_the_encoders_alone(kind):
    """Its options reach the encoder's stack, in both directions and all layers, and never the decoder's."""
    model = EncoderDecoder(
        *(7, 7, GRU, LSTM), encoder_size=3, encoder_layers=2, initial_state=kind, initial_state_std=0.5
    )
    assert model.encoder.layers.noise == (0.5 if kind == "random" else 0.0)
    learned = model.encoder.layers.learned
    assert (learned is not None) == (kind == "learned")
    if learned is not None:
        assert [vector.shape for vector in learned.parameters()] == [(3,)] * 4
    assert model.decoder.layers.learned is None and not model.decoder.layers.noise
