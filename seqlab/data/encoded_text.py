"""A text as token ids, and how large it is.

Shape suffixes: S = tokens of the text, N = its documents.
"""

import hashlib
import logging
from array import array
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from seqlab.data.encoding import DocumentEncoder, encode_text
from seqlab.data.token_files import encode_texts
from seqlab.data.tokenizers import EOS, Tokenizer
from seqlab.score_text import percent

__all__ = ["EncodedText", "Sizes", "decode_text", "encode_documents", "encode_text", "tell_unknown"]

log = logging.getLogger("seqlab")

MANY_UNKNOWN = 0.05


class Sizes(NamedTuple):
    """How large a raw text is, so that scores can be told per word and per byte whatever its tokens."""

    words: int = 0
    """What stands between whitespace, and the ends of lines: what ``line.split() + ["<eos>"]`` counts in the scripts
    behind published perplexities. A perplexity per word is that per token where tokens are words."""
    bytes: int = 0
    """Bytes of UTF-8, one line feed for each line included."""
    unknown: int = 0
    """Tokens that are UNK."""
    changed: int = 0
    """Bytes of text that the tokenizer may have changed: all, unless it keeps text as it is."""


class EncodedText(NamedTuple):
    """The documents of a text one after the other, every line of theirs closed by EOS."""

    tokens_S: np.ndarray
    """Token ids, int32."""
    starts_N: np.ndarray
    """Number of the first token of each document, int64."""
    words_N: np.ndarray
    """:attr:`Sizes.words` of each document."""
    bytes_N: np.ndarray
    """:attr:`Sizes.bytes` of each document."""
    sha256: str
    """Checksum of the text with a line feed after each line: of a text file, that of the file itself."""
    unknown: int
    """Tokens that are UNK."""
    keeps_text: bool = True
    """See :attr:`seqlab.data.tokenizer.Tokenizer.keeps_text`."""

    @property
    def sizes(self) -> Sizes:
        """Those of the whole text."""
        return self.sizes_of(slice(None), self.unknown)

    def sizes_of(self, index_B: np.ndarray | slice, unknown: int) -> Sizes:
        """Those of some documents, so many tokens of which are UNK."""
        size = int(self.bytes_N[index_B].sum())
        return Sizes(int(self.words_N[index_B].sum()), size, unknown, 0 if self.keeps_text else size)


def decode_text(tokens: Iterable[int], tokenizer: Tokenizer) -> str:
    """The text of token ids, with a line feed for each EOS."""
    lines: list[list[int]] = [[]]
    for token in tokens:
        if token == EOS:
            lines.append([])
        else:
            lines[-1].append(token)
    return "\n".join(map(tokenizer.decode, lines))


def encode_documents(documents: Iterable[str], tokenizer: Tokenizer) -> EncodedText:
    """Encodes documents, or takes their tokens from an earlier time; see
    :func:`seqlab.data.token_files.encode_texts`.

    Args:
        documents: At least one; iterated over twice.
        tokenizer: What encodes them.
    """
    digest, words, sizes = hashlib.sha256(), array("q"), array("q")
    for document in documents:
        data = document.encode() + b"\n"
        digest.update(data)
        words.append(len(document.split()) + data.count(b"\n"))
        sizes.append(len(data))
    words_N, bytes_N = np.frombuffer(words, dtype=np.int64), np.frombuffer(sizes, dtype=np.int64)
    tokens = encode_texts(
        documents,
        DocumentEncoder(tokenizer),
        size=int(bytes_N.sum()),
        count=len(bytes_N),
        checksum=digest.digest() + hashlib.sha256(bytes_N.tobytes()).digest(),
        label="the text",
    )
    checksum, (tokens_S, starts_N, unknown) = digest.hexdigest(), tokens
    return EncodedText(tokens_S, starts_N, words_N, bytes_N, checksum, unknown, tokenizer.keeps_text)


def tell_unknown(what: str, unknown: int, tokens: int, remedy: str, many: float = MANY_UNKNOWN) -> None:
    """Logs which share of a text became ``<unk>``: nothing if none did, a warning if many did.

    Args:
        what: What the tokens are, such as ``tokens of data.val``.
        unknown: Those that are UNK.
        tokens: All of them.
        remedy: What to do about it, or to look for.
        many: The largest share that is no reason for a warning.
    """
    if unknown > many * tokens:
        log.warning("data: %.0f %% of the %s are unknown to the tokenizer: %s", 100 * unknown / tokens, what, remedy)
    elif unknown:
        log.info("data: %s of the %s are <unk>", percent(unknown / tokens), what)
