"""The decoder: previous target tokens, a state and a memory to features of the next tokens.

Shape suffixes: T = target steps, B = sentences, R = rows (B, or B x K while searching with K hypotheses each),
S = source steps, E = embedding size, H = width of the recurrent output, M = width of the memory.
"""

from contextlib import ExitStack
from typing import NamedTuple

import torch
from torch import Tensor, nn

from seqlab.errors import UserError
from seqlab.models.attention import Attention
from seqlab.models.decoder_state import DecoderState
from seqlab.models.word_dropout import WordDropout
from seqlab.recurrence.deferred import deferred_gradients
from seqlab.recurrence.dropout import make_dropout
from seqlab.recurrence.stack import RecurrentStack, StackState
from seqlab.recurrence.stepwise import Stepwise, check_stepwise, dropout_mask, masked, normalises_over_steps


class Decoded(NamedTuple):
    """What teacher forcing gives."""

    features_TBE: Tensor
    weights_BTS: Tensor | None
    """Attention weights; None without attention."""


class Decoder(nn.Module):
    """Embedding, recurrent layers, then attention (Luong et al. 2015).

    ::

        y_t = layers(x_t, y_{t-1})
        c_t = attention(y_t, memory)
        feature_t = tanh(W [c_t; y_t] + b)

    where ``x_t = embed(token_{t-1})``. Since attention follows the recurrent layers, a whole target runs through them
    in one call while training; attention with coverage then takes its turns.

    With input feeding (section 3.3 there) ``x_t = [embed(token_{t-1}); feature_{t-1}]``, where the feature is the one
    that the output layer was given, and 0 before the first step. So every step waits for the one before, in training
    too.

    Args:
        embedding: Maps token ids to vectors of width E, which is also the width of the features.
        embedding_size: E.
        layers: The recurrent layers, for inputs of width E, or 2 E with input feeding.
        attention: None for a decoder that sees the source through its first state only (Sutskever et al. 2014).
        memory_size: M.
        dropout: Probability of dropping elements of the embeddings and of the features.
        locked_dropout: Drop the same elements at all steps.
        input_feeding: Give each step the feature of the one before.
        word_dropout: Probability of replacing a token that is given; see
            :class:`~seqlab.models.word_dropout.WordDropout`.

    Raises:
        UserError: A probability is out of its range, or input feeding has no attention to feed or layers that it cannot
            run step by step.
    """

    def __init__(
        self,
        embedding: nn.Module,
        embedding_size: int,
        layers: RecurrentStack,
        attention: Attention | None,
        memory_size: int,
        dropout: float = 0.0,
        *,
        locked_dropout: bool = False,
        input_feeding: bool = False,
        word_dropout: float = 0.0,
    ):
        super().__init__()
        if input_feeding and attention is None:
            raise UserError(
                "input_feeding hands on what attention found, but attention is none; take another attention, or leave "
                "input_feeding out"
            )
        if input_feeding:
            check_stepwise(layers, "input_feeding")
        self.embedding, self.layers, self.attention = embedding, layers, attention
        self.dropout = make_dropout(dropout, locked=locked_dropout)
        self.word_dropout = WordDropout(word_dropout)
        self.embedding_size, self.input_feeding = embedding_size, input_feeding
        self.coverage = attention is not None and attention.coverage
        context_size = memory_size if attention is not None else 0
        self.combine = nn.Linear(context_size + layers.output_size, embedding_size)

    def start(self, layers: StackState, memory_SBM: Tensor, lengths_B: Tensor) -> DecoderState:
        """The state before the first step."""
        steps, rows = memory_SBM.shape[:2]
        return DecoderState(
            layers,
            self.attention.prepare(memory_SBM, lengths_B) if self.attention else None,
            memory_SBM.new_zeros(rows, self.embedding_size) if self.input_feeding else None,
            memory_SBM.new_zeros(rows, steps) if self.coverage else None,
        )

    def forward(self, tokens_TB: Tensor, state: DecoderState) -> Tensor:
        """Features ``[T, B, E]`` for given target tokens (teacher forcing)."""
        return self.decode(tokens_TB, state).features_TBE

    def decode(self, tokens_TB: Tensor, state: DecoderState, lengths_B: Tensor | None = None) -> Decoded:
        """Features for given target tokens, and where attention looked.

        Args:
            tokens_TB: The tokens.
            state: The state before the first.
            lengths_B: Number of steps of each sentence, which layers that normalise over all steps need in training.
        """
        if self.input_feeding:
            return self._in_steps(tokens_TB, state)
        x_TBE = self.dropout(self.embedding(self.word_dropout(tokens_TB)))
        lengths_B = lengths_B if normalises_over_steps(self.layers) else None
        y_TBH, _ = self.layers(x_TBE, state.layers, lengths=lengths_B, last=False)
        y_BTH, memory, coverage_BS = y_TBH.transpose(0, 1), state.memory, state.coverage_RS
        if self.attention is None or memory is None:
            return Decoded(self.dropout(self._features(y_TBH, None)), None)
        if not self.coverage or coverage_BS is None:
            context_BTM, weights_BTS = self.attention(y_BTH, memory)
        else:
            context_BTM, weights_BTS = self.attention.in_turn(y_BTH, memory, coverage_BS)
        return Decoded(self.dropout(self._features(y_TBH, context_BTM.transpose(0, 1))), weights_BTS)

    def step(self, tokens_R: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """One step for every row: the last tokens ``[R]`` to features ``[R, E]`` and the new state.

        The hypotheses of one sentence attend to its one memory side by side, as the steps of a target do in training.
        """
        x_RE = self.dropout(self.embedding(self.word_dropout(tokens_R[None])))[0]
        if state.feature_RE is not None:
            x_RE = torch.cat([x_RE, state.feature_RE], -1)
        y_1RH, layers = self.layers(x_RE[None], state.layers)
        features_RE, weights_RS = self.look(y_1RH[0], state)
        features_RE = self.dropout(features_RE)
        return features_RE, self.next_state(state, layers, features_RE, weights_RS)

    def look(self, y_RH: Tensor, state: DecoderState) -> tuple[Tensor, Tensor | None]:
        """Features ``[R, E]`` of one step's recurrent outputs, before dropout, and attention weights ``[R, S]``."""
        memory, coverage_RS = state.memory, state.coverage_RS if self.coverage else None
        if self.attention is None or memory is None:
            return self._features(y_RH, None), None
        by_sentence = (len(memory.padding_BS), -1)
        coverage_BKS = None if coverage_RS is None else coverage_RS.unflatten(0, by_sentence)
        context_BKM, weights_BKS = self.attention(y_RH.unflatten(0, by_sentence), memory, coverage_BKS)
        return self._features(y_RH, context_BKM.flatten(0, 1)), weights_BKS.flatten(0, 1)

    @staticmethod
    def next_state(
        state: DecoderState, layers: StackState, features_RE: Tensor, weights_RS: Tensor | None
    ) -> DecoderState:
        """The state after a step that gave these features and attention weights."""
        return DecoderState(
            layers,
            state.memory,
            None if state.feature_RE is None else features_RE,
            None if state.coverage_RS is None or weights_RS is None else state.coverage_RS + weights_RS,
        )

    def _in_steps(self, tokens_TB: Tensor, state: DecoderState) -> Decoded:
        """Teacher forcing where a step needs the feature of the one before."""
        features, weights = [], []
        with DecoderSteps(self, len(tokens_TB), state, tokens_TB) as steps:
            for t in range(len(tokens_TB)):
                features_BE, weights_BS, state = steps.step(t, state)
                features.append(features_BE)
                weights.append(weights_BS)
        return Decoded(torch.stack(features), torch.stack([part for part in weights if part is not None], 1))

    def _features(self, y: Tensor, context: Tensor | None) -> Tensor:
        """The last equation: recurrent outputs ``[..., H]`` and contexts ``[..., M]`` to features ``[..., E]``."""
        return torch.tanh(self.combine(y if context is None else torch.cat([context, y], -1)))


class DecoderSteps:
    """A decoder over one batch of targets, step by step, within a ``with``.

    All masks are drawn on entering, in the order in which :meth:`Decoder.decode` draws them: under one seed, and given
    the same tokens, both compute the same.

    Args:
        decoder: The decoder.
        steps: Number of steps T.
        state: Its state before the first, one row per sentence.
        tokens_TB: The tokens of all steps, if they are known and the decoder has input feeding.
    """

    def __init__(self, decoder: Decoder, steps: int, state: DecoderState, tokens_TB: Tensor | None = None):
        self.decoder, self.steps, self.tokens_TB = decoder, steps, tokens_TB
        self.rows = len(state.layers[0][0])
        self._exits = ExitStack()

    def __enter__(self) -> "DecoderSteps":
        decoder, like, known_TBE = self.decoder, next(self.decoder.parameters()), None
        shape = (self.steps, self.rows, decoder.embedding_size)
        self._replaced = decoder.word_dropout.draw(shape[:2], like.device)
        self._embedding_mask = dropout_mask(decoder.dropout, *shape, like=like)
        if self.tokens_TB is not None:
            known_TBE = decoder.embedding(decoder.word_dropout.replace(self.tokens_TB, self._replaced))
            known_TBE = known_TBE if self._embedding_mask is None else known_TBE * self._embedding_mask
        with ExitStack() as exits:
            self._layers = exits.enter_context(Stepwise(decoder.layers, *shape[:2], like, known_TBE))
            self._feature_mask = dropout_mask(decoder.dropout, *shape, like=like)
            if decoder.layers.engine != "plain":
                exits.enter_context(deferred_gradients(decoder.combine))
                if decoder.attention is not None:
                    exits.enter_context(deferred_gradients(decoder.attention))
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._exits.close()

    def step(
        self, t: int, state: DecoderState, tokens_B: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None, DecoderState]:
        """Step t.

        Args:
            t: Its number; steps come in their order.
            state: The state before it.
            tokens_B: The last tokens, where those of all steps are not known.

        Returns:
            Features ``[B, E]``, attention weights ``[B, S]`` or None, and the state after the step.
        """
        decoder, parts = self.decoder, []
        if tokens_B is not None:
            replaced_B = None if self._replaced is None else self._replaced[t]
            x_BE = decoder.embedding(decoder.word_dropout.replace(tokens_B, replaced_B))
            parts.append(masked(x_BE, self._embedding_mask, t))
        if state.feature_RE is not None:
            parts.append(state.feature_RE)
        y_BH, layers = self._layers.step(t, parts[0] if len(parts) == 1 else torch.cat(parts, -1), state.layers)
        features_BE, weights_BS = decoder.look(y_BH, state)
        features_BE = masked(features_BE, self._feature_mask, t)
        return features_BE, weights_BS, decoder.next_state(state, layers, features_BE, weights_BS)
