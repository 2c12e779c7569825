"""Tokenizers without a model of text: whole words, characters, bytes; and what is done to text before any tokenizer.

The first three normalise nothing: the same word in other letters, or composed otherwise, is another word. Characters
are counted here and not by SentencePiece, which normalises and drops spaces: a character language model has to account
for every character of a text.
"""

import json
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import ClassVar

from seqlab.data.tokenizer import BOS, EOS, PAD, UNK, Tokenizer, TokenizerSettings, to_json
from seqlab.errors import UserError


class Vocabulary(Tokenizer):
    """A list of symbols, each a token; the first has id 4.

    Args:
        symbols: The symbols, by falling frequency.
    """

    kind: ClassVar[str]
    special: ClassVar[dict[str, int]] = {}
    """Symbols that stand for special tokens where they occur in text."""

    def __init__(self, symbols: Sequence[str]):
        self.symbols = list(symbols)
        self.model = to_json(kind=self.kind, symbols=self.symbols)
        self._tokens = {**{symbol: token for token, symbol in enumerate(self.symbols, EOS + 1)}, **self.special}

    @staticmethod
    @abstractmethod
    def split(line: str) -> Sequence[str]:
        """The symbols of a line."""

    @classmethod
    def counted(cls, lines: Iterable[str], settings: TokenizerSettings, name: str) -> "Vocabulary":
        """The most frequent symbols of the lines; of equally frequent ones, the first to be seen.

        Raises:
            UserError: Less than two are left.
        """
        counts: Counter[str] = Counter()
        for line in lines:
            counts.update(cls.split(line))
        for symbol in cls.special:
            del counts[symbol]
        frequent = [symbol for symbol, count in counts.most_common() if count >= settings.min_count]
        kept = frequent[: max(0, settings.vocab_size - EOS - 1)]
        if len(kept) < 2:
            raise UserError(
                f"the training text has {len(counts):,} different {cls.kind}s, of which {name}.min_count "
                f"({settings.min_count:,}) and {name}.vocab_size ({settings.vocab_size:,}, special tokens "
                f"included) leave {len(kept)}: there is nothing to learn from a vocabulary of less than 2"
            )
        return cls(kept)

    @property
    def kind_name(self) -> str:
        return self.kind

    def encode(self, line: str) -> list[int]:
        return [self._tokens.get(symbol, UNK) for symbol in self.split(line)]

    def _texts(self, tokens: Iterable[int]) -> list[str]:
        """The text of each token but PAD, BOS and EOS."""
        return [
            self.symbols[token - EOS - 1] if token != UNK else "<unk>"
            for token in tokens
            if token not in (PAD, BOS, EOS)
        ]

    def __len__(self) -> int:
        return EOS + 1 + len(self.symbols)


class Words(Vocabulary):
    """Words: what stands between whitespace. ``<unk>`` and ``<eos>`` in a text are the tokens of these names."""

    kind = "word"
    special: ClassVar[dict[str, int]] = {"<unk>": UNK, "<eos>": EOS}

    @staticmethod
    def split(line: str) -> list[str]:
        return line.split()

    def decode(self, tokens: Iterable[int]) -> str:
        return " ".join(self._texts(tokens))


class Characters(Vocabulary):
    """Characters: Unicode code points, spaces among them."""

    kind = "character"

    @staticmethod
    def split(line: str) -> str:
        return line

    def decode(self, tokens: Iterable[int]) -> str:
        return "".join(self._texts(tokens))


class Bytes(Tokenizer):
    """The bytes of UTF-8: 256 tokens and the special ones. Nothing is unknown."""

    def __init__(self) -> None:
        self.model = to_json(kind="byte")

    @property
    def kind_name(self) -> str:
        return "byte"

    def encode(self, line: str) -> list[int]:
        return [byte + EOS + 1 for byte in line.encode()]

    def decode(self, tokens: Iterable[int]) -> str:
        return bytes(token - EOS - 1 for token in tokens if token > EOS).decode(errors="replace")

    def __len__(self) -> int:
        return EOS + 1 + 256


VOCABULARIES: dict[str, type[Vocabulary]] = {"word": Words, "character": Characters}


def load_vocabulary(model: bytes) -> Tokenizer:
    """The tokenizer of these bytes, one of this module."""
    values = json.loads(model)
    return Bytes() if values["kind"] == "byte" else VOCABULARIES[values["kind"]](values["symbols"])
