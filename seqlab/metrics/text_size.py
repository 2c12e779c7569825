"""Scores per word and per byte, which do not depend on how a text was cut into tokens."""

import math
from typing import Any

import torch
from torch import Tensor

from seqlab.metrics.base import Metric
from seqlab.metrics.perplexity import total


class PerText(Metric):
    """Total nats of all tokens, ends of lines included, beside the size of the raw text they are of.

    An unknown word is scored as the token ``<unk>``, which is easier to foresee than the word: the signature of a text
    with any says how many, and that the score compares with none of another vocabulary. Text that the tokenizer has
    changed, as by lower case, is easier to foresee than that whose size is counted: its signature says so too.
    """

    needs = "sized_tokens"
    higher_is_better = False
    of_the_test_set = ("words", "bytes")
    unit: str
    nll: Tensor
    words: Tensor
    bytes: Tensor
    unknown: Tensor
    changed: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("nll", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        for name in ("words", "bytes", "unknown", "changed"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        # Of the last score, for its signature, which is asked for after the counts were reset.
        self._unknown = self._changed = 0

    def update(self, nll: Tensor, sizes: Any) -> None:
        """Adds some tokens.

        Args:
            nll: Negative log-likelihoods ``[N]`` in nats.
            sizes: ``words``, ``bytes``, ``unknown`` tokens and ``changed`` bytes of the raw text (see
                :class:`seqlab.data.encoded_text.Sizes`), which over all batches add up to the text's.
        """
        self.nll += total(nll)
        self.words += sizes.words
        self.bytes += sizes.bytes
        self.unknown += sizes.unknown
        self.changed += sizes.changed

    def signature(self) -> str:
        changed = "|text:changed" if self._changed else ""
        compares = "|compares:no" if self._unknown or self._changed else ""
        return f"per:{self.unit}|eos:yes|smoothing:no|unknown:{self._unknown}{changed}{compares}"

    def _note(self) -> None:
        self._unknown, self._changed = int(self.unknown), int(self.changed)


class WordPerplexity(PerText):
    """``exp`` of the total nats over words and ends of lines."""

    unit = "word"

    def compute(self) -> Tensor:
        """At least 1."""
        self._note()
        return (self.nll / self.words).exp()


class BitsPerByte(PerText):
    """Total nats / ln 2 / bytes of the raw text in UTF-8, line feeds included."""

    unit = "byte"

    def compute(self) -> Tensor:
        """In bits."""
        self._note()
        return self.nll / math.log(2) / self.bytes
