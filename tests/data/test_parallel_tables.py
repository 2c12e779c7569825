"""Parallel corpora whose rows hold both sides: tsv, jsonl, parquet and the Hub."""

import gzip
import json

import pyarrow
import pytest
from pyarrow import parquet

from seqlab.data.corpora import Languages, own_splits, parallel_corpus
from seqlab.errors import UserError

PAIRS = [("one house", "ein Haus"), ("two", "zwei"), ("", "drei")]
REFERENCES = [["ein Haus", "das Haus"], ["zwei", "zwo"], ["drei", ""]]


@pytest.fixture
def write(tmp_path):
    """Writes a file's bytes into a folder of the test's own; returns its path."""

    def write(name: str, content: bytes | str) -> str:
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return str(tmp_path / name)

    return write


def jsonl(*rows: object) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def write_parquet(path, rows: list[dict]) -> str:
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return str(path)


def keyed(pairs, nested: bool = False, keys=("en", "de")) -> list[dict]:
    """Rows of some keys, as they are at the Hub, with others around them."""
    rows = [dict(zip(keys, pair, strict=True)) for pair in pairs]
    return [{"id": 1, **({"translation": {"fr": "", **row}} if nested else row)} for row in rows]


def read(name, split="train", **keys):
    """The pairs of a corpus, and its references where it has any."""
    corpus = parallel_corpus(name, split, Languages("en", "de", **keys))
    pairs = list(zip(corpus["source"], corpus["target"], strict=True))
    if corpus.column_names == ["source", "target"]:
        return pairs
    assert corpus.column_names == ["source", "target", "references"]
    return pairs, list(corpus["references"])


def error(name, **options) -> str:
    with pytest.raises(UserError) as caught:
        read(name, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# -------------------------------------------------------------------------------------------------------------- tables


def tsv(*rows) -> str:
    return "".join("\t".join(row) + "\n" for row in rows)


def test_tsv(write):
    """Without a header; a quotation mark is text."""
    assert read(write("a.tsv", tsv(*PAIRS))) == PAIRS
    assert read(write("a.tsv.gz", gzip.compress(tsv(*PAIRS).encode()))) == PAIRS
    assert read(write("a.TSV", '\ufeff"a\tb"\r\n c\t d \r\n')) == [('"a', 'b"'), (" c", " d ")]


def test_further_columns_of_tsv_are_further_references(write):
    rows = [(source, *references) for (source, _), references in zip(PAIRS, REFERENCES, strict=True)]
    assert read(write("a.tsv", tsv(*rows))) == (PAIRS, REFERENCES)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "parquet"])
def test_rows_with_a_key_for_each_language(write, tmp_path, kind, nested):
    def corpus(pairs) -> str:
        rows = keyed(pairs, nested)
        if kind == "parquet":
            return write_parquet(tmp_path / "a.parquet", rows)
        content = jsonl(*rows).encode()
        return write(f"a.{kind}", gzip.compress(content) if kind.endswith(".gz") else content)

    assert read(corpus(PAIRS)) == PAIRS
    lists = [(source, references) for (source, _), references in zip(PAIRS, REFERENCES, strict=True)]
    assert read(corpus(lists)) == (PAIRS, REFERENCES)


@pytest.mark.parametrize("nested", [False, True])
def test_other_keys(write, tmp_path, nested):
    rows = keyed(PAIRS, nested, ("src", "tgt"))
    keys = {"source_key": "src", "target_key": "tgt"}
    assert read(write("a.jsonl", "\n" + jsonl(*rows)), **keys) == PAIRS
    assert read(write_parquet(tmp_path / "a.parquet", rows), **keys) == PAIRS
    assert read(write("a.jsonl", jsonl(*keyed(PAIRS, nested, ("src", "de")))), source_key="src") == PAIRS


def test_unequal_numbers_of_references(write):
    name = write("a.jsonl", jsonl({"en": "a", "de": ["b"]}, {"en": "c", "de": ["d", "e", "f"]}))
    assert read(name) == ([("a", "b"), ("c", "d")], [["b"], ["d", "e", "f"]])


def test_a_bad_line_of_tsv_is_placed(write):
    name = write("a.tsv", "one\tein\ntwo zwei\n")
    assert error(name) == f"{name}, line 2: no tab, which separates source and target"
    name = write("b.tsv", "one\tein\n\ntwo\tzwei\n")
    assert error(name).startswith(f"{name}, line 2: no tab")
    name = write("c.tsv", "one\tein\ntwo\tzwei\tzwo\n")
    assert error(name).startswith(f"{name}, line 2: 3 columns, but line 1 has 2 (")
    name = write("d.tsv", b"one\tein\ntwo\tzw\xf6lf\n")
    assert error(name).startswith(f"{name}, line 2: not UTF-8 (byte 7 is 0xf6)")
    name = write("e.tsv", b"one\tein\ntwo\tzw\x1bei\n")
    assert error(name).startswith(f"{name}, line 2: byte 7 is the control character 0x1b, which is no text")


NO_KEY = "name another with data."


@pytest.mark.parametrize(
    "line, message",
    [
        ('["one", "ein"]', "not a JSON object but an array"),
        ("one\tein", "not JSON (Expecting value"),
        ('{"en": "one", "fr": "un"}', f"no key 'de' (its keys: 'en', 'fr'); {NO_KEY}target_key"),
        ('{"de": "ein"}', f"no key 'en' (its keys: 'de'); {NO_KEY}source_key"),
        (
            '{"translation": {"en": "one"}}',
            f"no key 'de' (its keys: 'translation', 'translation.en'); {NO_KEY}target_key",
        ),
        ('{"en": ["one"], "de": "ein"}', "'en' is not text but an array"),
        ('{"en": "one", "de": null}', "'de' is not text but null"),
        ('{"en": "one", "de": ["ein"]}', "'de' is an array, unlike that of "),
        ('{"en": "a\\ud800b", "de": "ein"}', "'en' holds half of a surrogate pair"),
        ('{"en": "one", "de": "\\u00fc\\u0000"}', "'de': byte 3 is a NUL (is it binary, or UTF-16?), which is no text"),
    ],
)
def test_a_bad_line_of_jsonl_is_placed(write, line, message):
    name = write("a.jsonl", jsonl({"en": "one", "de": "ein"}) + "\n" + line + "\n")
    assert error(name).startswith(f"{name}, line 3: {message}")


@pytest.mark.parametrize(
    "line, message",
    [
        ('{"en": "one", "de": []}', "'de' is an empty array: at least one reference is needed"),
        ('{"en": "one", "de": ["ein", 1]}', "'de' is not text but a number"),
        ('{"en": "one", "de": "ein"}', "'de' is not an array, unlike that of "),
    ],
)
def test_bad_references_are_placed(write, line, message):
    name = write("a.jsonl", jsonl({"en": "one", "de": ["ein"]}) + line + "\n")
    assert error(name).startswith(f"{name}, line 2: {message}")


def test_bad_parquet(write, tmp_path):
    name = write_parquet(tmp_path / "a.parquet", keyed(PAIRS, keys=("en", "fr")))
    assert error(name) == f"{name}: no column 'de' (its columns: id, en, fr); {NO_KEY}target_key"
    name = write_parquet(tmp_path / "b.parquet", keyed([*PAIRS, ("four", None)], nested=True))
    assert error(name) == f"{name}, row 4: 'de' is not text but null"
    name = write_parquet(tmp_path / "d.parquet", keyed([*PAIRS, ("fo\x07ur", "vier")]))
    assert error(name) == f"{name}, row 4: 'en': byte 3 is the control character 0x07, which is no text; take it out"
    name = write("c.parquet", "en")
    assert error(name).startswith(f"{name}: not a readable parquet file (")


@pytest.mark.parametrize("name, content", [("a.tsv", ""), ("a.tsv", "\ufeff"), ("a.jsonl", "\n \n"), ("a.tsv.gz", b"")])
def test_an_empty_table_is_named(write, name, content):
    name = write(name, content)
    assert error(name) == f"{name} is empty"


def test_an_empty_parquet_is_named(tmp_path):
    text = pyarrow.array([], pyarrow.string())
    parquet.write_table(pyarrow.table({"en": text, "de": text}), tmp_path / "a.parquet")
    assert error(str(tmp_path / "a.parquet")) == f"{tmp_path}/a.parquet is empty"


def test_names_of_nothing(write):
    name = write("a.tsv", tsv(*PAIRS))
    assert error("nowhere.tsv") == "no file nowhere.tsv"
    assert error(f"{name},{name}") == f"{name} holds both sides and stands alone; several corpora are a list, [A, B]"
    assert error("hub:") == "'hub:' names nothing on the Hugging Face Hub: give hub:NAME or hub:NAME:CONFIG"


# ------------------------------------------------------------------------------------------------------------- the Hub


@pytest.fixture(autouse=True)
def hub_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.mark.parametrize("nested", [False, True])
def test_a_data_set_in_a_folder(tmp_path, nested):
    """Laid out as on the Hub, and loaded in the same way."""
    write_parquet(tmp_path / "train-00000-of-00002.parquet", keyed(PAIRS[:2], nested))
    write_parquet(tmp_path / "train-00001-of-00002.parquet", keyed(PAIRS[2:], nested))
    write_parquet(tmp_path / "validation.parquet", keyed(PAIRS[1:2], nested))
    name = f"hub:{tmp_path}"
    assert own_splits(name) == ("train", "val")
    assert (read(name), read(name, split="val")) == (PAIRS, PAIRS[1:2])
    assert error(name, split="test") == f"{name} has no split test (it has: train, validation)"
    if not nested:
        columns = "(its columns: id, en, de)"
        assert error(name, target_key="fr") == f"{name}, train: no column 'fr' {columns}; {NO_KEY}target_key"


@pytest.mark.parametrize("files", [{}, {"README.md": "a data set"}, {"data.bin": "x"}])
def test_a_folder_without_data_files(tmp_path, write, files):
    """The Hub has no part in it."""
    for name, content in files.items():
        write(name, content)
    advice = "give each split one, such as train.jsonl and validation.jsonl, or train.parquet"
    name = f"hub:{tmp_path}"
    assert error(name) == f"cannot load {name} from the folder {tmp_path}: it has no data files; {advice}"


def test_what_else_is_wrong_with_a_folder(tmp_path, write):
    write("train.jsonl", '{"en": "one", "de":\n')
    message = error(f"hub:{tmp_path}")
    assert message.startswith(f"cannot load hub:{tmp_path} from the folder {tmp_path}: JSON parse error: ")
    for path in (f"{tmp_path}/nowhere", "./nowhere", "../nowhere"):
        assert error(f"hub:{path}") == f"hub:{path}: there is no folder {path}"


def test_references_of_a_data_set(tmp_path, write):
    rows = [{"src": source, "refs": given} for (source, _), given in zip(PAIRS, REFERENCES, strict=True)]
    write("test.jsonl", jsonl(*rows))
    found = read(f"hub:{tmp_path}", split="test", source_key="src", target_key="refs")
    assert found == (PAIRS, REFERENCES)


def test_line_ends_within_a_text_are_spaces(write):
    """A sentence is one line of every file that is written of it."""
    rows = [{"en": "one\nhouse", "de": ["ein\r\nHaus", "das\n\nHaus"]}]
    assert parallel_corpus(write("a.jsonl", jsonl(*rows)), "val", Languages("en", "de"))[0] == {
        "source": "one house",
        "target": "ein Haus",
        "references": ["ein Haus", "das Haus"],
    }
