"""Embeddings: how wide they are spread at the start, which pretrained ones are scaled to."""

import pytest
import torch

from seqlab.models.embedding import ScaledEmbedding, UniformEmbedding


@pytest.mark.parametrize(("kind", "std"), [(ScaledEmbedding, 1 / 8), (UniformEmbedding, 0.1 / 3**0.5)])
def test_std_is_that_of_the_weights_at_the_start(kind, std):
    torch.manual_seed(1)
    embedding = kind(1000, 64)
    assert embedding.std == pytest.approx(std)
    assert embedding.weight.std().item() == pytest.approx(std, rel=0.01)


def test_uniform_vectors_enter_as_they_are():
    embedding, tokens = UniformEmbedding(7, 3), torch.tensor([[2, 5]])
    assert torch.equal(embedding(tokens)[0], embedding.weight[[2, 5]])
    assert embedding.weight.abs().max() <= 0.1
