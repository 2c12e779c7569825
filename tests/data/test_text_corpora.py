"""Text corpora: the ways to name one, what a document is, and what is said of a broken one."""

import gzip
import json
import os
import subprocess
import sys

import pyarrow
import pytest
from pyarrow import parquet

from seqlab.data.pydocs import pydocs
from seqlab.data.text_corpora import Texts, own_splits, text_corpus
from seqlab.errors import UserError


@pytest.fixture
def write(tmp_path):
    """Writes a file's bytes into a folder of the test's own; returns its path."""

    def write(name: str, content: bytes | str) -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return write


def jsonl(*rows: object) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def write_parquet(path, **columns) -> str:
    parquet.write_table(pyarrow.table(columns), path)
    return str(path)


def read(name, unit="line", **options) -> list[str]:
    corpus = text_corpus(name, options.pop("split", "train"), unit, **options)
    assert corpus.column_names == ["text"]
    return list(corpus["text"])


def error(name, **options) -> str:
    with pytest.raises(UserError) as caught:
        read(name, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


TEXT = "\n one\ntwo  \n\n\nthree\n four\n\nfive\n"


def test_a_line_is_a_document(write):
    assert read(write("a.txt", TEXT)) == ["", " one", "two  ", "", "", "three", " four", "", "five"]


def test_a_file_is_a_document(write):
    """Of several, in the order given; patterns give them by name."""
    names = [write(f"{name}.txt", f"{name}\nis it\n") for name in "bca"]
    assert read(names[0], "file") == ["b\nis it"]
    assert read(names, "file") == read(", ".join(names), "file") == ["b\nis it", "c\nis it", "a\nis it"]
    assert read(names[0].replace("b.txt", "*.txt"), "file") == ["a\nis it", "b\nis it", "c\nis it"]


def test_a_paragraph_ends_with_the_blank_lines_after_it(write):
    assert read(write("a.txt", TEXT), "paragraph") == ["\n one\ntwo  \n\n", "three\n four\n", "five"]
    assert read(write("b.txt", " \n\n x\n \t\ny\n\n"), "paragraph") == [" \n\n x\n \t", "y\n"]


@pytest.mark.parametrize("text", [TEXT, "one", "one\n\n", "\n\none\n\ntwo", "one\n \ntwo\n"])
def test_the_text_is_the_same_whatever_a_document_is(write, text):
    """So that it is one stream: only where documents begin differs."""
    file = write("a.txt", text)
    table = write("a.jsonl", jsonl({"text": text}))
    expected = text if text.endswith("\n") else text + "\n"
    for unit in ("line", "paragraph", "file"):
        for name in (file, table):
            assert "".join(f"{document}\n" for document in read(name, unit)) == expected


def test_line_ends(write):
    content = b"\xef\xbb\xbfone\r\ntwo\x0b\xe2\x80\xa8x\r\n\r\nlast"
    assert read(write("a.txt", content)) == ["one", "two\x0b\u2028x", "", "last"]
    assert read(write("a.jsonl", jsonl({"text": "one\r\ntwo\r\n"}))) == ["one", "two"]


def test_patterns_go_into_folders(write, tmp_path):
    for name in ("a/x.txt", "a/b/y.txt", "a/b/z.md", "w.txt"):
        write(name, f"{name}\n")
    assert read(str(tmp_path / "**" / "*.txt")) == ["a/b/y.txt", "a/x.txt", "w.txt"]


def test_a_file_whose_name_has_what_patterns_and_lists_are_written_with(write):
    assert read(write("a,b [1].txt", "one\n")) == ["one"]


def test_jsonl(write):
    name = write("a.jsonl", jsonl({"text": "one\ntwo\n", "id": 1}, {"text": ""}) + "\n" + jsonl({"text": " ü "}))
    assert read(name, "file") == ["one\ntwo", "", " ü "]
    assert read(name, "line") == ["one", "two", "", " ü "]
    assert read(write("b.jsonl", jsonl({"body": "one"})), key="body") == ["one"]


def test_parquet(tmp_path):
    name = write_parquet(tmp_path / "a.parquet", id=[1, 2], text=["one\ntwo", "three"], body=["x", "y"])
    assert read(name, "file") == ["one\ntwo", "three"]
    assert read(name, "file", key="body") == ["x", "y"]


def test_files_of_several_kinds(write, tmp_path):
    names = [
        write("a.txt", "one\n"),
        write("b.jsonl", jsonl({"text": "two"})),
        write_parquet(tmp_path / "c.parquet", text=["three"]),
    ]
    assert read(names) == ["one", "two", "three"]


def test_texts_of_a_corpus(write):
    """As often as asked for, in order, also of a part of it."""
    lines = [f"line {number}" for number in range(2345)]
    corpus = text_corpus(write("a.txt", "\n".join(lines)), "train")
    texts = Texts(corpus)
    assert list(texts) == list(texts) == list(corpus["text"]) == lines
    assert list(Texts(corpus.select(range(1200, 2300)))) == lines[1200:2300]
    assert (len(texts), len(Texts(corpus.select(range(5))))) == (2345, 5)


def test_pydocs():
    for split in ("train", "val", "test"):
        assert read("pydocs", "file", split=split) == pydocs(split)
    lines = read("pydocs", split="val")
    assert "\n".join(lines) == "\n".join(pydocs("val"))
    assert own_splits("pydocs") == ("train", "val", "test")
    assert own_splits("a.txt") == own_splits(["pydocs"]) == ()


# -------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("content", ["", "\n\n", " \n\t\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_named(write, content):
    name = write("a.txt", content)
    assert error(name) == f"{name} is empty"


@pytest.mark.parametrize("content", ["", "\n", jsonl({"text": ""}), jsonl({"text": " \n"}, {"text": ""})])
def test_an_empty_jsonl_is_named(write, content):
    name = write("a.jsonl", content)
    assert error(name) == f"{name} is empty"


def test_an_empty_parquet_is_named(tmp_path):
    name = write_parquet(tmp_path / "a.parquet", text=pyarrow.array([], pyarrow.string()))
    assert error(name) == f"{name} is empty"


def test_of_several_files_empty_ones_are_passed_over(write, messages):
    names = [write("a.txt", "one\n\n"), write("b.txt", ""), write("c.txt", "\n"), write("d.txt", "two\n")]
    assert read(names, "file") == ["one\n", "two"]
    assert messages == [f"data: passed over 2 empty files, such as {names[1]}"]
    assert "all 2 files of " in error(names[1:3])


def test_a_line_that_is_not_utf8_is_placed(write):
    name = write("a.txt", b"one\nt\xc3\xa4o\nthr\xe9e\n")
    assert error(name).startswith(f"{name}, line 3: not UTF-8 (byte 4 is 0xe9)")
    name = write("a.jsonl", b'{"text": "one"}\n{"text": "\xe9"}\n')
    assert error(name).startswith(f"{name}, line 2: not UTF-8 (byte 11 is 0xe9)")


@pytest.mark.parametrize(
    "line, message",
    [
        ('["one"]', "not a JSON object but an array"),
        ('"one"', "not a JSON object but a string"),
        ("null", "not a JSON object but null"),
        ("3.5", "not a JSON object but a number"),
        ('{"text": "one"', "not JSON (Expecting ',' delimiter"),
        ("text", "not JSON (Expecting value"),
        ('{"body": "x", "id": 1}', "no key 'text' (its keys: 'body', 'id'); name another with data.key"),
        ("{}", "no key 'text' (its keys: none)"),
        ('{"text": ["one"]}', "'text' is not text but an array"),
        ('{"text": null}', "'text' is not text but null"),
        ('{"text": true}', "'text' is not text but true or false"),
        ('{"text": "a\\ud800b"}', "'text' holds half of a surrogate pair"),
    ],
)
def test_a_bad_line_of_jsonl_is_placed(write, line, message):
    name = write("a.jsonl", jsonl({"text": "one"}) + "\n" + line + "\n" + jsonl({"text": "four"}))
    assert error(name).startswith(f"{name}, line 3: {message}")


def test_bad_parquet(write, tmp_path):
    name = write_parquet(tmp_path / "a.parquet", body=["x"], id=[1], some=["x"])
    assert error(name) == f"{name}: no column 'text' (its columns: body, id, some); name another with data.key"
    assert error(name, key="id") == f"{name}, row 1: 'id' is not text but a number"
    name = write_parquet(tmp_path / "b.parquet", text=["x", None])
    assert error(name) == f"{name}, row 2: 'text' is not text but null"
    name = write("c.parquet", "text")
    assert error(name).startswith(f"{name}: not a readable parquet file (")


def test_names_of_nothing(tmp_path):
    for name, message in [
        ("nowhere.txt", "no file nowhere.txt (text is a text, .jsonl or .parquet file"),
        ("pydoc", "or pydocs, or hub:NAME"),
        (str(tmp_path / "*.txt"), f"no file matches {tmp_path}/*.txt"),
        (str(tmp_path), f"{tmp_path} is a folder: name its files with a pattern such as '{tmp_path}/*.txt'"),
        ([], "no corpus is named"),
        ("hub:", "'hub:' names nothing on the Hugging Face Hub: give hub:NAME or hub:NAME:CONFIG"),
    ]:
        assert message in error(name)
    assert error("pydocs", unit="word") == "data.document: 'word' is none of line, paragraph, file"


# ------------------------------------------------------------------------------------------------------------- the Hub


@pytest.fixture
def hub(tmp_path, monkeypatch) -> str:
    """A data set laid out as on the Hub, in a folder, which is loaded in the same way."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "set"
    folder.mkdir()
    write_parquet(folder / "train-00000-of-00001.parquet", text=["", " = One = \n", " two \n", ""])
    write_parquet(folder / "validation-00000-of-00001.parquet", text=["three", "four"])
    return f"hub:{folder}"


def test_a_data_set_by_name(hub):
    assert own_splits(hub) == ("train", "val")
    assert read(hub) == ["", " = One = ", " two ", ""]
    assert read(hub, split="val") == ["three", "four"]
    assert error(hub, split="test") == f"{hub} has no split test (it has: train, validation)"
    assert error(hub, key="body") == (f"{hub}, train: no column 'body' (its columns: text); name another with data.key")


def test_without_a_network_one_line_says_what_else_there_is():
    code = (
        "import sys; from seqlab.data.text_corpora import text_corpus; from seqlab.errors import UserError\n"
        "try: text_corpus('hub:Salesforce/wikitext:wikitext-2-raw-v1', 'train')\n"
        "except UserError as error: print(error)\n"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stderr == ""
    (line,) = done.stdout.splitlines()
    assert line.startswith("cannot load hub:Salesforce/wikitext:wikitext-2-raw-v1 from the Hugging Face Hub: ")
    assert line.endswith("without it, give a text, .jsonl or .parquet file, a pattern such as 'texts/*.txt', or pydocs")


def test_compressed_rows_are_rows(write):
    rows = "".join(json.dumps({"text": text}) + "\n" for text in ("one", "two"))
    assert text_corpus(write("a.jsonl.gz", gzip.compress(rows.encode())), "train")["text"] == ["one", "two"]


def test_control_characters_are_no_text(write):
    """White space but for them: a page of a text may begin with a form feed."""
    name = write("a.txt", b"one\n\x0ctwo\nthr\x00ee\n")
    assert error(name).startswith(
        f"{name}, line 3: byte 4 is a NUL (is it binary, or UTF-16?), which is no text; take "
    )
    name = write("b.jsonl", json.dumps({"text": "one\ntwo\x1b[0m"}))
    assert error(name).startswith(f"{name}, line 1: 'text': byte 8 is the control character 0x1b, which is no text")
    assert read(write("c.txt", b"one\n\x0ctwo\n")) == ["one", "\x0ctwo"]
