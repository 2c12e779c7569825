"""Lines that are too long to translate are cut between words, and it is said which."""

import logging

import pytest

from seqlab.commands.long_lines import MOST_TOLD, LongLines, check_length
from seqlab.data.words import Bytes, Words
from seqlab.errors import UserError

WORDS = Words(["a", "bb", "ccc"])


def shortened(long: LongLines, lines: list[str], caplog: pytest.LogCaptureFixture, first: int = 1) -> tuple:
    with caplog.at_level(logging.WARNING, "seqlab"):
        found = long.shorten(lines, first)
        long.tell()
    return found, [record.getMessage() for record in caplog.records]


def test_what_is_short_enough_stays_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    lines = ["a bb ccc a bb", "", "  a  "]
    assert shortened(LongLines(WORDS, 5, 5), lines, caplog) == (lines, [])


def test_a_long_line_is_cut_before_white_space(caplog: pytest.LogCaptureFixture) -> None:
    found, told = shortened(LongLines(WORDS, 3, None), ["a", "a bb ccc a bb a", "ccc"], caplog, first=7)
    assert found == ["a", "a bb ccc", "ccc"]
    assert told == ["stdin, line 8: only the first 3 of its 6 tokens are translated (--max_input_length)"]


@pytest.mark.parametrize(
    ("line", "most", "expected"),
    [("abcdefg", 3, "abc"), ("ab cdefg", 4, "ab"), ("ab cdefg", 2, "ab"), ("äöü", 3, "ä"), ("abc", 3, "abc")],
)
def test_bytes_are_cut_within_a_word_only_where_there_is_no_other_place(
    line: str, most: int, expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert shortened(LongLines(Bytes(), most, None), [line], caplog)[0] == [expected]


def test_a_line_longer_than_those_of_training_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    lines = ["a bb a", "a bb ccc a", "a bb ccc a bb"]
    found, told = shortened(LongLines(WORDS, 1000, 3), lines, caplog)
    assert found == lines
    assert told == [
        "stdin, line 2: 4 tokens, but the model has learnt from sentences of at most 3 (data.max_length): give a "
        "sentence a line"
    ]


@pytest.mark.parametrize(("tokenizer", "text"), [(WORDS, "a bb ccc " * 3), (Bytes(), "äöü☃"), (Bytes(), "a👩bcde")])
def test_a_text_that_is_no_use_in_part_is_refused(tokenizer: Words | Bytes, text: str) -> None:
    """Characters of several bytes among it, which may be as many tokens."""
    check_length(tokenizer, text, 9, "line 3")
    with pytest.raises(UserError) as error:
        check_length(tokenizer, text, 8, "line 3")
    assert str(error.value) == "line 3 has 9 tokens, and 8 are the most (--max_input_length); split it"


def test_of_many_cut_lines_a_few_are_named(caplog: pytest.LogCaptureFixture) -> None:
    _, told = shortened(LongLines(WORDS, 2, None), ["a bb ccc"] * (MOST_TOLD + 7), caplog)
    assert len(told) == MOST_TOLD + 1 and told[-1] == f"stdin: {MOST_TOLD + 7} lines were cut in all"
