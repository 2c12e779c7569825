"""What a tokenizer is: text to token ids and back."""

import json
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from seqlab.errors import UserError
from seqlab.specs import check_range

PAD, UNK, BOS, EOS = 0, 1, 2, 3
"""Token ids that every tokenizer has: padding, unknown, begin and end of sentence."""

MOST_TOKENS = 2**31 - 1
"""Token ids have 32 bits."""

Kind = Literal["unigram", "bpe", "word", "character", "byte"]
Normalization = Literal["none", "nfc", "nfkc"]

DroppingEncoder = Callable[[str, Iterator[int]], list[int]]
"""Encodes a line with merges left out: the iterator says how many are kept before each that is dropped."""


@dataclass
class TokenizerSettings:
    """How a tokenizer is made.

    Args:
        kind: unigram (subwords, Kudo 2018), bpe (subwords, Sennrich et al. 2016), word (between spaces), character, or
            byte (of UTF-8; nothing to train).
        vocab_size: Number of tokens, special ones included; the most there may be where kind is word or character.
        split_digits: Make every digit a token of its own, so that numbers are spelled, not memorised; for subwords.
        min_count: The least occurrences of a word or character that is kept.
        lossless: Keep text as it is: every space, no Unicode normalisation, and characters not in the training text
            as bytes; for subwords. Characters and bytes always do.
        file: An existing tokenizer, which is taken as it is, so that nothing above has an effect: a SentencePiece
            model, or a run or a checkpoint of one (its tokenizer).
        lowercase: Put text into lower case first.
        normalization: Unicode normalisation of text: none, nfc or nfkc. null: SentencePiece's nmt_nfkc (NFKC, and
            every kind of space is a space) for subwords that are not lossless, none for other kinds, and for a file
            what it was made with, before which nfc and nfkc come.
        dropout: Probability of leaving out a merge of kind bpe, drawn anew for each training sentence and epoch
            (BPE-dropout, Provilkov et al. 2020).
    """

    kind: Kind = "unigram"
    vocab_size: int = 6000
    split_digits: bool = True
    min_count: int = 1
    lossless: bool = False
    file: str | None = None
    lowercase: bool = False
    normalization: Normalization | None = None
    dropout: float = 0.0

    def check(self, name: str = "data.tokenizer") -> None:
        """Makes sure that the settings go together.

        Args:
            name: What they are called.

        Raises:
            UserError: They do not, or one is out of its range.
        """
        for setting, value, field in (
            ("kind", self.kind, Kind),
            ("normalization", self.normalization, Normalization),
        ):
            if value is not None and value not in get_args(field):
                raise UserError(f"{name}.{setting}: {value!r} is none of {', '.join(get_args(field))}")
        if not 0 <= self.dropout <= 1:
            raise UserError(f"{name}.dropout ({self.dropout}) is a probability: at least 0 and at most 1")
        if self.file is not None:
            return
        if self.kind != "byte" and self.vocab_size > MOST_TOKENS:
            check_range(f"{name}.vocab_size", self.vocab_size, EOS + 3, MOST_TOKENS)
        if self.kind in ("unigram", "bpe") and self.vocab_size < EOS + 3:
            raise UserError(
                f"{name}.vocab_size ({self.vocab_size}) includes {EOS + 1} special tokens: give at least {EOS + 3}"
            )
        counted = ("word", "character")
        if self.min_count < 1 or (self.min_count > 1 and self.kind not in counted):
            raise UserError(
                f"{name}.min_count ({self.min_count}) must be positive, and is for kinds {' and '.join(counted)}, "
                f"not {self.kind}"
            )
        if self.dropout and self.kind != "bpe":
            raise UserError(f"{name}.dropout ({self.dropout}) leaves out merges of kind bpe; {self.kind} has none")
        changes = "lowercase" if self.lowercase else f"normalization {self.normalization}"
        if self.lossless and (self.lowercase or self.normalization in ("nfc", "nfkc")):
            raise UserError(f"{name}.lossless keeps text as it is, {changes} changes it: leave one of the two out")


class Tokenizer(ABC):
    """A trained tokenizer; :mod:`seqlab.data.tokenizers` makes them."""

    model: bytes
    """All there is to know of it."""

    @abstractmethod
    def encode(self, line: str) -> list[int]:
        """Token ids of a line, without begin or end of sentence; what is not in the vocabulary is UNK."""

    def dropping(self, name: str = "data.tokenizer") -> DroppingEncoder:
        """What encodes with merges left out, where a tokenizer merges.

        Raises:
            UserError: It does not.
        """
        raise UserError(f"{name}.dropout leaves out merges of kind bpe; this tokenizer is of kind {self.kind_name}")

    @property
    def kind_name(self) -> str:
        """What kind of tokenizer it is, by the names of the settings."""
        return type(self).__name__.lower()

    @property
    def keeps_text(self) -> bool:
        """Whether all but white space comes back from the tokens of a text as it was, where none of them is UNK.

        Else the text that is predicted is another one than that whose words and bytes are counted, and easier.
        """
        return True

    @abstractmethod
    def decode(self, tokens: Iterable[int]) -> str:
        """The text of token ids; padding, begin and end of sentence leave no trace, unknown ones ``<unk>``."""

    def pieces(self) -> list[str]:
        """The text of every token, in the order of their ids; of a subword that begins a word with its ``▁``."""
        return [self.decode([token]) for token in range(len(self))]

    @abstractmethod
    def __len__(self) -> int:
        """Number of tokens, special ones included."""


def prepare(line: str, lowercase: bool, form: str | None) -> str:
    """A line in a Unicode normal form (``nfc`` or ``nfkc``; None: as it is), and in lower case if asked for."""
    if form == "nfc":
        line = unicodedata.normalize("NFC", line)
    elif form == "nfkc":
        line = unicodedata.normalize("NFKC", line)
    return line.lower() if lowercase else line


def to_json(**values: object) -> bytes:
    """The bytes of a tokenizer that is described by some values."""
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()
