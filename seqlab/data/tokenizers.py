"""Tokenizers: text to token ids and back.

SentencePiece (Kudo and Richardson 2018) does the work. It is trained with one thread, since with more of them the same
corpus does not always give the same pieces.
"""

import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import sentencepiece

from seqlab.errors import UserError

PAD, UNK, BOS, EOS = 0, 1, 2, 3
"""Token ids that every tokenizer has: padding, unknown, begin and end of sentence."""

SPACE = "\N{LOWER ONE EIGHTH BLOCK}"
"""SentencePiece's sign for the space before a word."""

MODEL_TYPES = {"unigram": "unigram", "bpe": "bpe", "word": "word", "character": "char"}


@dataclass
class TokenizerSettings:
    """How a tokenizer is trained.

    Args:
        kind: unigram (subwords, Kudo 2018), bpe (subwords, Sennrich et al. 2016), word (between spaces) or character.
        vocab_size: Number of tokens, special ones included; the most there may be where kind is word or character.
        split_digits: Make every digit a token of its own, so that numbers are spelled, not memorised.
    """

    kind: Literal["unigram", "bpe", "word", "character"] = "unigram"
    vocab_size: int = 6000
    split_digits: bool = True


class Tokenizer:
    """A trained tokenizer.

    Args:
        model: A SentencePiece model, as bytes; :meth:`train` makes one.
    """

    def __init__(self, model: bytes):
        self.model = model
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        pieces = (self._processor.id_to_piece(token) for token in range(EOS + 1, len(self)))
        self._whole_words = all(piece.startswith(SPACE) for piece in pieces)

    @classmethod
    def train(cls, lines: Iterable[str], settings: TokenizerSettings) -> "Tokenizer":
        """Trains a tokenizer; the same lines always give the same one.

        Raises:
            UserError: The lines cannot fill the vocabulary, or it cannot hold their characters.
        """
        model = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(lines),
                model_writer=model,
                model_type=MODEL_TYPES[settings.kind],
                vocab_size=settings.vocab_size,
                hard_vocab_limit=settings.kind in ("unigram", "bpe"),
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
            )
        except RuntimeError as error:
            raise UserError(_explain(str(error), settings)) from error
        return cls(model.getvalue())

    def encode(self, line: str) -> list[int]:
        """Token ids of a line, without begin or end of sentence."""
        if self._whole_words:  # SentencePiece would make one token of unknown words that follow each other
            words = self._processor.normalize(line).replace(SPACE, " ").split()
            return [self._processor.piece_to_id(SPACE + word) for word in words]
        return self._processor.encode(line)

    def decode(self, tokens: list[int]) -> str:
        """The text of token ids; padding, begin and end of sentence leave no trace."""
        kept = [token for token in tokens if token not in (PAD, BOS, EOS)]
        if self._whole_words:  # SentencePiece would join an unknown word to the one before it
            return " ".join("<unk>" if token == UNK else self._processor.id_to_piece(token)[1:] for token in kept)
        return self._processor.decode(kept)

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
