"""Scores per word and per byte, which do not depend on how a text was cut into tokens."""

import math
from typing import Any

import torch
from torch import Tensor

from seqlab.metrics.base import Metric


class PerText(Metric):
    """Total nats of all tokens, ends of lines included, beside the size of the raw text they are of.

    An unknown word is scored as the token ``<unk>``, which is easier to foresee than the word: the signature of a text
    with any says how many, and that the score compares with none of another vocabulary.
    """

    needs = "sized_tokens"
    higher_is_better = False
    unit: str
    nll: Tensor
    words: Tensor
    bytes: Tensor
    unknown: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("nll", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        for name in ("words", "bytes", "unknown"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self._unknown = 0  # of the last score, for its signature, which is asked for after the counts were reset

    def update(self, nll: Tensor, sizes: Any) -> None:
        """Adds some tokens.

        Args:
            nll: Negative log-likelihoods ``[N]`` in nats.
            sizes: ``words``, ``bytes`` and ``unknown`` tokens of the raw text (see
                :class:`seqlab.data.encoded_text.Sizes`), which over all batches add up to the text's.
        """
        self.nll += nll.double().sum()
        self.words += sizes.words
        self.bytes += sizes.bytes
        self.unknown += sizes.unknown

    def signature(self) -> str:
        compares = f"unknown:{self._unknown}|compares:no" if self._unknown else "unknown:0"
        return f"per:{self.unit}|eos:yes|smoothing:no|{compares}"


class WordPerplexity(PerText):
    """``exp`` of the total nats over words and ends of lines."""

    unit = "word"

    def compute(self) -> Tensor:
        """At least 1."""
        self._unknown = int(self.unknown)
        return (self.nll / self.words).exp()


class BitsPerByte(PerText):
    """Total nats / ln 2 / bytes of the raw text in UTF-8, line feeds included."""

    unit = "byte"

    def compute(self) -> Tensor:
        """In bits."""
        self._unknown = int(self.unknown)
        return self.nll / math.log(2) / self.bytes
