"""Vocabularies of words and of characters, and bytes: what is kept, in which order, and what becomes of the rest."""

import json

import pytest

from seqlab.data.tokenizers import BOS, EOS, PAD, UNK, Tokenizer, TokenizerSettings, load_tokenizer, make_tokenizer
from seqlab.errors import UserError

LINES = ["the house the tree the river", "the house the tree", "the house", "a  tree"]
"""the 6 times, house and tree 3 times (house first), river and a once (river first)."""


def words(lines=LINES, vocab_size=100, **options) -> Tokenizer:
    return make_tokenizer(lines, TokenizerSettings("word", vocab_size, **options))


def characters(lines=LINES, vocab_size=100, **options) -> Tokenizer:
    return make_tokenizer(lines, TokenizerSettings("character", vocab_size, **options))


def test_words_by_falling_frequency_then_by_first_sight():
    assert words().encode("the house tree river a") == [4, 5, 6, 7, 8]
    assert len(words()) == 4 + 5


@pytest.mark.parametrize(
    "options, known",
    [
        ({"vocab_size": 4 + 3}, ["the", "house", "tree"]),
        ({"vocab_size": 4 + 4}, ["the", "house", "tree", "river"]),
        ({"min_count": 2}, ["the", "house", "tree"]),
        ({"min_count": 3}, ["the", "house", "tree"]),
        ({"min_count": 2, "vocab_size": 4 + 2}, ["the", "house"]),
    ],
)
def test_cut_off_by_size_and_by_count(options, known):
    tokenizer = words(**options)
    assert len(tokenizer) == 4 + len(known)
    for word in ("the", "house", "tree", "river", "a"):
        assert (tokenizer.encode(word) != [UNK]) == (word in known)


def test_unknown_words_are_counted_and_stay_apart():
    tokenizer = words(vocab_size=4 + 3)
    tokens = tokenizer.encode("the purple house and so the tree")
    assert tokens.count(UNK) == 3
    assert tokenizer.decode(tokens).split() == ["the", "<unk>", "house", "<unk>", "<unk>", "the", "tree"]


def test_words_are_exact():
    """No letter is changed: ligatures, accents put on, case, fractions are words of their own."""
    odd = ["ﬁn", "fin", "e\u0301", "é", "The", "the", "½", "1/2", "x\u2581y", "▁"]
    tokenizer = words([" ".join(odd)])
    assert len(set(tokenizer.encode(" ".join(odd)))) == len(odd)
    assert tokenizer.decode(tokenizer.encode(" ".join(odd))) == " ".join(odd)


def test_names_of_special_tokens_in_a_text():
    """As in the Penn Treebank and WikiText, whose rare words already are <unk>; they are no words of the vocabulary."""
    tokenizer = words(["the <unk> house <eos> <unk> <unk>", "<pad> <s>"])
    assert len(tokenizer) == 4 + len({"the", "house", "<pad>", "<s>"})
    tokens = tokenizer.encode("the <unk> house <eos> <pad> <s> <bos>")
    assert tokens[1] == UNK and tokens[3] == EOS and tokens[6] == UNK
    assert {PAD, BOS}.isdisjoint(tokens) and min(tokens[4:6]) > EOS
    assert characters(["<unk> <eos>"]).encode("<unk>").count(UNK) == 0, "to characters these are letters"


def test_any_whitespace_parts_words():
    assert words().encode("\tthe   house\u00a0tree \r") == words().encode("the house tree")


def test_characters_keep_every_space():
    tokenizer = characters()
    for line in ("  the  house ", " ", "", "the\u0020\u0020a"):
        assert tokenizer.decode(tokenizer.encode(line)) == line
    assert len(tokenizer.encode("a  b")) == 4
    assert len(characters(["aa bb", "bb cde cde"])) == 4 + len(" abcde")


def test_characters_by_falling_frequency():
    assert characters(["aab", "abbb c"]).encode("bac ") == [4, 5, 7, 6]


def test_unknown_characters():
    tokenizer = characters(["abba baba"])
    tokens = tokenizer.encode("abXba")
    assert tokens.count(UNK) == 1
    assert tokenizer.decode(tokens) == "ab<unk>ba"
    assert len(characters(["aabbc"], min_count=2)) == 4 + 2


def test_bytes():
    tokenizer = make_tokenizer([], TokenizerSettings("byte"))
    assert len(tokenizer) == 260
    assert tokenizer.encode("aß\x00\xff") == [97 + 4, 0xC3 + 4, 0x9F + 4, 4, 0xC3 + 4, 0xBF + 4]
    assert tokenizer.decode([BOS, 97 + 4, 0xC3 + 4, EOS, PAD]) == "a\N{REPLACEMENT CHARACTER}"
    every = "".join(map(chr, range(0xD800))) + "\U0010ffff"
    assert tokenizer.decode(tokenizer.encode(every)) == every
    assert UNK not in tokenizer.encode(every)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"lines": ["one one", "one"]}, r"has 1 different words,.*leave 1"),
        ({"lines": ["", " "]}, r"has 0 different words,.*leave 0"),
        ({"lines": ["<unk> <eos> one"]}, r"has 1 different words,.*leave 1"),
        ({"min_count": 4}, r"has 5 different words, of which data\.tokenizer\.min_count \(4\).*leave 1"),
        ({"vocab_size": 5}, r"data\.tokenizer\.vocab_size \(5, .*leave 1"),
        ({"vocab_size": 0}, r"data\.tokenizer\.vocab_size \(0, .*leave 0"),
    ],
)
def test_a_vocabulary_of_one_token(options, message):
    with pytest.raises(UserError, match=message) as caught:
        words(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("tokenizer", [words(), characters(), make_tokenizer([], TokenizerSettings("byte"))])
def test_a_model_is_json_that_makes_the_same_tokenizer(tokenizer):
    assert json.loads(tokenizer.model)["kind"] in ("word", "character", "byte")
    line = ' the <unk> house, naïve\\ "quoted"'
    again = load_tokenizer(tokenizer.model)
    assert again.encode(line) == tokenizer.encode(line) and again.model == tokenizer.model
