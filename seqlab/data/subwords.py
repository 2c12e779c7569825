"""Subwords by SentencePiece (Kudo and Richardson 2018).

It is trained with one thread, since with more of them the same corpus does not always give the same pieces.
"""

import io
import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any

import sentencepiece

from seqlab.data.bpe_dropout import Merges
from seqlab.data.pieces import Piece, normalizes, read_kind, read_pieces
from seqlab.data.tokenizer import BOS, EOS, PAD, UNK, DroppingEncoder, Tokenizer, TokenizerSettings
from seqlab.errors import UserError

LONGEST = 4096
"""Characters of a line that a model is trained on as a whole; in one of much more, without spaces, training gets stuck.
SentencePiece itself leaves out lines of over 4,192 bytes."""


class Subwords(Tokenizer):
    """Subwords of a SentencePiece model, of seqlab or of others.

    Other models have their special tokens elsewhere (SentencePiece's own default is unknown 0, begin 1, end 2, and no
    padding): here they get the first ids, and the other pieces follow in the model's order.

    Args:
        model: A SentencePiece model.
    """

    def __init__(self, model: bytes):
        self.model = model
        self._processor = processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        special = [processor.pad_id(), processor.unk_id(), processor.bos_id(), processor.eos_id()]
        self._theirs = [*special, *(piece for piece in range(processor.get_piece_size()) if piece not in special)]
        """The model's id of each token; -1 for a special one that it has not."""
        self._ours = {piece: token for token, piece in enumerate(self._theirs) if piece >= 0}
        self._moved = self._theirs != list(range(len(self._theirs)))
        self._unknown = processor.decode([processor.unk_id()])

    @classmethod
    def trained(cls, lines: Iterable[str], settings: TokenizerSettings, name: str) -> "Subwords":
        """Trains a model of kind ``unigram`` or ``bpe``."""
        model = io.BytesIO()
        options: dict[str, Any] = {}
        if settings.lossless:
            options = {"normalization_rule_name": "identity", "remove_extra_whitespaces": False}
            options |= {"allow_whitespace_only_pieces": True, "byte_fallback": True}
        elif settings.normalization is not None:  # what there is of it has been done to the lines
            options = {"normalization_rule_name": "identity"}
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=cut_long(lines),
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
        except (RuntimeError, OverflowError) as error:
            raise UserError(_explain(str(error), settings, name)) from error
        return cls(model.getvalue())

    def encode(self, line: str) -> list[int]:
        pieces = self._processor.encode(line)
        return [self._ours[piece] for piece in pieces] if self._moved else pieces

    def dropping(self, name: str = "data.tokenizer") -> DroppingEncoder:
        if self.kind_name != "bpe":
            return super().dropping(name)
        return Merges(self.own_pieces, self._processor.normalize).encode

    def decode(self, tokens: Iterable[int]) -> str:
        kept = [int(token) for token in tokens if token not in (PAD, BOS, EOS)]
        text = self._processor.decode([self._theirs[token] for token in kept] if self._moved else kept)
        return text.replace(self._unknown, "<unk>") if UNK in kept and self._unknown != "<unk>" else text

    def pieces(self) -> list[str]:
        names = ("<pad>", "<unk>", "<s>", "</s>")
        return [
            self._processor.id_to_piece(piece) if piece >= 0 else names[token]
            for token, piece in enumerate(self._theirs)
        ]

    def __len__(self) -> int:
        return len(self._theirs)

    # ------------------------------------------------------------------------------------------------ the model itself

    @cached_property
    def own_pieces(self) -> dict[int, Piece]:
        """The model's pieces by token id."""
        return {self._ours[number]: piece for number, piece in enumerate(read_pieces(self.model))}

    @cached_property
    def kind_name(self) -> str:
        return read_kind(self.model)

    @cached_property
    def keeps_text(self) -> bool:
        return not normalizes(self.model)


def cut_long(lines: Iterable[str]) -> Iterator[str]:
    """Lines, long ones in pieces that end before white space where there is any."""
    for line in lines:
        if len(line) <= LONGEST:
            yield line
        else:
            yield from re.findall(rf"(?s:.{{1,{LONGEST}}}(?!\S)|.{{1,{LONGEST}}})", line)


def _explain(message: str, settings: TokenizerSettings, name: str) -> str:
    """A line for what SentencePiece says of a vocabulary size."""
    asked = f"a vocabulary of {settings.vocab_size:,} {settings.kind} tokens"
    if most := re.search(r"too high.*<= (\d+)", message, re.DOTALL):
        return f"{asked} is more than the training text supports: set {name}.vocab_size to at most {most[1]}"
    if least := re.search(r"required_chars.*?\d+ vs (\d+)", message, re.DOTALL):
        least_size = f"set {name}.vocab_size to {least[1]} or more"
        return f"{asked} cannot hold the characters of the training text: {least_size}"
    return f"{asked} could not be trained: {' '.join(message.split())}"
