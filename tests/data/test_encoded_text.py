"""Texts as token ids: every line ends in EOS, sizes are those of the raw text, and large ones are encoded once."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from seqlab.data import token_files
from seqlab.data.encoded_text import Sizes, decode_text, encode_documents, encode_text, tell_unknown
from seqlab.data.streams import Documents
from seqlab.data.tokenizers import EOS, UNK, Tokenizer, TokenizerSettings, make_tokenizer

DOCUMENTS = ["one two\n\n three", "two", "", "four  one\nfünf"]
TEXT = "".join(f"{document}\n" for document in DOCUMENTS)


def tokenizer(kind: str = "word", vocab_size: int = 100) -> Tokenizer:
    return make_tokenizer(TEXT.split("\n"), TokenizerSettings(kind, vocab_size))


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """The folder of tokens, to which every text goes."""
    monkeypatch.setenv("SEQLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(token_files, "CACHED_FROM", 0)
    return tmp_path / "cache" / "tokens"


class Counting(Tokenizer):
    """Counts the lines it encodes."""

    def __init__(self, model: bytes = b"counting"):
        self.model, self.lines, self.inner = model, 0, tokenizer()

    def encode(self, line):
        self.lines += 1
        return self.inner.encode(line)

    def decode(self, tokens):
        return self.inner.decode(tokens)

    def __len__(self):
        return len(self.inner)


@pytest.mark.parametrize("kind", ["word", "character", "byte"])
def test_every_line_ends_in_eos(kind):
    encode = tokenizer(kind).encode
    expected = [encode("one two"), [], encode(" three"), encode("two"), [], encode("four  one"), encode("fünf")]
    encoded = encode_documents(DOCUMENTS, tokenizer(kind))
    assert encoded.tokens_S.tolist() == [token for line in expected for token in (*line, EOS)]
    assert encoded.tokens_S.dtype == np.int32
    ends = np.cumsum([sum(len(line) + 1 for line in expected[a:b]) for a, b in ((0, 3), (3, 4), (4, 5))])
    assert encoded.starts_N.tolist() == [0, *ends]


def test_text_and_back():
    for kind in ("character", "byte"):
        tokens = encode_text(TEXT.removesuffix("\n"), tokenizer(kind))
        assert decode_text(tokens, tokenizer(kind)) == TEXT
        assert decode_text(tokens[:-1], tokenizer(kind)) == TEXT.removesuffix("\n")
    assert encode_text("", tokenizer()) == [EOS]
    assert decode_text([], tokenizer()) == ""


def test_sizes_are_of_the_raw_text():
    """Words count ends of lines, as published perplexities do; bytes count line feeds."""
    encoded = encode_documents(DOCUMENTS, tokenizer())
    assert encoded.words_N.tolist() == [3 + 3, 1 + 1, 0 + 1, 3 + 2]
    assert encoded.bytes_N.tolist() == [len("one two\n\n three\n"), 4, 1, len("four  one\nfünf\n") + 1]
    assert encoded.sizes == Sizes(words=14, bytes=len(TEXT.encode()), unknown=0)
    assert encode_documents(DOCUMENTS, tokenizer("byte")).sizes == encoded.sizes
    small = tokenizer(vocab_size=4 + 2)  # one and two
    assert (
        encode_documents(DOCUMENTS, small).sizes.unknown
        == 3
        == (encode_documents(DOCUMENTS, small).tokens_S == UNK).sum()
    )


def test_text_that_is_changed_is_counted():
    """All of it, where capitals or the like may have become others."""
    lower = make_tokenizer(TEXT.split("\n"), TokenizerSettings("word", 100, lowercase=True))
    encoded = encode_documents(DOCUMENTS, lower)
    assert encoded.sizes == Sizes(words=14, bytes=len(TEXT.encode()), unknown=0, changed=len(TEXT.encode()))
    documents = Documents(encoded)
    assert documents.batch(np.array([1]), 1).sizes == Sizes(words=2, bytes=4, unknown=0, changed=4)
    assert encode_documents(DOCUMENTS, tokenizer()).sizes.changed == 0


def test_unknown_tokens_of_a_mapped_text_are_counted_once(cache, monkeypatch):
    """They are kept with it, whose file is not read for them again."""
    small = tokenizer(vocab_size=4 + 2)
    expected = encode_documents(DOCUMENTS, small).sizes
    monkeypatch.setattr(np, "count_nonzero", None)
    assert encode_documents(DOCUMENTS, small).sizes == expected and expected.unknown == 3


def test_words_of_a_word_model_are_its_tokens():
    encoded = encode_documents(DOCUMENTS, tokenizer())
    assert encoded.sizes.words == len(encoded.tokens_S)


def test_checksum_is_that_of_the_file():
    assert encode_documents(DOCUMENTS, tokenizer()).sha256 == hashlib.sha256(TEXT.encode()).hexdigest()


@pytest.mark.parametrize("unknown, told", [(0, []), (1, ["data: 0.1 % of the x are <unk>"]), (50, None), (51, None)])
def test_what_is_unknown_is_told(messages, caplog, unknown, told):
    tell_unknown("x", unknown, 1000, "do that")
    warning = "data: 5 % of the x are unknown to the tokenizer: do that"
    assert messages == (told if told is not None else ["data: 5 % of the x are <unk>"] if unknown == 50 else [warning])
    assert [record.levelname for record in caplog.records if record.getMessage() == warning] == ["WARNING"] * (
        unknown > 50
    )


# --------------------------------------------------------------------------------------------------------------- cache


def same(one, other) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_large_text_is_encoded_once_and_mapped(cache, messages):
    counting = Counting()
    first = encode_documents(DOCUMENTS, counting)
    assert counting.lines == TEXT.count("\n")
    second = encode_documents(DOCUMENTS, counting)
    assert counting.lines == TEXT.count("\n"), "nothing is encoded again"
    assert isinstance(first.tokens_S, np.memmap) and isinstance(second.tokens_S, np.memmap)
    assert not second.tokens_S.flags.writeable
    assert same(first, second) and same(first, encode_documents(DOCUMENTS, tokenizer()))
    assert sorted(path.name.split(".", 1)[1] for path in cache.iterdir())[:2] == ["starts.npy", "starts.npy"]
    assert not messages


def test_a_small_text_leaves_no_file(cache, monkeypatch):
    monkeypatch.setattr(token_files, "CACHED_FROM", len(TEXT.encode()) + 1)
    assert not isinstance(encode_documents(DOCUMENTS, tokenizer()).tokens_S, np.memmap)
    assert not cache.exists()
    monkeypatch.setattr(token_files, "CACHED_FROM", len(TEXT.encode()))
    assert isinstance(encode_documents(DOCUMENTS, tokenizer()).tokens_S, np.memmap)


def test_another_text_tokenizer_or_place_of_documents_has_files_of_its_own(cache):
    counting = Counting()
    encode_documents(DOCUMENTS, counting)
    for documents, other in (
        ([*DOCUMENTS, ""], counting),
        (DOCUMENTS, Counting(b"other")),
        (["\n".join(DOCUMENTS)], counting),
        ([*DOCUMENTS[:3], *DOCUMENTS[3].split("\n")], counting),
    ):
        before, files = other.lines, len(list(cache.iterdir()))
        encoded = encode_documents(documents, other)
        assert other.lines > before and len(list(cache.iterdir())) == files + 2
        assert len(encoded.starts_N) == len(documents)


@pytest.mark.parametrize("harm", ["short", "empty", "text", "zeros", "other type", "missing"])
@pytest.mark.parametrize("which", ["tokens", "starts"])
def test_a_damaged_file_is_written_anew(cache, which, harm):
    counting = Counting()
    expected = encode_documents(DOCUMENTS, counting)
    expected = expected._replace(tokens_S=np.array(expected.tokens_S), starts_N=np.array(expected.starts_N))
    (file,) = cache.glob(f"*.{which}.npy")
    content, values = file.read_bytes(), np.load(file)
    file.unlink()
    match harm:
        case "short":
            file.write_bytes(content[:-4])
        case "empty":
            file.touch()
        case "text":
            file.write_text("nothing of the kind")
        case "zeros":
            np.save(file, np.zeros_like(values) if which == "tokens" else values + 1)
        case "other type":
            np.save(file, values.astype(np.float32))
    lines = counting.lines
    assert same(encode_documents(DOCUMENTS, counting), expected)
    assert counting.lines == 2 * lines
    assert same(encode_documents(DOCUMENTS, counting), expected)
    assert counting.lines == 2 * lines, "it is whole again"


@pytest.mark.parametrize("hindrance", ["a file in its place", "a file in place of its parent", "no right to write"])
def test_a_cache_that_cannot_be_written_is_done_without(cache, messages, hindrance, monkeypatch):
    match hindrance:
        case "a file in its place":
            cache.parent.mkdir()
            cache.touch()
        case "a file in place of its parent":
            cache.parent.touch()
        case "no right to write":  # which root always has

            def refuse(*_):
                raise PermissionError(13, "Permission denied")

            monkeypatch.setattr(os, "fsync", refuse)
    encoded = encode_documents(DOCUMENTS, tokenizer())
    assert not isinstance(encoded.tokens_S, np.memmap) and len(encoded.tokens_S) == 14
    (message,) = messages
    assert message.startswith("data: tokens kept in memory, since the cache cannot be written: ")
    assert not cache.is_dir() or not list(cache.iterdir()), "no half file is left"


SETUP = """
import hashlib, logging, sys
logging.basicConfig(level=logging.INFO, format="%(message)s")
from seqlab.data import token_files
from seqlab.data.encoded_text import encode_documents
from seqlab.data.tokenizers import Tokenizer, TokenizerSettings, make_tokenizer
token_files.CACHED_FROM = 0
lines = [f"line {number} of {number % 17}" for number in range(20_000)]
words = make_tokenizer(lines, TokenizerSettings("word", 5000))
encode, encoded = type(words).encode, []

def counting(self, line):
    encoded.append(line)
    return encode(self, line)

type(words).encode = counting
"""

PROCESS = """
made = encode_documents(lines, words)
print("encoded" if encoded else "taken", file=sys.stderr)
print(type(made.tokens_S).__name__, len(made.starts_N), hashlib.sha256(made.tokens_S).hexdigest())
"""


def test_processes_that_encode_the_same_text_at_once(cache, together):
    """One does it, the others wait and take what it has made."""
    found, told = together(PROCESS, setup=SETUP)
    assert sorted(lines.split("\n")[-2] for lines in told) == ["encoded", "taken", "taken"]
    assert len(list(cache.iterdir())) == 2, "no other file is left"
    (file,) = cache.glob("*.tokens.npy")
    assert found == {f"memmap 20000 {hashlib.sha256(np.load(file)).hexdigest()}\n"}
