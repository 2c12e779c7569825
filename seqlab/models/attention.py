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

    Args:
        kind: ``dot``, ``general`` or ``mlp``.
        query_size: Width Q of the queries.
        memory_size: Width M of the memory; ``dot`` needs M = Q.

    Raises:
        UserError: The kind is unknown, or ``dot`` is asked to compare vectors of different width.
    """

    def __init__(self, kind: str, query_size: int, memory_size: int):
        super().__init__()
        if kind not in KINDS:
            raise UserError(f"no attention named {kind!r} (there are: {', '.join(KINDS)}; none leaves it out)")
        if kind == "dot" and query_size != memory_size:
            raise UserError(
                f"attention dot needs decoder states as wide as encoder outputs, not {query_size} and {memory_size}; "
                "take general, or change a size"
            )
        self.kind = kind
        self.gain = nn.Parameter(torch.tensor(4.0))
        self.key = nn.Identity() if kind == "dot" else nn.Linear(memory_size, query_size, bias=False)
        if kind == "mlp":
            self.query = nn.Linear(query_size, query_size)
            self.score = nn.Parameter(torch.randn(query_size))

    def prepare(self, values_SBM: Tensor, lengths_B: Tensor) -> Memory:
        """Computes the keys of a padded batch of encoder outputs."""
        padding_SB = torch.arange(values_SBM.shape[0], device=lengths_B.device)[:, None] >= lengths_B
        return Memory(self.key(values_SBM).transpose(0, 1), values_SBM.transpose(0, 1), padding_SB.t())

    def forward(self, query_BTQ: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Attends with every query of a sentence to that sentence's memory.

        Returns:
            Contexts ``[B, T, M]`` and weights ``[B, T, S]``, which sum to 1 and are 0 on padding.
        """
        scale = self.gain * query_BTQ.shape[-1] ** -0.5
        if self.kind == "mlp":
            hidden_BTSA = torch.tanh(self.query(query_BTQ)[:, :, None] + memory.keys_BSA[:, None])
            scores_BTS = (hidden_BTSA @ self.score) * scale
        else:
            scores_BTS = (query_BTQ * scale) @ memory.keys_BSA.transpose(1, 2)
        weights_BTS = scores_BTS.masked_fill(memory.padding_BS[:, None], float("-inf")).softmax(-1)
        return weights_BTS @ memory.values_BSM, weights_BTS
