"""Tokenizers of every kind: how one is made from text, from a file or from its own bytes."""

from collections.abc import Iterable

from seqlab.data.prepared import Prepared
from seqlab.data.subwords import Subwords
from seqlab.data.tokenizer import BOS, EOS, PAD, UNK, DroppingEncoder, Tokenizer, TokenizerSettings, prepare
from seqlab.data.tokenizer_files import load_tokenizer, read_tokenizer
from seqlab.data.words import VOCABULARIES, Bytes

__all__ = [
    "BOS",
    "EOS",
    "PAD",
    "UNK",
    "DroppingEncoder",
    "Tokenizer",
    "TokenizerSettings",
    "load_tokenizer",
    "make_tokenizer",
]


def make_tokenizer(lines: Iterable[str], settings: TokenizerSettings, name: str = "data.tokenizer") -> Tokenizer:
    """Trains a tokenizer, or takes that of a file; the same lines always give the same one.

    Args:
        lines: What it is trained on; not read where there is nothing to train.
        settings: How.
        name: What the settings are called.

    Raises:
        UserError: The lines cannot fill the vocabulary, or it cannot hold their characters, or a setting is wrong,
            or the file is none of a tokenizer.
    """
    settings.check(name)
    form = settings.normalization if settings.normalization != "none" else None
    changes = settings.lowercase or form is not None
    if settings.file is not None:
        tokenizer = read_tokenizer(settings.file, name)
    else:
        lines = (prepare(line, settings.lowercase, form) for line in lines) if changes else lines
        if settings.kind in VOCABULARIES:
            tokenizer = VOCABULARIES[settings.kind].counted(lines, settings, name)
        else:
            tokenizer = Bytes() if settings.kind == "byte" else Subwords.trained(lines, settings, name)
    if settings.dropout:
        tokenizer.dropping(name)  # what is wrong with it shows now
    if not changes:
        return tokenizer
    return Prepared(tokenizer, settings.lowercase, form)
