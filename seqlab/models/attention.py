"""Attention of decoder states over the encoder's outputs.

Shape suffixes: B = sentences, T = queries (target steps, or hypotheses of one sentence), S = source steps, Q = width of
a query, M = width of the memory, A = width of the attention.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from seqlab.errors import UserError

KINDS = ("dot", "general", "mlp")


class Memory(NamedTuple):
    """What attention looks at, prepared once per sentence."""

    keys_BSA: Tensor
    values_BSM: Tensor
    padding_BS: Tensor
    """True where there is no token."""

    def select(self, sentences: Tensor) -> "Memory":
        """The memory of the given sentences."""
        return Memory(*(part.index_select(0, sentences) for part in self))


class Attention(nn.Module):
    """Attention with the scores of Luong et al. 2015 (``dot``, ``general``) or Bahdanau et al. 2015 (``mlp``).

    ::

        dot       score(q, m) = gain / sqrt(M)  q . m
        general   score(q, m) = gain / sqrt(Q)  q . W m
        mlp       score(q, m) = gain / sqrt(Q)  v . tanh(U q + W m)

    The division keeps scores at unit variance at the start; the gain is learned and starts at 4, which makes the
    distribution sharp enough for a gradient to tell source words apart in the first few hundred steps.

    With coverage (after Tu et al. 2016) each score also depends on c_i, the sum of the weights that position i got at
    the steps before: ``W m_i`` becomes ``W m_i + w c_i`` with a learned vector w. For ``mlp`` this is equation 11 of
    A. See, P. Liu and C. Manning, "Get to the point", ACL 2017. For ``general``, and ``dot``, whose W is the identity,
    it is the same key in a dot product, which adds ``(q . w) c_i``, scaled, to the score. w starts at 0, as attention
    without coverage.

    Args:
        kind: ``dot``, ``general`` or ``mlp``.
        query_size: Width Q of the queries.
        memory_size: Width M of the memory; ``dot`` needs M = Q.
        coverage: Let scores depend on the sums of earlier weights.

    Raises:
        UserError: The kind is unknown, or ``dot`` is asked to compare vectors of different width.
    """

    def __init__(self, kind: str, query_size: int, memory_size: int, *, coverage: bool = False):
        super().__init__()
        if kind not in KINDS:
            raise UserError(f"no attention named {kind!r} (there are: {', '.join(KINDS)}; none leaves it out)")
        if kind == "dot" and query_size != memory_size:
            raise UserError(
                f"attention dot needs decoder states as wide as encoder outputs, not {query_size} and {memory_size}; "
                "take general, or change a size"
            )
        self.kind, self.coverage = kind, coverage
        self.gain = nn.Parameter(torch.tensor(4.0))
        self.key = nn.Identity() if kind == "dot" else nn.Linear(memory_size, query_size, bias=False)
        if kind == "mlp":
            self.query = nn.Linear(query_size, query_size)
            self.score = nn.Parameter(torch.randn(query_size))
        if coverage:
            self.cover = nn.Parameter(torch.zeros(query_size))

    def prepare(self, values_SBM: Tensor, lengths_B: Tensor) -> Memory:
        """Computes the keys of a padded batch of encoder outputs."""
        padding_SB = torch.arange(values_SBM.shape[0], device=lengths_B.device)[:, None] >= lengths_B
        return Memory(self.key(values_SBM).transpose(0, 1), values_SBM.transpose(0, 1), padding_SB.t())

    def forward(self, query_BTQ: Tensor, memory: Memory, coverage_BTS: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Attends with every query of a sentence to that sentence's memory.

        Args:
            query_BTQ: The queries.
            memory: What they look at.
            coverage_BTS: For each query the sums of earlier weights; with coverage only.

        Returns:
            Contexts ``[B, T, M]`` and weights ``[B, T, S]``, which sum to 1 and are 0 on padding.
        """
        scaled_BTA = self._scale(query_BTQ)
        if self.kind == "mlp":
            scores_BTS = self._mlp(scaled_BTA, memory, coverage_BTS)
        else:
            scores_BTS = scaled_BTA @ memory.keys_BSA.transpose(1, 2)
            if coverage_BTS is not None:
                scores_BTS = scores_BTS + (scaled_BTA @ self.cover)[..., None] * coverage_BTS
        weights_BTS = self._normalise(scores_BTS, memory)
        return weights_BTS @ memory.values_BSM, weights_BTS

    def in_turn(self, query_BTQ: Tensor, memory: Memory, coverage_BS: Tensor) -> tuple[Tensor, Tensor]:
        """Attends with coverage with one query of a sentence after the other, each of which sees the sums of all
        weights before it.

        Args:
            query_BTQ: The queries in their order.
            memory: What they look at.
            coverage_BS: The sums before the first of them.

        Returns:
            Contexts ``[B, T, M]`` and weights ``[B, T, S]``.
        """
        # Only what depends on earlier weights is computed query by query.
        scaled_BTA, weights = self._scale(query_BTQ), []
        if self.kind == "mlp":
            for scaled_BA in scaled_BTA.unbind(1):
                scores_B1S = self._mlp(scaled_BA[:, None], memory, coverage_BS[:, None])
                weights.append(self._normalise(scores_B1S, memory)[:, 0])
                coverage_BS = coverage_BS + weights[-1]
        else:
            fixed_BTS = scaled_BTA @ memory.keys_BSA.transpose(1, 2)
            fixed_BTS = fixed_BTS.masked_fill(memory.padding_BS[:, None], float("-inf"))
            slope_BT1 = (scaled_BTA @ self.cover)[..., None]
            for fixed_BS, slope_B1 in zip(fixed_BTS.unbind(1), slope_BT1.unbind(1), strict=True):
                weights.append(torch.addcmul(fixed_BS, slope_B1, coverage_BS).softmax(-1))
                coverage_BS = coverage_BS + weights[-1]
        weights_BTS = torch.stack(weights, 1)
        return weights_BTS @ memory.values_BSM, weights_BTS

    def _scale(self, query_BTQ: Tensor) -> Tensor:
        """Queries as scores use them: for ``mlp`` through U, for the others times the gain and its divisor."""
        if self.kind == "mlp":
            return self.query(query_BTQ)
        return query_BTQ * (self.gain * query_BTQ.shape[-1] ** -0.5)

    def _mlp(self, query_BTA: Tensor, memory: Memory, coverage_BTS: Tensor | None) -> Tensor:
        """Scores ``[B, T, S]`` of ``mlp``."""
        hidden_BTSA = query_BTA[:, :, None] + memory.keys_BSA[:, None]
        if coverage_BTS is not None:
            hidden_BTSA = torch.addcmul(hidden_BTSA, coverage_BTS[..., None], self.cover)
        return (torch.tanh(hidden_BTSA) @ self.score) * (self.gain * query_BTA.shape[-1] ** -0.5)

    @staticmethod
    def _normalise(scores_BTS: Tensor, memory: Memory) -> Tensor:
        """Weights from scores."""
        return scores_BTS.masked_fill(memory.padding_BS[:, None], float("-inf")).softmax(-1)
