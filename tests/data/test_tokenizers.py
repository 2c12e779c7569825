"""Tokenizers: the same lines give the same one, text survives them, and a wrong size is explained."""

import hashlib
import os
import random
import re
import subprocess
import sys

import pytest

from seqlab.data.tokenizers import BOS, EOS, PAD, UNK, Tokenizer, TokenizerSettings, load_tokenizer, make_tokenizer
from seqlab.errors import UserError

SUBWORDS = ("unigram", "bpe")
TRAINED = (*SUBWORDS, "word", "character")
KINDS = (*TRAINED, "byte")
SENTENCES = (
    "Die Straße ist 305 Meter lang.",
    "¿Dónde está el niño, señora Muñoz?",
    "L'été dernier, nous étions à l'hôtel « Sœur Zoë ».",
    "Am 12. März 2024 kostete es 1.999,50 €!",
)

FRESH_PROCESS = """
import hashlib, sys
from seqlab.data.tokenizers import Tokenizer, TokenizerSettings, make_tokenizer
lines = sys.stdin.read().splitlines()
print(hashlib.sha256(make_tokenizer(lines, TokenizerSettings(sys.argv[1], 90)).model).hexdigest())
"""


def made_up_lines(count: int = 400) -> list[str]:
    """Lines of words of two to four syllables: few characters, many words, enough pieces for any vocabulary here."""
    choose = random.Random(0)
    syllables = [consonant + vowel for consonant in "bdfklmnrst" for vowel in "aeiou"]
    words = ["".join(choose.choices(syllables, k=choose.randint(2, 4))) for _ in range(150)]
    words += [str(choose.randrange(10_000)) for _ in range(50)]
    return [" ".join(choose.choices(words, k=choose.randint(3, 9))) for _ in range(count)]


def train(lines: list[str], kind: str, vocab_size: int, **options) -> Tokenizer:
    return make_tokenizer(lines, TokenizerSettings(kind, vocab_size, **options))


def pieces(tokenizer: Tokenizer, line: str) -> list[str]:
    """The text of each token of a line, without the mark of a word's beginning."""
    return [tokenizer.decode([token]) for token in tokenizer.encode(line)]


@pytest.mark.parametrize("kind", TRAINED)
def test_two_trainings_give_the_same_bytes(kind):
    lines = [f"x {line}" for line in made_up_lines()]
    assert train(lines, kind, 90).model == train(lines, kind, 90).model
    assert train(lines, kind, 90).model != train([line[2:] for line in lines], kind, 90).model


@pytest.mark.parametrize("kind", KINDS)
def test_a_fresh_process_gives_the_same_bytes(kind):
    """Whatever the order in which that process hashes strings."""
    lines = made_up_lines()
    expected = hashlib.sha256(train(lines, kind, 90).model).hexdigest()
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", FRESH_PROCESS, kind],
            input="\n".join(lines),
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            encoding="utf-8",
        )
        assert done.stdout.strip() == expected, done.stderr


@pytest.mark.parametrize(
    "kind, vocab_size", [("unigram", 60), ("bpe", 90), ("word", 200), ("character", 200), ("byte", 1)]
)
def test_text_comes_back(kind, vocab_size):
    tokenizer = train(list(SENTENCES) * 5, kind, vocab_size)
    for sentence in SENTENCES:
        tokens = tokenizer.encode(sentence)
        assert tokenizer.decode(tokens) == sentence
        assert {PAD, UNK, BOS, EOS}.isdisjoint(tokens)


@pytest.mark.parametrize("kind", KINDS)
def test_a_tokenizer_made_from_its_bytes_is_the_same(kind):
    trained = train(made_up_lines(), kind, 90)
    restored = load_tokenizer(trained.model)
    assert type(restored) is type(trained)
    assert restored.model == trained.model and len(restored) == len(trained)
    assert [restored.encode(line) for line in made_up_lines(20)] == [trained.encode(line) for line in made_up_lines(20)]


@pytest.mark.parametrize("kind", KINDS)
def test_special_tokens(kind):
    """They have the first ids, leave no trace in text, and no text is taken for one of them."""
    tokenizer = train(made_up_lines(), kind, 90)
    assert (PAD, UNK, BOS, EOS) == (0, 1, 2, 3)
    line = made_up_lines()[0]
    tokens = tokenizer.encode(line)
    assert {PAD, BOS, EOS}.isdisjoint(tokens)
    assert tokenizer.decode([BOS, *tokens, EOS, PAD, PAD]) == tokenizer.decode(tokens)
    assert {PAD, BOS, EOS}.isdisjoint(tokenizer.encode("<pad> <s> </s> ba <s>ba</s>"))
    assert tokenizer.encode("") == [] and tokenizer.decode([]) == ""


@pytest.mark.parametrize("kind", SUBWORDS)
def test_split_digits(kind):
    """Every digit is a token of its own, even in a number that the corpus is full of."""
    lines = [f"{line} 2024" for line in made_up_lines()]
    split = pieces(train(lines, kind, 120), "bada 2024 42")
    assert [piece for piece in split if any(map(str.isdigit, piece))] == ["2", "0", "2", "4", "4", "2"]
    whole = pieces(train(lines, kind, 120, split_digits=False), "bada 2024 42")
    assert "2024" in whole


@pytest.mark.parametrize("kind", SUBWORDS)
def test_lossless_subwords_keep_every_character(kind):
    """Spaces in any number, tabs, what Unicode would normalise, and characters that the training text has not."""
    lines = [f"    {line}" for line in made_up_lines()]
    lossless, usual = train(lines, kind, 400, lossless=True), train(lines, kind, 120)
    for line in ["  bada   fori ", " ", "\t", "ba\tda", "\xa0ﬁ ½ e\u0301", "日本語 🙂", "<unk> <s>", *SENTENCES]:
        tokens = lossless.encode(line)
        assert lossless.decode(tokens) == line
        assert {PAD, UNK, BOS, EOS}.isdisjoint(tokens)
    assert usual.decode(usual.encode("  bada   fori ")) == "bada fori"
    indent = lossless.encode("    bada")
    assert len(indent) <= len(lossless.encode("bada")) + 1, "an indent is one token"


@pytest.mark.parametrize("kind", [*SUBWORDS, "byte"])
def test_a_least_count_is_for_words_and_characters(kind):
    with pytest.raises(UserError, match=rf"min_count \(2\).*word and character, not {kind}"):
        train(made_up_lines(), kind, 90, min_count=2)
    with pytest.raises(UserError, match=r"min_count \(0\)"):
        train(made_up_lines(), "word", 90, min_count=0)


@pytest.mark.parametrize("kind", SUBWORDS)
def test_too_large_a_vocabulary(kind):
    """The message states the most that works: that many do, one more does not."""
    lines = made_up_lines(60)
    with pytest.raises(UserError, match=f"100,000 {kind}") as caught:
        train(lines, kind, 100_000)
    most = int(re.search(r"at most ([\d,]+)", str(caught.value))[1].replace(",", ""))
    assert len(train(lines, kind, most)) == most
    with pytest.raises(UserError, match=f"at most {most}"):
        train(lines, kind, most + 1)


@pytest.mark.parametrize("kind", SUBWORDS)
def test_too_small_a_vocabulary(kind):
    """The message states the least that holds all characters."""
    lines = made_up_lines(60)
    with pytest.raises(UserError, match=r"set data\.tokenizer\.vocab_size to \d+ or more") as caught:
        train(lines, kind, 12)
    least = max(int(number) for number in re.findall(r"\d+", str(caught.value)))
    assert len(train(lines, kind, least)) == least
    with pytest.raises(UserError):
        train(lines, kind, least - 1)


def test_errors_are_one_line():
    for lines, vocab_size in ((made_up_lines(60), 100_000), (made_up_lines(60), 12), ([], 100), (["a b"], 1)):
        with pytest.raises(UserError) as caught:
            train(lines, "unigram", vocab_size)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["word", "bpe"])
def test_a_very_long_line_is_not_skipped(kind):
    """The words of a line of 60,000 characters are known, though they stand nowhere else."""
    long = " ".join(["alpha"] * 5000 + ["omega"] * 5000)
    tokenizer = train(["a short line"] * 20 + [long], kind, 25)
    assert tokenizer.decode(tokenizer.encode("omega line alpha")) == "omega line alpha"
