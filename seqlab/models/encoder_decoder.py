"""The encoder-decoder network.

Shape suffixes: S = source steps, T = target steps, B = sentences, R = rows while searching, E = embedding size,
V = size of the target vocabulary, X = width of the encoder's last states.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from seqlab.cells.base import RecurrentCell
from seqlab.errors import UserError
from seqlab.models.attention import Attention
from seqlab.models.bridge import check_bridge, make_bridge
from seqlab.models.decoder import Decoder
from seqlab.models.decoder_state import DecoderState
from seqlab.models.embedding import ScaledEmbedding
from seqlab.models.encoder import Encoder
from seqlab.models.loss import full_precision
from seqlab.models.word_dropout import WordDropout
from seqlab.recurrence.stack import RecurrentStack

TYINGS = ("none", "two-way", "three-way")


class EncoderDecoder(nn.Module):
    """Recurrent encoder, bridge, recurrent decoder with attention, output layer.

    It is also the stepper that :mod:`seqlab.decoding` searches with: :meth:`start`, :meth:`step`,
    :meth:`DecoderState.select <seqlab.models.decoder_state.DecoderState.select>`.

    Args:
        source_vocab_size: Number of source tokens.
        target_vocab_size: Number of target tokens V.
        encoder_cell: Makes an encoder cell from its input and hidden size.
        decoder_cell: The same for the decoder.
        embedding_size: Width E of the embeddings and of the features before the output layer.
        encoder_size: Hidden size of an encoder cell, in each direction.
        decoder_size: Hidden size of a decoder cell.
        encoder_layers: Number of encoder layers.
        decoder_layers: Number of decoder layers.
        bidirectional: Run the encoder in both directions.
        residual: Add a layer's input to its output, from the second layer on.
        attention: ``dot``, ``general``, ``mlp`` or ``none``.
        input_feeding: Give each decoder step the feature of the one before (Luong et al. 2015); training is slower.
        coverage: Tell attention how much it looked at each source token so far (Tu et al. 2016, See et al. 2017).
        bridge: The decoder's first state. ``mean`` and ``last``: from the mean of the encoder's outputs, or the last
            states of its last layer, by a linear map and tanh; ``zero``: 0; ``learned``: the same for all sentences.
        initial_state: The encoder's first state. ``zero``: 0; ``random``: drawn in training, 0 in use; ``learned``.
        initial_state_std: Standard deviation of a random initial state.
        tying: ``none``; ``two-way``: target embedding and output layer share one matrix (Press and Wolf 2017);
            ``three-way``: the source embedding shares it too, which needs a joint vocabulary.
        normalization: What is done to a layer's output before the next layer: ``none``, ``layer`` or ``batch``.
        dropout: Probability of dropping elements of embeddings, of outputs between layers and of features.
        word_dropout: Probability of replacing a token that is read by <unk>, on both sides.
        locked_dropout: Drop the same elements at all steps of a sentence.
        weight_drop: Probability of dropping a weight of a recurrent map.
        zoneout: Probability that a unit of a state keeps its old value.
        engine: Forces an engine for every cell.

    Raises:
        UserError: ``tying`` is unknown or asks for vocabularies of one size, or bridge and attention hand nothing over;
            see also :class:`~seqlab.models.attention.Attention`.
    """

    def __init__(
        self,
        source_vocab_size: int,
        target_vocab_size: int,
        encoder_cell: Callable[[int, int], RecurrentCell],
        decoder_cell: Callable[[int, int], RecurrentCell],
        *,
        embedding_size: int = 256,
        encoder_size: int = 256,
        decoder_size: int = 512,
        encoder_layers: int = 1,
        decoder_layers: int = 1,
        bidirectional: bool = True,
        residual: bool = False,
        attention: str = "general",
        input_feeding: bool = False,
        coverage: bool = False,
        bridge: str = "mean",
        initial_state: str = "zero",
        initial_state_std: float = 0.1,
        tying: str = "three-way",
        normalization: str = "none",
        dropout: float = 0.0,
        word_dropout: float = 0.0,
        locked_dropout: bool = False,
        weight_drop: float = 0.0,
        zoneout: float = 0.0,
        engine: str | None = None,
    ):
        super().__init__()
        if min(embedding_size, encoder_layers, decoder_layers) < 1:
            raise UserError("embedding_size, encoder_layers and decoder_layers must be at least 1")
        if tying not in TYINGS:
            raise UserError(f"tying must be one of {', '.join(TYINGS)}, not {tying!r}")
        if tying == "three-way" and source_vocab_size != target_vocab_size:
            raise UserError(
                f"tying three-way needs one joint vocabulary, not {source_vocab_size} and {target_vocab_size} tokens; "
                "take two-way"
            )
        check_bridge(bridge)
        if bridge in ("zero", "learned") and attention == "none":
            raise UserError(
                f"bridge {bridge} and attention none leave the decoder nothing of the source; take another of either"
            )
        target_embedding = ScaledEmbedding(target_vocab_size, embedding_size)
        source_embedding = (
            target_embedding if tying == "three-way" else ScaledEmbedding(source_vocab_size, embedding_size)
        )
        recurrence: dict[str, Any] = {
            "residual": residual,
            "normalization": normalization,
            "dropout": dropout,
            "locked_dropout": locked_dropout,
            "weight_drop": weight_drop,
            "zoneout": zoneout,
            "engine": engine,
        }
        self.encoder = Encoder(
            source_embedding,
            RecurrentStack(
                lambda size: encoder_cell(size, encoder_size),
                embedding_size,
                encoder_layers,
                bidirectional=bidirectional,
                initial_state=initial_state,
                initial_state_std=initial_state_std,
                ends=bridge == "last",
                **recurrence,
            ),
            dropout,
            locked_dropout=locked_dropout,
        )
        memory_size = self.encoder.output_size
        layers = RecurrentStack(
            lambda size: decoder_cell(size, decoder_size),
            embedding_size * (2 if input_feeding else 1),
            decoder_layers,
            initial_state="learned" if bridge == "learned" else "zero",
            # Step by step it is this one, and a run records it.
            **(recurrence | {"engine": "deferred" if input_feeding and engine is None else engine}),
        )
        self.bridge = make_bridge(bridge, self.encoder, layers.state_sizes)
        if coverage and attention == "none":
            raise UserError(
                "coverage is what attention has looked at, but attention is none; take another attention, or leave "
                "coverage out"
            )
        attend = None
        if attention != "none":
            attend = Attention(attention, layers.output_size, memory_size, coverage=coverage)
        self.word_dropout = WordDropout(word_dropout)
        self.decoder = Decoder(
            target_embedding,
            embedding_size,
            layers,
            attend,
            memory_size,
            dropout,
            locked_dropout=locked_dropout,
            input_feeding=input_feeding,
            word_dropout=word_dropout,
        )
        self.output = nn.Linear(embedding_size, target_vocab_size)
        nn.init.zeros_(self.output.bias)
        if tying == "none":
            nn.init.normal_(self.output.weight, std=embedding_size**-0.5)
        else:
            self.output.weight = target_embedding.weight

    def forward(self, source_SB: Tensor, source_lengths_B: Tensor, target_TB: Tensor) -> Tensor:
        """Features ``[T, B, E]`` that predict the token after each given target token (teacher forcing).

        ``output`` turns features into logits; the loss calls it for real tokens only.
        """
        return self.decoder(target_TB, self.start(source_SB, source_lengths_B))

    def start(self, source_SB: Tensor, source_lengths_B: Tensor) -> DecoderState:
        """Encodes the sources; one row per sentence."""
        memory_SBM, end_BX = self.encoder.encode(self.word_dropout(source_SB), source_lengths_B)
        if self.bridge is None:
            layers = self.decoder.layers.initial_state(len(source_lengths_B), memory_SBM)
        else:
            layers = self.bridge(memory_SBM, source_lengths_B, end_BX)
        return self.decoder.start(layers, memory_SBM, source_lengths_B)

    def step(self, tokens_R: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """The last token of every row ``[R]`` to log-probabilities of the next ``[R, V]`` and the new state."""
        features_RE, state = self.decoder.step(tokens_R, state)
        return full_precision(self.output(features_RE)).log_softmax(-1), state
