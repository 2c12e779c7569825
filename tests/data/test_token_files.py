"""Files of tokens: made by several processes, whole or not there, and told of."""

import subprocess
import sys

import numpy as np
import pytest

from seqlab.data import encoding, token_files
from seqlab.data.encoding import DocumentEncoder, DroppingLineEncoder, LineEncoder, encoded_chunks
from seqlab.data.token_files import encode_texts
from seqlab.data.tokenizers import EOS, UNK, TokenizerSettings, make_tokenizer
from seqlab.errors import UserError

TEXTS = [f"line {number} of {'many ' * (number % 7)}words\nand {number % 11}" for number in range(2000)]
WORDS = make_tokenizer((line for text in TEXTS for line in text.split("\n")), TokenizerSettings("word", 900))
BPE = make_tokenizer(TEXTS, TokenizerSettings("bpe", 60))


def tokens(encoder) -> list[int]:
    """Those of all texts, made by this process."""
    return [token for chunk, _ in encoded_chunks(TEXTS, encoder, 0) for token in chunk.tolist()]


def encode(encoder, texts=TEXTS, **options):
    options = {"size": 0, "count": len(TEXTS), "label": "the text", "checksum": b"1", **options}
    return encode_texts(texts, encoder, **options)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(encoding, "CHUNK", 5000)
    monkeypatch.setenv("SEQLAB_CACHE", str(tmp_path))
    monkeypatch.setattr(token_files, "CACHED_FROM", 0)
    monkeypatch.setattr(token_files, "PROCESSES_FROM", 0)
    monkeypatch.setattr(token_files, "helpful_processes", lambda size: 2)
    return tmp_path / "tokens"


def test_a_large_text_is_encoded_by_several_processes_and_told_of(cache, messages):
    """Where there is no terminal: two lines, and none the next time."""
    made = encode(LineEncoder(WORDS))
    assert isinstance(made.tokens_S, np.memmap)
    assert made.tokens_S.tolist() == tokens(LineEncoder(WORDS))
    assert made.unknown == int((made.tokens_S == UNK).sum()) > 0
    start, end = messages
    assert start == "data: encoding the text: 2,000 of them, in 2 processes"
    assert end.startswith("data: encoded the text in ")
    again = encode(LineEncoder(WORDS))
    assert again.unknown == made.unknown and again.starts_N.tolist() == made.starts_N.tolist()
    assert len(messages) == 2


def test_lines_and_documents_have_files_of_their_own(cache):
    assert len(encode(LineEncoder(WORDS)).tokens_S) != len(encode(DocumentEncoder(WORDS)).tokens_S)
    assert len(list(cache.iterdir())) == 4


def test_what_is_wrong_with_the_text_is_not_told_of_the_cache(cache, messages):
    def texts():
        yield from TEXTS[:900]
        raise OSError(5, "Input/output error")

    for checksum in (None, b"1"):
        with pytest.raises(UserError, match=r"^cannot encode the text: \[Errno 5\] Input/output error$"):
            encode(LineEncoder(WORDS), texts(), size=1, checksum=checksum, count=2000)
    assert not any("cache" in message for message in messages)
    assert not list(cache.iterdir())


def test_without_a_checksum_no_file_is_left(cache):
    made = encode(DroppingLineEncoder(BPE, 0.2, 1, 2, 0), checksum=None)
    assert isinstance(made.tokens_S, np.memmap) and not list(cache.iterdir())
    assert made.tokens_S.tolist() == tokens(DroppingLineEncoder(BPE, 0.2, 1, 2, 0))
    assert (made.tokens_S[made.starts_N[1:] - 1] == EOS).all()


CUT_OFF = """
import sys, time
from seqlab.data import token_files, encoding
from seqlab.data.encoding import LineEncoder
from seqlab.data.tokenizers import Tokenizer, TokenizerSettings, make_tokenizer
token_files.CACHED_FROM, encoding.CHUNK = 0, 100
words = make_tokenizer(["a b c d"], TokenizerSettings("word", 50))
cut = len(sys.argv) > 1

def texts():
    for number in range(5000):
        if cut and number == 4000:
            print("cut", flush=True)
            time.sleep(60)
        yield "a b c d" * (number % 9)

made = token_files.encode_texts(texts(), LineEncoder(words), size=1, count=5000, label="it", checksum=b"x")
print(len(made.tokens_S), made.unknown, flush=True)
"""


def test_a_cut_off_process_leaves_nothing_that_is_taken_for_whole(cache):
    process = subprocess.Popen([sys.executable, "-c", CUT_OFF, "cut"], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "cut\n"
    process.kill()
    process.communicate()
    assert all(path.name.startswith(".") for path in cache.iterdir()), "no file in its place"
    done = subprocess.run([sys.executable, "-c", CUT_OFF], capture_output=True, text=True)
    lines = ["a b c d" * (number % 9) for number in range(5000)]
    words = make_tokenizer(["a b c d"], TokenizerSettings("word", 50))
    encoded = [words.encode(line) for line in lines]
    expected = sum(map(len, encoded)) + 5000, sum(line.count(UNK) for line in encoded)
    assert done.stdout == "{} {}\n".format(*expected), done.stderr
