"""The pieces of a SentencePiece model, read from the model's own bytes.

SentencePiece's Python interface has neither the kind of a model nor the types of its pieces.
"""

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

KINDS = {1: "unigram", 2: "bpe", 3: "word", 4: "character"}
NORMAL, USER_DEFINED, UNUSED, BYTE = 1, 4, 5, 6
"""Types of pieces, as in SentencePiece's sentencepiece_model.proto."""


class Piece(NamedTuple):
    """A piece of a SentencePiece model."""

    text: str
    score: float
    """Of kind bpe, the higher the earlier it is merged."""
    type: int


def read_pieces(model: bytes) -> list[Piece]:
    """The pieces of a model, in its own order."""
    pieces = (dict(_fields(value)) for field, value in _fields(model) if field == 1)
    return [
        Piece(piece.get(1, b"").decode(), struct.unpack("<f", piece.get(2, bytes(4)))[0], piece.get(3, NORMAL))
        for piece in pieces
    ]


def read_kind(model: bytes) -> str:
    """The kind of a model: ``unigram``, ``bpe``, ``word`` or ``character``."""
    trainer = next((dict(_fields(value)) for field, value in _fields(model) if field == 2), {})
    return KINDS.get(trainer.get(3, 1), "unigram")


def normalizes(model: bytes) -> bool:
    """Whether a model replaces characters by others before it cuts text up: NFKC and the like, but not white space."""
    rules = next((dict(_fields(value)) for field, value in _fields(model) if field == 3), {})
    return bool(rules.get(2))


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Numbers and values of the fields of a protocol buffer: integers, or bytes."""
    position = 0

    def varint() -> int:
        nonlocal position
        value = shift = 0
        while True:
            byte = message[position]
            position += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while position < len(message):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
            continue
        size = {1: 8, 5: 4}.get(key & 7) or varint()
        yield key >> 3, message[position : position + size]
        position += size
