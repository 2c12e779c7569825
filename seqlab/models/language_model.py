"""The recurrent language model.

Shape suffixes: T = time steps, B = rows, R = rows while generating, E = embedding size, V = size of the vocabulary.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.cells.base import RecurrentCell
from seqlab.errors import UserError
from seqlab.models.embedding import EMBEDDINGS
from seqlab.models.output_layer import AdaptiveSoftmax, Softmax
from seqlab.recurrence.dropout import make_dropout
from seqlab.recurrence.stack import RecurrentStack, StackState, select_rows


class LanguageModelState(NamedTuple):
    """What one step of generation hands to the next."""

    layers: StackState

    def select(self, rows_BK: Tensor) -> "LanguageModelState":
        """Keeps the given rows."""
        return LanguageModelState(select_rows(self.layers, rows_BK.flatten()))


class RecurrentLanguageModel(nn.Module):
    """Embedding, recurrent layers, output layer, with the dropouts of Merity et al. 2018 (AWD-LSTM) for any cell.

    It is also the stepper that :mod:`seqlab.decoding` generates with.

    Args:
        vocab_size: V.
        cell: Makes a cell from its input and hidden size.
        embedding_size: E.
        embedding_init: ``scaled``: vectors of unit variance; ``uniform``: within +-0.1.
        hidden_size: Hidden size of a layer; with tying the last layer's is E instead.
        layers: Number of layers.
        tying: Let embedding and output layer share one matrix (Press and Wolf 2017).
        cutoffs: First tokens of the clusters of an adaptive softmax; a whole softmax if None.
        residual: Add a layer's input to its output, from the second layer on.
        normalization: What is done to a layer's output before the next layer: ``none``, ``layer`` or ``batch``.
        initial_state: The state before the first token of a text. ``zero``: 0; ``random``: drawn in training, 0 in use;
            ``learned``.
        initial_state_std: Standard deviation of a random initial state.
        embedding_dropout: Probability of dropping a word wherever it occurs in a batch (Gal and Ghahramani 2016).
        input_dropout: Probability of dropping elements of what enters the first layer.
        layer_dropout: The same between two layers.
        dropout: The same for what enters the output layer.
        locked_dropout: Drop the same elements at all steps.
        weight_drop: Probability of dropping a weight of a recurrent map.
        zoneout: Probability that a unit of a state keeps its old value.
        engine: Forces an engine for every cell.

    Raises:
        UserError: A size or probability is out of its range, or tying does not fit the rest.
    """

    def __init__(
        self,
        vocab_size: int,
        cell: Callable[[int, int], RecurrentCell],
        *,
        embedding_size: int = 200,
        embedding_init: str = "scaled",
        hidden_size: int = 200,
        layers: int = 2,
        tying: bool = True,
        cutoffs: list[int] | None = None,
        residual: bool = False,
        normalization: str = "none",
        initial_state: str = "zero",
        initial_state_std: float = 0.1,
        embedding_dropout: float = 0.0,
        input_dropout: float = 0.0,
        layer_dropout: float = 0.0,
        dropout: float = 0.0,
        locked_dropout: bool = True,
        weight_drop: float = 0.0,
        zoneout: float = 0.0,
        engine: str | None = None,
    ):
        super().__init__()
        if min(embedding_size, layers) < 1:
            raise UserError("embedding_size and layers must be at least 1")
        for name, value in {
            "embedding_dropout": embedding_dropout,
            "input_dropout": input_dropout,
            "layer_dropout": layer_dropout,
            "dropout": dropout,
        }.items():
            if not 0 <= value < 1:
                raise UserError(f"{name} must be at least 0 and below 1, not {value}")
        if embedding_init not in EMBEDDINGS:
            raise UserError(f"embedding_init must be one of {', '.join(EMBEDDINGS)}, not {embedding_init!r}")
        self.embedding = EMBEDDINGS[embedding_init](vocab_size, embedding_size)
        self.embedding_dropout = embedding_dropout
        sizes = [hidden_size] * (layers - 1) + [embedding_size if tying else hidden_size]
        widths = iter(sizes)
        self.layers = RecurrentStack(
            lambda size: cell(size, next(widths)),
            embedding_size,
            layers,
            residual=residual,
            normalization=normalization,
            initial_state=initial_state,
            initial_state_std=initial_state_std,
            dropout=layer_dropout,
            locked_dropout=locked_dropout,
            weight_drop=weight_drop,
            zoneout=zoneout,
            engine=engine,
        )
        self.input_dropout = make_dropout(input_dropout, locked=locked_dropout)
        self.output_dropout = make_dropout(dropout, locked=locked_dropout)
        features = self.layers.output_size
        if tying and (features != embedding_size or cutoffs):
            why = f"the last layer's outputs are {features} wide" if features != embedding_size else "it has clusters"
            raise UserError(
                f"tying shares the embedding matrix ({embedding_size} wide) with the output layer, but {why}; "
                "set tying to false"
            )
        self.output: Softmax | AdaptiveSoftmax = (
            AdaptiveSoftmax(features, vocab_size, cutoffs)
            if cutoffs
            else Softmax(features, vocab_size, self.embedding.weight if tying else None)
        )

    def forward(
        self,
        tokens_TB: Tensor,
        state: StackState | None = None,
        *,
        lengths: Tensor | None = None,
        resets: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, StackState]:
        """Reads tokens.

        Args:
            tokens_TB: Token ids.
            state: The state before the first; the cells' initial one if None.
            lengths: Number of tokens ``[B]`` of each row; all T if None.
            resets: True ``[T, B]`` where a token is the first of a new text.

        Returns:
            Features ``[T, B, E]`` for the output layer, the same before dropout, and the state after the last token.
        """
        x_TBE = self.input_dropout(self._embed(tokens_TB))
        raw_TBE, state = self.layers(x_TBE, state, lengths=lengths, resets=resets, last=lengths is None)
        return self.output_dropout(raw_TBE), raw_TBE, state or ()

    def start(self, rows: int) -> LanguageModelState:
        """The state before the first token."""
        like = self.embedding.weight.new_empty(1)
        return LanguageModelState(self.layers.initial_state(rows, like))

    def step(self, tokens_R: Tensor, state: LanguageModelState) -> tuple[Tensor, LanguageModelState]:
        """The last token of every row ``[R]`` to log-probabilities of the next ``[R, V]`` and the new state."""
        features_1RE, _, layers = self(tokens_R[None], state.layers)
        return self.output.log_probs(features_1RE[0]), LanguageModelState(layers)

    def _embed(self, tokens_TB: Tensor) -> Tensor:
        x_TBE = self.embedding(tokens_TB)
        if not self.training or not self.embedding_dropout:
            return x_TBE
        kept_V = functional.dropout(torch.ones_like(self.embedding.weight[:, 0]), self.embedding_dropout)
        return x_TBE * kept_V[tokens_TB][..., None]
