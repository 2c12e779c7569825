"""The texts of splits: which corpus each is of, and that it is read once."""

from collections.abc import Callable

import pytest

from seqlab.data import split_texts
from seqlab.data.split_texts import SplitTexts
from seqlab.errors import UserError

Write = Callable[[str, list[str]], str]
LINES = [f"line {number}" for number in range(45)]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, str]]:
    """Which corpora were read, and which splits of them."""
    calls: list[tuple[object, str]] = []
    text_corpus = split_texts.text_corpus

    def reading(name, split, *options):
        calls.append((name, split))
        return text_corpus(name, split, *options)

    monkeypatch.setattr(split_texts, "text_corpus", reading)
    return calls


@pytest.mark.parametrize("first", ["train", "val"])
def test_what_is_held_out_is_read_with_the_rest_and_once(write_lines: Write, read: list, first: str) -> None:
    train = write_lines("train.txt", LINES)
    texts = SplitTexts(train, {"val": None, "test": None}, "line", "text")
    assert texts.held_out and texts.name("val") == train
    assert len(texts[first]) == {"train": 43, "val": 2}[first]
    assert (list(texts["train"]["text"]), list(texts["val"]["text"])) == (LINES[:43], LINES[43:])
    assert read == [(train, "train")]
    texts.clear()
    assert list(texts["val"]["text"]) == LINES[43:] and len(read) == 2


def test_given_texts_are_read_by_themselves(write_lines: Write, read: list) -> None:
    train, val = write_lines("train.txt", LINES), [write_lines("val.txt", ["one", "two"])]
    texts = SplitTexts(train, {"val": val, "test": None}, "file", "text")
    assert not texts.held_out and texts.name("val") == val
    assert len(texts["val"]) == len(texts["train"]) == 1 and texts["val"][0]["text"] == "one\ntwo"
    assert read == [(val, "val"), (train, "train")]
    assert "val" in texts and "test" not in texts
    with pytest.raises(UserError, match=r"^there is no test corpus: give one with --data\.test NAME$"):
        texts["test"]


def test_a_corpus_may_have_splits_of_its_own() -> None:
    texts = SplitTexts("pydocs", {"val": None, "test": None}, "file", "text")
    assert "test" in texts and not texts.held_out and texts.name("test") == "pydocs"
    assert len({texts[split][0]["text"] for split in ("train", "val", "test")}) == 3


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_corpora_are_looked_up_without_reading_them(
    write_lines: Write, read: list, monkeypatch: pytest.MonkeyPatch, split: str
) -> None:
    """In their order, but files before data sets of the Hub."""
    loaded: list[str] = []
    monkeypatch.setattr("seqlab.data.text_corpora.hub_splits", lambda name, instead: loaded.append(name))
    names = {"train": "hub:nobody/has-this", "val": [write_lines("val.txt", ["one"])], "test": "pydocs"}

    def texts(train, **others) -> SplitTexts:
        return SplitTexts(train, others, "line", "text")

    texts(**names).look_up()
    texts(**{**names, "val": None}).look_up()
    assert loaded == ["hub:nobody/has-this"] * 2
    with pytest.raises(UserError, match=r"^no file nowhere\.txt"):
        texts(**{**names, split: "nowhere.txt"}).look_up()
    assert len(loaded) == 2 and not read
