"""BPE with merges left out at random."""

import re
from collections.abc import Callable, Iterator, Mapping
from heapq import heapify, heappop, heappush
from itertools import groupby, pairwise

import numpy as np

from seqlab.data.pieces import BYTE, NORMAL, UNUSED, USER_DEFINED, Piece
from seqlab.data.tokenizer import UNK
from seqlab.errors import UserError

KNOWN_WORDS = 1 << 17
"""Words that are kept with their tokens."""


def kept_merges(dropout: float, random: np.random.Generator) -> Iterator[int]:
    """How many merges are kept before each that is dropped, where each is dropped with a probability on its own.

    One number for a run of merges instead of one for each: most words have no drop, and need no draw.
    """
    while dropout == 0:
        yield 1 << 62
    while True:
        yield from (random.geometric(dropout, 32) - 1).tolist()


class Merges:
    """The merges of a BPE model, of which some can be left out (BPE-dropout, Provilkov et al. 2020, algorithm 1).

    At each step of a word, every merge that is possible is dropped with some probability, and of the others the one of
    the highest priority is made; the word is done when none is left. A merge is possible where two neighbours put
    together are a piece; its priority is that piece's score, and of equal ones the first goes first. Without dropout
    this is what SentencePiece does, whose own dropout draws from a generator that cannot be seeded for each sentence.

    Merges are looked at from the highest priority on until one is kept, so that those below need no draw.

    Args:
        pieces: The model's pieces by token id.
        normalize: Puts a line into the form that the model cuts up, with ``▁`` for spaces.

    Raises:
        UserError: Its model has pieces that are not in use.
    """

    def __init__(self, pieces: Mapping[int, Piece], normalize: Callable[[str], str]):
        self._normalize = normalize
        if any(piece.type == UNUSED for piece in pieces.values()):
            raise UserError("data.tokenizer.dropout does not work with a model that has unused pieces")
        self._bytes = {int(piece.text[1:-1], 16): token for token, piece in pieces.items() if piece.type == BYTE}
        merged = {token: piece for token, piece in pieces.items() if piece.type in (NORMAL, USER_DEFINED)}
        self._tokens = {piece.text: token for token, piece in merged.items()}
        self._ranks = {piece.text: -piece.score for piece in merged.values()}
        frozen = sorted((piece.text for piece in merged.values() if piece.type == USER_DEFINED), key=len, reverse=True)
        self._frozen = re.compile(f"({'|'.join(map(re.escape, frozen))})") if frozen else None
        # No merge crosses the beginning of a word, unless there are pieces of more than one.
        crossing = any(re.search("[^▁]▁", piece.text) for piece in merged.values())
        self._word = re.compile(".+" if crossing else "▁+[^▁]*|[^▁]+", re.DOTALL)
        self._known: dict[str, tuple[int, list[int]]] = {}

    def encode(self, line: str, kept: Iterator[int]) -> list[int]:
        """Token ids of a line.

        Args:
            line: The line.
            kept: How many merges are kept before each that is dropped; see :func:`kept_merges`.
        """
        tokens: list[int] = []
        until = next(kept)
        for word, frozen in self._words(self._normalize(line)):
            if frozen:
                tokens.append(self._tokens[word])
                continue
            merges, whole = self._known.get(word) or self._whole(word)
            if merges <= until:
                until -= merges
                tokens += whole
            else:
                symbols, until = self._merge(word, until, kept)
                tokens += self._ids(symbols)
        # As SentencePiece does: what is unknown in a row is one token.
        return [token for token, run in groupby(tokens) for token in ([UNK] if token == UNK else run)]

    def _words(self, text: str) -> Iterator[tuple[str, bool]]:
        """What is merged on its own, and whether it is a piece that the model's user has defined."""
        parts = self._frozen.split(text) if self._frozen else [text]
        for number, part in enumerate(parts):
            if number % 2:
                yield part, True
            else:
                yield from ((word, False) for word in self._word.findall(part))

    def _whole(self, word: str) -> tuple[int, list[int]]:
        """Number of merges of a word without dropout, and its tokens."""
        symbols, _ = self._merge(word, 1 << 62, iter(()))
        if len(self._known) == KNOWN_WORDS:
            self._known.clear()
        self._known[word] = len(word) - len(symbols), self._ids(symbols)
        return self._known[word]

    def _merge(self, word: str, until: int, kept: Iterator[int]) -> tuple[list[str], int]:
        """The symbols of a word, and how many more merges are to be kept."""
        symbols, count, ranks = list(word), len(word), self._ranks
        before, after = list(range(-1, count - 1)), [*range(1, count), -1]
        heap = [
            (rank, left, 2)
            for left, (one, other) in enumerate(pairwise(symbols))
            if (rank := ranks.get(one + other)) is not None
        ]
        heapify(heap)
        dropped: list[tuple[float, int, int]] = []
        while heap:
            merge = heappop(heap)
            left, right = merge[1], after[merge[1]]
            if not symbols[left] or right < 0 or len(symbols[left]) + len(symbols[right]) != merge[2]:
                continue  # one of the two has been merged with another
            if not until:
                until = next(kept)
                dropped.append(merge)
                continue
            until -= 1
            symbols[left], symbols[right] = symbols[left] + symbols[right], ""
            after[left] = after[right]
            if after[left] >= 0:
                before[after[left]] = left
            while dropped:  # in the next step they are possible again
                heappush(heap, dropped.pop())
            for first, second in ((before[left], left), (left, after[left])):
                if first >= 0 and second >= 0:
                    text = symbols[first] + symbols[second]
                    if (rank := ranks.get(text)) is not None:
                        heappush(heap, (rank, first, len(text)))
        return [symbol for symbol in symbols if symbol], until

    def _ids(self, symbols: list[str]) -> list[int]:
        tokens: list[int] = []
        for symbol in symbols:
            token = self._tokens.get(symbol)
            if token is not None:
                tokens.append(token)
            elif self._bytes:
                tokens += [self._bytes[byte] for byte in symbol.encode()]
            else:
                tokens.append(UNK)
        return tokens
