"""Parallel corpora with one sentence a line: how they are named, what ends a line, what is said of a broken one."""

import gzip
import re
import subprocess
from pathlib import Path

import pytest

from seqlab.data.corpora import Languages, parallel_corpus
from seqlab.errors import UserError

ENGLISH_GERMAN = Languages("en", "de")


@pytest.fixture
def write(tmp_path):
    """Writes a file's bytes into a folder of the test's own; returns its path."""

    def write(name: str, content: bytes | str) -> str:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return write


def read(name):
    """The two sides of a corpus, as lists."""
    corpus = parallel_corpus(name, "train", ENGLISH_GERMAN)
    assert corpus.column_names == ["source", "target"]
    return list(corpus["source"]), list(corpus["target"])


def error(name) -> str:
    with pytest.raises(UserError) as caught:
        read(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


EXPECTED = (["one house", "two"], ["ein Haus", "zwei"])


@pytest.fixture
def files(write) -> tuple[str, str]:
    return write("corpus.en", "one house\ntwo\n"), write("corpus.de", "ein Haus\nzwei\n")


def test_path_prefix(files):
    assert read(files[0].removesuffix(".en")) == EXPECTED


def test_path_prefix_takes_the_languages_as_suffixes(files, write):
    write("corpus.fr", "une maison\ndeux\n")
    corpus = parallel_corpus(files[0].removesuffix(".en"), "train", Languages("fr", "en"))
    assert (list(corpus["source"]), list(corpus["target"])) == (["une maison", "deux"], EXPECTED[0])


@pytest.mark.parametrize("comma", [",", ", "])
def test_two_files_with_a_comma(files, comma):
    assert read(comma.join(files)) == EXPECTED
    assert read(comma.join(reversed(files))) == EXPECTED[::-1]


@pytest.mark.parametrize("comma", [",", ", "])
def test_further_files_are_further_references(files, write, comma):
    """The target is the first of them."""
    other = write("corpus.other", "das Haus\nzwo\n")
    corpus = parallel_corpus(comma.join([*files, other]), "val", ENGLISH_GERMAN)
    assert (list(corpus["source"]), list(corpus["target"])) == EXPECTED
    assert list(corpus["references"]) == [["ein Haus", "das Haus"], ["zwei", "zwo"]]


def test_compressed_files(files, write, tmp_path):
    """Named, or found where a file of the name without .gz is not there."""
    for name in ("corpus.en", "corpus.de"):
        write(f"{name}.gz", gzip.compress((tmp_path / name).read_bytes()))
        (tmp_path / name).unlink()
        assert read(files[0].removesuffix(".en")) == EXPECTED
    assert read(f"{files[0]}.gz,{files[1]}.gz") == EXPECTED


def test_the_phrasebook_by_name():
    corpus = parallel_corpus("phrasebook", "val", ENGLISH_GERMAN)
    assert corpus.column_names == ["source", "target"]
    assert len(corpus) == 500
    assert len(set(corpus["source"])) == 500 and set(corpus["source"]).isdisjoint(corpus["target"])


def test_carriage_returns_and_byte_order_mark_are_dropped(write):
    write("corpus.de", "ein Haus\nzwei\n")
    assert read(write("corpus.en", b"\xef\xbb\xbfone house\r\ntwo\r\n").removesuffix(".en")) == EXPECTED


def test_last_line_without_line_end(write):
    write("corpus.en", "one house\ntwo")
    assert read(write("corpus.de", "ein Haus\nzwei\n").removesuffix(".de")) == EXPECTED


def test_empty_lines_count(write):
    write("corpus.en", "one\n\nthree\n\n")
    assert read(write("corpus.de", "\nzwei\n\n\n").removesuffix(".de")) == (
        ["one", "", "three", ""],
        ["", "zwei", "", ""],
    )


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x0b", "\x0c", "\x85", "\r"])
def test_only_a_line_feed_ends_a_line(write, character):
    """Not what Python's ``splitlines`` takes for an end; so both sides count alike."""
    write("corpus.en", f"one{character}house\ntwo\n")
    source, target = read(write("corpus.de", "ein Haus\nzwei\n").removesuffix(".de"))
    assert source == [f"one{character}house", "two"]
    assert target == EXPECTED[1]


@pytest.mark.parametrize("byte", [0, 1, 8, 14, 27, 31])
def test_control_characters_are_no_text(write, byte):
    """With file, line, byte and a command that takes out just these."""
    write("corpus.en", b"one house\ntwo\n")
    write("corpus.de", b"ein\t\x0b\x0c\rHaus\nz" + bytes([byte]) + b"wei\n")
    folder = write("corpus.fr", b"").removesuffix("corpus.fr")
    message = error(f"{folder}corpus")
    assert message.startswith(f"{folder}corpus.de, line 2: byte 2 is ")
    assert ("a NUL (is it binary, or UTF-16?)" if byte == 0 else f"the control character 0x{byte:02x}") in message
    command = message.partition("for example with ")[2]
    assert command == r"tr -d '\000-\010\016-\037'"
    damaged = Path(f"{folder}corpus.de").read_bytes()
    cleaned = subprocess.run(["sh", "-c", command], input=damaged, capture_output=True).stdout
    write("corpus.de", cleaned)
    assert read(f"{folder}corpus")[1] == ["ein\t\x0b\x0c\rHaus", "zwei"]


def test_missing_file_is_named(files, write, tmp_path):
    (tmp_path / "corpus.de").unlink()
    assert files[1] in error(files[0].removesuffix(".en"))
    assert files[1] in error(",".join(files))


def test_a_misspelt_built_in_name_is_explained():
    """Anything else is a path prefix, so the message also says what is built in."""
    message = error("phrasebok")
    assert "phrasebok.en" in message and re.search(r"\bphrasebook\b", message)


def test_a_missing_one_of_two_files_is_not_called_a_prefix(files):
    assert "prefix" not in error(f"{files[0]},nowhere.de")


def test_different_numbers_of_lines(files, write):
    """Both files and both counts stand in the message."""
    other = write("longer.de", "x\n" * 1234)
    message = error(f"{files[0]},{other}")
    assert files[0] in message and other in message
    assert re.search(r"\b2\b", message) and "1,234" in message


@pytest.mark.parametrize("side", [0, 1])
def test_what_is_not_utf8_is_pointed_at(files, write, side):
    """By file, line and byte."""
    chosen = list(files)
    chosen[side] = write("latin1.txt", b"na\xc3\xafve\nna\xefve\n")
    message = error(",".join(chosen))
    assert chosen[side] in message and files[1 - side] not in message
    assert re.search(r"line 2\b", message) and "0xef" in message and re.search(r"byte 3\b", message)


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf"])
def test_empty_files(write, content):
    files = [write("empty.en", content), write("empty.de", content)]
    message = error(",".join(files))
    assert files[0] in message and files[1] in message and "empty" in message


def test_the_side_that_differs_is_named(files, write):
    """Also if it is shorter, and not the first after the source."""
    shorter = write("shorter.de", "x\n")
    message = error(",".join([*files, shorter]))
    assert f"{files[0]} has 2 lines but {shorter} has 1:" in message


def test_one_of_two_files_alone(files):
    assert error(files[0]).endswith(
        f"({files[0]!r} alone is one side: give both files with a comma between them, {files[0]},OTHER)"
    )
    assert error(f"{files[0]},").startswith("a parallel corpus of files has two or more with commas between them")


def test_a_damaged_compressed_file(files, write):
    whole = gzip.compress(b"one house\ntwo\n" * 1000)
    for content, reason in ((whole[:-12], "ended before"), (b"one house\ntwo\n", "Not a gzipped file")):
        name = write("corpus.gz", content)
        message = error(f"{name},{files[1]}")
        assert message.startswith(f"cannot read {name}: ") and reason in message
