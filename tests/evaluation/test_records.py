"""What evaluations leave in a run."""

import json
from pathlib import Path

import pytest

from seqlab.errors import UserError
from seqlab.evaluation.records import check_label, read_records, table, write_lines, write_record
from seqlab.runs import Run


def lines(folder: Path, *names: str) -> list[list[str]]:
    return [(folder / name).read_text(encoding="utf-8").split("\n")[:-1] for name in names]


def test_records_stand_side_by_side(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert read_records(run) == {}
    write_record(run, "test", {"scores": {"bleu": 1}})
    write_record(run, "greedy", {"scores": {"bleu": 2}})
    write_record(run, "test", {"scores": {"bleu": 3}})
    assert read_records(run) == {"test": {"scores": {"bleu": 3}}, "greedy": {"scores": {"bleu": 2}}}
    assert [path.name for path in tmp_path.iterdir()] == ["scores.json"], "nothing else is left"


def test_a_single_record_of_the_first_release_gets_its_split_as_label(tmp_path: Path) -> None:
    record = {"split": "val", "scores": {"bleu": {"value": 7.0}}}
    (tmp_path / "scores.json").write_text(json.dumps(record))
    assert read_records(Run(tmp_path)) == {"val": record}


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"test": 3}', b'{"test": {}}', b"\xff", b"3"])
def test_a_file_of_another_kind_is_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "scores.json").write_bytes(content)
    with pytest.raises(UserError, match="not what evaluate writes"):
        write_record(Run(tmp_path), "test", {"scores": {}})
    assert (tmp_path / "scores.json").read_bytes() == content


def test_text_is_written_line_for_line(tmp_path: Path) -> None:
    columns = {"hypotheses": ["Ä b", "", "a\nb\r"], "references": [["x", "y"], ["z", ""], ["u", "v"]]}
    files = write_lines(tmp_path / "translations", "test", columns)
    names = ["test.hypotheses", "test.references", "test.references.2"]
    assert [file.name for file in files] == names
    assert lines(tmp_path / "translations", *names) == [["Ä b", "", "a b "], ["x", "z", "u"], ["y", "", "v"]]


def test_what_an_earlier_evaluation_left_is_removed(tmp_path: Path) -> None:
    write_lines(tmp_path, "test", {"hypotheses": ["a"], "references": [["b", "c", "d"]], "sources": ["e"]})
    for other in ("test-2.references.2", "tests.references.2", "notes.test.txt"):
        (tmp_path / other).write_text("mine")
    write_lines(tmp_path, "test", {"hypotheses": ["a"], "references": [["b", "c"]]})
    kept = {"test.hypotheses", "test.references", "test.references.2"}
    assert {path.name for path in tmp_path.iterdir()} == kept | {
        "test-2.references.2",
        "tests.references.2",
        "notes.test.txt",
    }


def test_unequal_numbers_of_references_leave_no_line_empty(tmp_path: Path) -> None:
    """Each reference of a sentence equally often: six of one, three times two, twice three."""
    references = [["a"], ["b", "c"], ["d", "e", "f"]]
    files = write_lines(tmp_path, "test", {"references": references})
    assert len(files) == 6
    columns = lines(tmp_path, *(file.name for file in files))
    for sentence, texts in enumerate(references):
        written = [column[sentence] for column in columns]
        assert sorted(written) == sorted(texts * (6 // len(texts)))


def test_many_numbers_of_references_make_no_more_files_than_the_most(tmp_path: Path) -> None:
    files = write_lines(tmp_path, "test", {"references": [["a"] * 5, ["b"] * 7, ["c", "d"]]})
    assert len(files) == 7, "not 70"
    assert [column[2] for column in lines(tmp_path, *(file.name for file in files))] == list("cdcdcdc")


def test_a_table_has_its_names_first() -> None:
    assert table({"line": range(1, 3), "bleu": ["3.0", "4.0"]}) == ["line\tbleu", "1\t3.0", "2\t4.0"]


@pytest.mark.parametrize("label", ["", "a.b", "a/b", "-a", "a b", "../a", ".a"])
def test_a_label_is_a_part_of_a_file_name(label: str) -> None:
    with pytest.raises(UserError, match="a label is of letters, digits, _ and -"):
        check_label(label)
    assert check_label("beam-10_größer") == "beam-10_größer"
