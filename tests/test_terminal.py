"""Lines for a terminal."""

import io
import logging

import pytest

from seqlab.terminal import Folding, columns, folded, packed, table

PATH = "a/path/that/is/longer/than/the/lines"


@pytest.mark.parametrize(
    ("line", "room", "lines"),
    [
        ("one two three four", None, ["one two three four"]),
        ("one two three four", 18, ["one two three four"]),
        ("one two three four", 17, ["one two three", "  four"]),
        ("one two three four five", 9, ["one two", "  three", "  four", "  five"]),
        ("name    some more words", 18, ["name    some more", "        words"]),
        ("    some more words", 15, ["    some more", "    words"]),
        (f"see {PATH} here", 12, ["see", f"  {PATH}", "  here"]),
        (f"name  {PATH}", 12, [f"name  {PATH}"]),
        (PATH, 12, [PATH]),
        ("", 5, [""]),
    ],
)
def test_a_line_is_broken_at_spaces(line: str, room: int | None, lines: list[str]) -> None:
    assert folded(line, room) == lines


def test_a_break_behind_a_clause() -> None:
    line = "data: nine of them, ten of those"
    assert folded(line, 26) == ["data: nine of them, ten of", "  those"]
    assert folded(line, 26, clauses=True) == ["data: nine of them,", "  ten of those"]


def test_parts_stay_whole() -> None:
    assert packed(["a b", "c d", "e"], 8, "  ") == ["  a b", "  c d  e"]
    assert packed(["a b", "c d", "e"], None) == ["a b  c d  e"]


def test_columns_of_a_table() -> None:
    rows = [("a", "bcd", "one two"), ("ef", "g", "")]
    assert table(rows, None) == ["a   bcd  one two", "ef  g"]
    assert table(rows, 15, " ") == [" a   bcd  one", "          two", " ef  g"]


def test_a_file_has_any_number_of_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    file = io.StringIO()
    assert columns(file) is None
    monkeypatch.setattr(file, "isatty", lambda: True)
    assert columns(file) == 50
    monkeypatch.setenv("COLUMNS", "wide")
    assert columns(file) == 80  # it is no terminal of the system, which would tell


def test_a_command_in_a_message_is_not_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    command = f"seqlab fit --run {PATH} --resume"
    record = logging.LogRecord("seqlab", logging.INFO, "", 1, "go on from step %s with: %s", ("30", command), None)
    file = io.StringIO()
    assert Folding(file).format(record) == f"go on from step 30 with: {command}"
    monkeypatch.setattr(file, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    assert Folding(file).format(record) == f"go on from step 30 with:\n  {command}"
