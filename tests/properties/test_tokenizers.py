"""Properties of tokenizers: text comes back in its normal form, and what does not is counted as unknown."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqlab.data.tokenizers import BOS, EOS, PAD, UNK, TokenizerSettings, load_tokenizer, make_tokenizer

LINES = [
    "the quick brown fox jumps over the lazy dog",
    "pack my box with five dozen liquor jugs",
    "über größere straßen, café und naïve œuvres!",
    "12345 67890 (a b) [c] {d} \"e\" 'f' g-h i_j k/l",
] * 8
KNOWN = sorted(set("".join(LINES)) - {" "})
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\u2581"), max_size=30)
"""Lines of any characters but controls, which are refused, and SentencePiece's own sign for a space."""
PLAIN = st.text(st.sampled_from([*KNOWN, " ", "\xa0", "\u3000"]), max_size=30)
"""Lines of known characters, with spaces of several kinds."""
MIXED = st.lists(PLAIN | TEXT, max_size=4).map("".join)


def train(kind, vocab_size=70, **options):
    return make_tokenizer(LINES, TokenizerSettings(kind, vocab_size, **options))


def check_ids(tokenizer, tokens):
    assert all(0 <= token < len(tokenizer) for token in tokens) and {PAD, BOS}.isdisjoint(tokens)


def test_bytes(examples):
    """Any text comes back, in as many tokens as UTF-8 has bytes."""
    tokenizer = train("byte")

    @examples
    @given(TEXT)
    def check(line):
        tokens = tokenizer.encode(line)
        check_ids(tokenizer, tokens)
        assert tokenizer.decode(tokens) == line and len(tokens) == len(line.encode())

    check()


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_lossless_subwords(examples, kind):
    """Any text comes back, spaces and all, and nothing is unknown."""
    tokenizer = train(kind, 325, lossless=True)

    @examples
    @given(MIXED)
    def check(line):
        tokens = tokenizer.encode(line)
        check_ids(tokenizer, tokens)
        assert UNK not in tokens and tokenizer.decode(tokens) == line
        assert tokenizer.keeps_text

    check()


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_subwords(examples, kind):
    """Known characters come back, with one space between words; a character is unknown if it was never seen."""
    tokenizer = train(kind)

    @examples
    @given(PLAIN)
    def check(line):
        tokens = tokenizer.encode(line)
        check_ids(tokenizer, tokens)
        assert UNK not in tokens and tokenizer.decode(tokens) == " ".join(unicodedata.normalize("NFKC", line).split())

    check()


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_unknown_characters(examples, kind):
    """With nothing normalised, there is an unknown token where a character was never seen, and nowhere else."""
    tokenizer = train(kind, normalization="none")

    @examples
    @given(st.text(st.sampled_from([*KNOWN, " ", "\u0416", "\u4e2d", "\U0001f642"]), max_size=30))
    def check(line):
        tokens = tokenizer.encode(line)
        check_ids(tokenizer, tokens)
        runs = re.split("[\u0416\u4e2d\U0001f642]+", " ".join(line.split()))
        expected = "".join(character if character in (*KNOWN, " ") else "?" for character in " ".join(line.split()))
        found = re.sub(r"<unk>| \u2047 ", "?", tokenizer.decode(tokens))
        assert re.sub(r"[?]+", "?", found) == re.sub(r"[?]+", "?", expected)
        assert tokens.count(UNK) >= len(runs) - 1 and (UNK in tokens) == (len(runs) > 1)

    check()


def test_characters(examples):
    """Each character is a token, and an unknown one is counted."""
    tokenizer = train("character", 200)
    known = set("".join(LINES))

    @examples
    @given(MIXED)
    def check(line):
        tokens = tokenizer.encode(line)
        check_ids(tokenizer, tokens)
        assert len(tokens) == len(line)
        assert tokenizer.decode(tokens) == "".join(c if c in known else "<unk>" for c in line)
        assert tokens.count(UNK) == sum(c not in known for c in line)

    check()


def test_words(examples):
    """Each word is a token; ``<eos>`` is the end of a sentence, and leaves no trace."""
    tokenizer = train("word", 200)
    known = set(" ".join(LINES).split())
    word = st.sampled_from([*sorted(known), "<eos>", "<unk>", "<pad>"]) | TEXT

    @examples
    @given(st.lists(word, max_size=9).map(" ".join))
    def check(line):
        tokens = tokenizer.encode(line)
        check_ids(tokenizer, tokens)
        words = line.split()
        assert len(tokens) == len(words)
        assert tokenizer.decode(tokens) == " ".join(w if w in known else "<unk>" for w in words if w != "<eos>")
        assert tokens.count(UNK) == sum(w not in known and w != "<eos>" for w in words)
        assert tokens.count(EOS) == words.count("<eos>")

    check()


@pytest.mark.parametrize("options", [{"lowercase": True}, {"normalization": "nfc"}, {"normalization": "nfkc"}], ids=str)
def test_normal_forms(examples, options):
    """What comes back is the normal form, which is its own."""
    tokenizer = train("byte", **options)

    @examples
    @given(TEXT)
    def check(line):
        expected = (
            line.lower() if "lowercase" in options else unicodedata.normalize(options["normalization"].upper(), line)
        )
        found = tokenizer.decode(tokenizer.encode(line))
        assert found == expected and tokenizer.decode(tokenizer.encode(found)) == found

    check()


@pytest.mark.parametrize("kind", ["unigram", "bpe", "word", "character", "byte"])
def test_tokenizers_from_their_bytes(examples, kind):
    """They encode any text alike."""
    trained = train(kind)
    restored = load_tokenizer(trained.model)

    @examples
    @given(MIXED)
    def check(line):
        tokens = trained.encode(line)
        assert restored.encode(line) == tokens and restored.decode(tokens) == trained.decode(tokens)

    check()
