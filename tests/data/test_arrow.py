"""Text in Arrow: small corpora in memory, large ones written once and mapped into memory, the same by every process."""

import os
from pathlib import Path

import pyarrow
import pytest

from seqlab.data import arrow
from seqlab.data.arrow import Texts, arrow_dataset
from seqlab.data.corpora import Languages, parallel_corpus
from seqlab.errors import UserError

LANGUAGES = Languages("en", "de")
COUNT = 23_456


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """A cache of the test's own, used for a text of any size."""
    monkeypatch.setenv("SEQLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(arrow, "CACHED_FROM", 0)
    return tmp_path / "cache" / "text"


def write_pairs(folder: Path, count: int = COUNT) -> str:
    """Writes two sides of lines that are all different; returns their prefix."""
    for language, word in (("en", "line"), ("de", "Zeile")):
        (folder / f"a.{language}").write_text("".join(f"{word} {number}\n" for number in range(count)))
    return str(folder / "a")


def rows(corpus) -> list[tuple[str, str]]:
    return list(zip(Texts(corpus, "source"), Texts(corpus, "target"), strict=True))


def expected(count: int = COUNT) -> list[tuple[str, str]]:
    return [(f"line {number}", f"Zeile {number}") for number in range(count)]


def test_a_large_corpus_is_mapped_from_one_file(tmp_path, cache):
    name = write_pairs(tmp_path)
    corpus = parallel_corpus(name, "train", LANGUAGES)
    assert rows(corpus) == expected()
    (file,) = cache.iterdir()
    assert [Path(each["filename"]) for each in corpus.cache_files] == [file]


def test_it_is_written_once(tmp_path, cache, monkeypatch):
    name = write_pairs(tmp_path, 5)
    parallel_corpus(name, "train", LANGUAGES)
    (file,) = cache.iterdir()
    before = file.stat().st_mtime_ns
    monkeypatch.setattr(arrow, "_write", None)
    corpus = parallel_corpus(name, "train", LANGUAGES)
    assert rows(corpus) == expected(5) and list(corpus[3].values()) == list(expected(5)[3])
    assert file.stat().st_mtime_ns == before


def test_it_is_written_anew_when_a_file_is_another_one(tmp_path, cache):
    name = write_pairs(tmp_path, 5)
    parallel_corpus(name, "train", LANGUAGES)
    for number, change in enumerate(
        (
            lambda file: file.write_text("x\n" * 5),  # another size
            lambda file: file.write_text("y\n" * 5),  # as long, but later
            lambda file: os.utime(file, ns=(0, file.stat().st_mtime_ns + 1)),
        ),
        start=2,
    ):
        change(tmp_path / "a.de")
        assert [target for _, target in rows(parallel_corpus(name, "train", LANGUAGES))] == (
            (tmp_path / "a.de").read_text().splitlines()
        )
        assert len(list(cache.iterdir())) == number


def test_the_same_file_under_other_keys(tmp_path, cache):
    (tmp_path / "a.jsonl").write_text('{"en": "one", "de": "ein", "fr": "un"}\n')
    name = str(tmp_path / "a.jsonl")
    for languages, target in ((LANGUAGES, "ein"), (Languages("en", "fr"), "un"), (Languages("de", "en"), "one")):
        assert parallel_corpus(name, "train", languages)["target"][0] == target
    assert len(list(cache.iterdir())) == 3


def test_references_are_kept(tmp_path, cache):
    (tmp_path / "a.tsv").write_text("one\tein\teins\ntwo\tzwei\tzwo\n")
    for _ in range(2):
        corpus = parallel_corpus(str(tmp_path / "a.tsv"), "val", LANGUAGES)
        assert corpus.column_names == ["source", "target", "references"]
        assert list(corpus["references"]) == [["ein", "eins"], ["zwei", "zwo"]]
    assert len(list(cache.iterdir())) == 1


def test_small_corpora_stay_in_memory(tmp_path, cache, monkeypatch):
    name = write_pairs(tmp_path, 5)
    size = sum((tmp_path / f"a.{language}").stat().st_size for language in ("en", "de"))
    monkeypatch.setattr(arrow, "CACHED_FROM", size + 1)
    assert rows(parallel_corpus(name, "train", LANGUAGES)) == expected(5)
    assert not cache.exists()
    monkeypatch.setattr(arrow, "CACHED_FROM", size)
    parallel_corpus(name, "train", LANGUAGES)
    assert len(list(cache.iterdir())) == 1


def test_what_is_wrong_late_in_a_file_leaves_nothing(tmp_path, cache):
    name = write_pairs(tmp_path)
    with (tmp_path / "a.de").open("ab") as file:
        file.write(b"too many\n")
    with pytest.raises(UserError, match=r"has 23,456 lines but .* has 23,457"):
        parallel_corpus(name, "train", LANGUAGES)
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("damage", [lambda data: data[:-8], lambda data: data[: len(data) // 2], lambda data: b""])
def test_a_damaged_file_is_written_anew(tmp_path, cache, damage):
    name = write_pairs(tmp_path, 50)
    parallel_corpus(name, "train", LANGUAGES)
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert rows(parallel_corpus(name, "train", LANGUAGES)) == expected(50)
    assert file.read_bytes() == whole


def test_without_a_cache_it_stays_in_memory(tmp_path, cache, monkeypatch, messages):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("SEQLAB_CACHE", str(tmp_path / "file"))
    assert rows(parallel_corpus(write_pairs(tmp_path, 5), "train", LANGUAGES)) == expected(5)
    (message,) = messages
    assert message.startswith("data: text kept in memory, since the cache cannot be written: ")


def test_a_full_disk(tmp_path, cache, monkeypatch, messages):
    class Full(OSError):
        pass

    def write(*arguments):
        raise Full("no space left")

    monkeypatch.setattr(arrow, "_write", write)
    assert rows(parallel_corpus(write_pairs(tmp_path, 5), "train", LANGUAGES)) == expected(5)
    assert messages == ["data: text kept in memory, since the cache cannot be written: no space left"]


SETUP = """
import hashlib, logging, sys
logging.basicConfig(level=logging.INFO, format="%(message)s")
from seqlab.data import arrow
from seqlab.data.corpora import Languages, parallel_corpus
arrow.CACHED_FROM, write = 0, arrow._write

def telling(*arguments):
    print("written", file=sys.stderr)
    write(*arguments)

arrow._write = telling
"""

PROCESS = """
corpus = parallel_corpus(sys.argv[1], "train", Languages("en", "de"))
rows = zip(arrow.Texts(corpus, "source"), arrow.Texts(corpus, "target"))
print(len(corpus.cache_files), hashlib.sha256(repr(list(rows)).encode()).hexdigest())
"""


def test_several_processes_at_once(tmp_path, cache, together):
    """One writes the file, the others wait and take it."""
    found, told = together(PROCESS, write_pairs(tmp_path), setup=SETUP)
    assert sum("written\n" in lines for lines in told) == 1
    assert len(found) == 1 and found.pop().startswith("1 ")
    assert len(list(cache.iterdir())) == 1, "no other file is left"


def test_texts_of_a_column(tmp_path):
    """As often as asked for, in order, also of rows that were selected."""
    corpus = arrow_dataset(
        lambda: iter([pyarrow.table({"n": [str(n) for n in range(first, first + 700)]}) for first in (0, 700, 1400)]),
        [],
    )
    texts = Texts(corpus.select(range(2000, 100, -3)), "n")
    assert list(texts) == list(texts) == [str(n) for n in range(2000, 100, -3)]
    assert len(texts) == 634
