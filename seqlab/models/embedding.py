"""Token embeddings that enter the first layer with unit variance."""

from torch import Tensor, nn
from torch.nn import functional


class ScaledEmbedding(nn.Embedding):
    """Embedding vectors drawn with standard deviation E^-0.5 and multiplied by E^0.5 on the way in.

    A recurrent layer gets inputs of variance 1, while an output layer tied to the same matrix gets the small weights it
    needs to start with even logits (Vaswani et al. 2017, section 3.4).

    Args:
        num_embeddings: Size of the vocabulary.
        embedding_dim: Width E.
    """

    @property
    def std(self) -> float:
        """Standard deviation of the weights at the start."""
        return self.embedding_dim**-0.5

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight, std=self.std)

    def forward(self, tokens: Tensor) -> Tensor:
        """Token ids of any shape ``[...]`` to vectors ``[..., E]``."""
        return functional.embedding(tokens, self.weight) * self.embedding_dim**0.5


class UniformEmbedding(nn.Embedding):
    """Embedding vectors drawn uniformly from +-0.1 and not scaled, as in W. Zaremba et al. 2014 and S. Merity et al.
    2018, whose learning rates are for such vectors."""

    std = 0.1 / 3**0.5
    """Standard deviation of the weights at the start."""

    def reset_parameters(self) -> None:
        nn.init.uniform_(self.weight, -0.1, 0.1)


EMBEDDINGS: dict[str, type[ScaledEmbedding | UniformEmbedding]] = {
    "scaled": ScaledEmbedding,
    "uniform": UniformEmbedding,
}
