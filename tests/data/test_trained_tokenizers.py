"""Tokenizers trained on corpora: which lines they see, and that a large corpus trains one once."""

import numpy as np
import pyarrow
import pytest
from datasets import Dataset, concatenate_datasets

from seqlab.data import checksums, trained_tokenizers
from seqlab.data.checksums import column_checksum
from seqlab.data.pydocs import pydocs
from seqlab.data.subwords import LONGEST, cut_long
from seqlab.data.tokenizers import TokenizerSettings, make_tokenizer
from seqlab.data.trained_tokenizers import spread_evenly, train_tokenizer

SIDES = {
    "source": [f"the {number} houses of {'abcdefg'[number % 7]}" for number in range(70)],
    "target": [f"die {number} Häuser von {'abcdefg'[number % 7]}" for number in range(70)],
}
CORPUS = Dataset.from_dict(SIDES)


@pytest.mark.parametrize("kind", ["unigram", "bpe", "word", "character", "byte"])
def test_it_is_that_of_all_lines_in_order(kind, messages):
    settings = TokenizerSettings(kind, 33)
    joint = train_tokenizer(CORPUS, ["source", "target"], settings)
    assert joint.model == make_tokenizer([*SIDES["source"], *SIDES["target"]], settings).model
    target = train_tokenizer(CORPUS, ["target"], settings)
    assert target.model == make_tokenizer(SIDES["target"], settings).model
    assert messages == [f"data: training a {kind} tokenizer on 70 pairs"] * 2


def test_lines_are_spread_evenly():
    lines = [str(number) for number in range(1000)]
    for most in (1, 7, 333, 999):
        taken = [int(line) for line in spread_evenly(lines, 1000, most)]
        assert len(taken) == most == len(set(taken))
        assert np.ptp(np.diff(taken)) <= 1 if most > 2 else True
        assert list(spread_evenly(lines, 1000, most)) == list(map(str, taken))
    assert list(spread_evenly(lines, 1000, 1000)) == list(spread_evenly(lines, 1000, 5000)) == lines


def test_a_huge_corpus_is_sampled_and_told_of(monkeypatch, messages):
    monkeypatch.setattr(trained_tokenizers, "MOST_LINES", 35)
    made = train_tokenizer(CORPUS, ["source", "target"], TokenizerSettings("word", 500))
    assert "data: it is trained on 35 of 140 lines, spread evenly" in messages
    lines = [*SIDES["source"], *SIDES["target"]]
    assert made.model == make_tokenizer(lines[3::4], TokenizerSettings("word", 500)).model


def test_documents_are_taken_by_the_line(monkeypatch, messages):
    monkeypatch.setattr(trained_tokenizers, "MOST_LINES", 10)
    text = Dataset.from_dict({"text": ["\n".join(SIDES["source"][:40]), "one line"]})
    made = train_tokenizer(text, ["text"], TokenizerSettings("word", 500), unit="documents")
    assert "data: it is trained on 10 of 41 lines, spread evenly" in messages
    assert messages[0] == "data: training a word tokenizer on 2 documents"
    expected = list(spread_evenly([*SIDES["source"][:40], "one line"], 41, 10))
    assert made.model == make_tokenizer(expected, TokenizerSettings("word", 500)).model


def test_that_of_a_large_corpus_is_kept(tmp_path, monkeypatch, messages):
    monkeypatch.setenv("SEQLAB_CACHE", str(tmp_path))
    settings = TokenizerSettings("bpe", 40)
    train_tokenizer(CORPUS, ["source"], settings)
    assert not list(tmp_path.iterdir()), "this is a small one"
    monkeypatch.setattr(trained_tokenizers, "CACHED_FROM", 0)
    made = train_tokenizer(CORPUS, ["source"], settings)
    (file,) = (tmp_path / "tokenizers").iterdir()
    again = train_tokenizer(CORPUS, ["source"], TokenizerSettings("bpe", 40, dropout=0.1))
    assert again.model == made.model and messages[-1] == "data: a bpe tokenizer from the cache"
    for corpus, column, other in (
        (CORPUS, "target", settings),
        (CORPUS, "source", TokenizerSettings("bpe", 41)),
        (CORPUS.select(range(69)), "source", settings),
    ):
        messages.clear()
        train_tokenizer(corpus, [column], other)
        assert messages[0].startswith("data: training a bpe")
    for harm in (file.read_bytes()[:-1], b"", b"x" * 900):
        file.write_bytes(harm)
        assert train_tokenizer(CORPUS, ["source"], settings).model == made.model
        assert train_tokenizer(CORPUS, ["source"], settings).model == made.model


def test_a_file_is_not_trained(tmp_path, messages):
    made = make_tokenizer(SIDES["source"], TokenizerSettings("word", 50))
    (tmp_path / "words").write_bytes(made.model)
    assert train_tokenizer(CORPUS, ["target"], TokenizerSettings(file=str(tmp_path / "words"))).model == made.model
    assert messages == [f"data: the tokenizer of {tmp_path / 'words'}, {len(made)} tokens"]


# ------------------------------------------------------------------------------------------------------------ checksums


def test_a_checksum_is_of_the_texts_however_they_lie(monkeypatch):
    texts = ["one", "", "zwölf", "日本語", "", "last"]
    expected = column_checksum(Dataset.from_dict({"a": texts, "b": texts[::-1]}), "a")
    assert expected[1] == sum(len(text.encode()) for text in texts)
    parts = [Dataset.from_dict({"a": texts[:2]}), Dataset.from_dict({"a": texts[2:]})]
    shuffled = Dataset.from_dict({"a": [texts[number] for number in (3, 1, 5, 0, 4, 2)]})
    large = Dataset(pyarrow.table({"a": pyarrow.array(texts, pyarrow.large_string())}))
    same = [concatenate_datasets(parts), shuffled.select([3, 1, 5, 0, 4, 2]), large, Dataset.from_dict({"a": texts})]
    for rows in (1, 2, 4, 1 << 16):
        monkeypatch.setattr(checksums, "ROWS", rows)
        assert [column_checksum(corpus, "a") for corpus in same] == [expected] * 4


@pytest.mark.parametrize("other", [["a", "bc"], ["ab", "c", ""], ["abc"], ["", "abc"], ["ab", "d"]])
def test_another_text_has_another_checksum(other):
    one = column_checksum(Dataset.from_dict({"a": ["ab", "c"]}), "a")[0]
    assert column_checksum(Dataset.from_dict({"a": other}), "a")[0] != one


# ----------------------------------------------------------------------------------------------------------- long lines


def test_a_very_long_line_is_trained_on_in_pieces():
    """At white space where there is any; shorter ones are left alone."""
    short, words, solid = "a" * LONGEST, "five5 " * 2000, "x" * (2 * LONGEST + 5)
    pieces = list(cut_long([short, words, "", solid]))
    assert pieces[0] == short and pieces[-4:] == ["", "x" * LONGEST, "x" * LONGEST, "x" * 5]
    cut = pieces[1:-4]
    assert "".join(cut) == words and len(cut) == 3 and max(map(len, cut)) <= LONGEST
    assert all(piece.split() == ["five5"] * len(piece.split()) for piece in cut)


def test_a_megabyte_in_one_line_holds_nothing_up():
    """Without any space SentencePiece would fail on it."""
    lines = [*pydocs("val")[0].split("\n"), "ab" * (1 << 19)]
    made = make_tokenizer(lines, TokenizerSettings("unigram", 120))
    assert made.decode(made.encode("abab")) == "abab"


# ------------------------------------------------------------------------------------------------------------ processes

SETUP = """
import hashlib, sys
from datasets import Dataset
from seqlab.data import trained_tokenizers
from seqlab.data.tokenizers import TokenizerSettings
trained_tokenizers.CACHED_FROM, make = 0, trained_tokenizers.make_tokenizer
corpus = Dataset.from_dict({"text": [f"line {number} of {number % 17}" for number in range(20_000)]})

def telling(*arguments):
    print("trained", file=sys.stderr)
    return make(*arguments)

trained_tokenizers.make_tokenizer = telling
"""

PROCESS = """
made = trained_tokenizers.train_tokenizer(corpus, ["text"], TokenizerSettings("word", 500))
print(hashlib.sha256(made.model).hexdigest())
"""


def test_several_processes_at_once(tmp_path, monkeypatch, together):
    """One trains the tokenizer, the others wait and take it."""
    monkeypatch.setenv("SEQLAB_CACHE", str(tmp_path))
    found, told = together(PROCESS, setup=SETUP)
    assert len(found) == 1 and sum("trained\n" in lines for lines in told) == 1
    assert len(list((tmp_path / "tokenizers").iterdir())) == 1, "no other file is left"
