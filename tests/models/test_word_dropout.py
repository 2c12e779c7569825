"""Word dropout: how often, what never, and on which side.

Shape suffixes: S = source steps, T = target steps, B = sentences.
"""

import pytest
import torch

from seqlab.cells.gru import GRU
from seqlab.data.tokenizers import BOS, EOS, PAD, UNK
from seqlab.errors import UserError
from seqlab.models.encoder_decoder import EncoderDecoder
from seqlab.models.word_dropout import WordDropout


def test_each_token_is_replaced_with_the_probability():
    """Within four standard deviations, each by itself, and by <unk>."""
    tokens, p = torch.arange(4, 14).repeat(300, 7), 0.3
    torch.manual_seed(1)
    dropped = WordDropout(p)(tokens)
    replaced = dropped == UNK
    assert torch.equal(dropped[~replaced], tokens[~replaced])
    for part in (replaced, replaced[::2], replaced[:, ::3]):
        deviation = (p * (1 - p) / part.numel()) ** 0.5
        assert part.double().mean().item() == pytest.approx(p, abs=4 * deviation)
    neighbours = (replaced[1:] & replaced[:-1]).double().mean().item()
    assert neighbours == pytest.approx(p * p, abs=0.01)


def test_special_tokens_are_never_replaced():
    tokens = torch.tensor([PAD, BOS, EOS]).repeat(500, 1)
    torch.manual_seed(1)
    assert torch.equal(WordDropout(0.9)(tokens), tokens)


def test_it_is_off_in_evaluation_and_without_a_probability():
    tokens, random_state = torch.arange(4, 400), torch.get_rng_state()
    for module in (WordDropout(0.9).eval(), WordDropout(0.0)):
        assert torch.equal(module(tokens), tokens)
    assert torch.equal(torch.get_rng_state(), random_state)


@pytest.mark.parametrize("feeding", [False, True])
@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_both_sides_read_unk_in_their_places(side, feeding):
    """Under one seed a model with it is one without it that is given the replaced tokens."""
    torch.manual_seed(1)
    sizes = {"embedding_size": 6, "encoder_size": 4, "decoder_size": 5}
    model = EncoderDecoder(13, 11, GRU, GRU, tying="two-way", input_feeding=feeding, word_dropout=0.4, **sizes)
    source_SB, lengths_B, target_TB = (
        torch.randint(4, 13, (5, 3)),
        torch.tensor([5, 2, 3]),
        torch.randint(2, 11, (7, 3)),
    )
    (model.decoder if side == "encoder" else model).word_dropout.probability = 0.0
    torch.manual_seed(2)
    features_TBE = model(source_SB, lengths_B, target_TB)
    torch.manual_seed(2)
    tokens = source_SB if side == "encoder" else target_TB
    where = (torch.rand(tokens.shape) < 0.4) & (tokens > EOS)
    replaced = torch.where(where, UNK, tokens)
    assert not torch.equal(replaced, tokens)
    given = (replaced, lengths_B, target_TB) if side == "encoder" else (source_SB, lengths_B, replaced)
    torch.testing.assert_close(model.eval()(*given), features_TBE, rtol=0, atol=1e-6)


@pytest.mark.parametrize("probability", [1.0, -0.1, float("nan")])
def test_impossible_probabilities_are_refused(probability):
    with pytest.raises(UserError, match=f"^word_dropout must be at least 0 and below 1, not {probability}$"):
        WordDropout(probability)
