"""Tokenizers: text to token ids and back.

Subwords are the work of SentencePiece (Kudo and Richardson 2018). It is trained with one thread, since with more of
them the same corpus does not always give the same pieces. Words, characters and bytes are in :mod:`seqlab.data.words`.
"""

import io
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import sentencepiece

from seqlab.errors import UserError

PAD, UNK, BOS, EOS = 0, 1, 2, 3
"""Token ids that every tokenizer has: padding, unknown, begin and end of sentence."""


@dataclass
class TokenizerSettings:
    """How a tokenizer is trained.

    Args:
        kind: unigram (subwords, Kudo 2018), bpe (subwords, Sennrich et al. 2016), word (between spaces), character, or
            byte (of UTF-8; nothing to train).
        vocab_size: Number of tokens, special ones included; the most there may be where kind is word or character.
        split_digits: Make every digit a token of its own, so that numbers are spelled, not memorised; for subwords.
        min_count: The least occurrences of a word or character that is kept.
        lossless: Keep text as it is: every space, no Unicode normalisation, and characters not in the training text
            as bytes; for subwords. Characters and bytes always do.
    """

    kind: Literal["unigram", "bpe", "word", "character", "byte"] = "unigram"
    vocab_size: int = 6000
    split_digits: bool = True
    min_count: int = 1
    lossless: bool = False


class Tokenizer(ABC):
    """A trained tokenizer; :meth:`train` makes one, :func:`load_tokenizer` makes it again from its bytes."""

    model: bytes
    """All there is to know of it."""

    @staticmethod
    def train(lines: Iterable[str], settings: TokenizerSettings) -> "Tokenizer":
        """Trains a tokenizer; the same lines always give the same one.

        Raises:
            UserError: The lines cannot fill the vocabulary, or it cannot hold their characters, or a setting is wrong.
        """
        from seqlab.data.words import VOCABULARIES, Bytes  # whose classes are tokenizers

        if settings.min_count < 1 or (settings.min_count > 1 and settings.kind not in VOCABULARIES):
            raise UserError(
                f"data.tokenizer.min_count ({settings.min_count}) must be positive, and is for kinds "
                f"{' and '.join(VOCABULARIES)}, not {settings.kind}"
            )
        if settings.kind in VOCABULARIES:
            return VOCABULARIES[settings.kind].counted(lines, settings)
        return Bytes() if settings.kind == "byte" else Subwords.trained(lines, settings)

    @abstractmethod
    def encode(self, line: str) -> list[int]:
        """Token ids of a line, without begin or end of sentence; what is not in the vocabulary is UNK."""

    @abstractmethod
    def decode(self, tokens: Iterable[int]) -> str:
        """The text of token ids; padding, begin and end of sentence leave no trace, unknown ones ``<unk>``."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of tokens, special ones included."""


def load_tokenizer(model: bytes) -> Tokenizer:
    """The tokenizer whose ``model`` these bytes are."""
    if model.startswith(b"{"):  # a SentencePiece model never does
        from seqlab.data.words import load_vocabulary

        return load_vocabulary(model)
    return Subwords(model)


class Subwords(Tokenizer):
    """Subwords by SentencePiece.

    Args:
        model: A SentencePiece model.
    """

    def __init__(self, model: bytes):
        self.model = model
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)

    @classmethod
    def trained(cls, lines: Iterable[str], settings: TokenizerSettings) -> "Subwords":
        """Trains a model of kind ``unigram`` or ``bpe``."""
        model = io.BytesIO()
        options: dict[str, Any] = {}
        if settings.lossless:
            options = {"normalization_rule_name": "identity", "remove_extra_whitespaces": False}
            options |= {"allow_whitespace_only_pieces": True, "byte_fallback": True}
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(lines),
                model_writer=model,
                model_type=settings.kind,
                vocab_size=settings.vocab_size,
                hard_vocab_limit=True,
                character_coverage=1.0,
                split_digits=settings.split_digits,
                max_sentence_length=1 << 24,
                num_threads=1,
                pad_id=PAD,
                unk_id=UNK,
                bos_id=BOS,
                eos_id=EOS,
                unk_surface="<unk>",
                minloglevel=3,
                **options,
            )
        except RuntimeError as error:
            raise UserError(_explain(str(error), settings)) from error
        return cls(model.getvalue())

    def encode(self, line: str) -> list[int]:
        return self._processor.encode(line)

    def decode(self, tokens: Iterable[int]) -> str:
        return self._processor.decode([int(token) for token in tokens if token not in (PAD, BOS, EOS)])

    def __len__(self) -> int:
        return self._processor.get_piece_size()


def _explain(message: str, settings: TokenizerSettings) -> str:
    """A line for what SentencePiece says of a vocabulary size."""
    asked = f"a vocabulary of {settings.vocab_size:,} {settings.kind} tokens"
    if most := re.search(r"too high.*<= (\d+)", message, re.DOTALL):
        return f"{asked} is more than the training text supports: set data.tokenizer.vocab_size to at most {most[1]}"
    if least := re.search(r"required_chars.*?\d+ vs (\d+)", message, re.DOTALL):
        least_size = f"set data.tokenizer.vocab_size to {least[1]} or more"
        return f"{asked} cannot hold the characters of the training text: {least_size}"
    return f"{asked} could not be trained: {' '.join(message.split())}"
