"""Properties of lines of text: what was written is read, whatever characters it has and however its lines end."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqlab.data import lines as module
from seqlab.data.lines import CONTROLS, decoded
from seqlab.errors import UserError

LINE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=CONTROLS.decode() + "\r\n"), max_size=20)
"""A line of any characters that text may have; other line separators of Unicode are characters like others."""


def read(data: bytes) -> list[str]:
    return list(decoded(io.BytesIO(data), "text"))


def test_lines_come_back(examples):
    """With line feeds or those of Windows, with a byte order mark or without one, with a last end or without one."""

    @examples
    @given(st.lists(LINE, min_size=1), st.sampled_from(["\n", "\r\n"]), st.booleans(), st.booleans())
    def check(lines, end, marked, closed):
        lines = [lines[0].lstrip("\ufeff"), *lines[1:]]
        text = end.join(lines) + (end if closed or not lines[-1] else "")
        assert read(("\ufeff" * marked + text).encode()) == lines

    check()


def test_what_is_no_text(examples):
    """Any bytes are either read as their text or refused in one line that names file, line and byte."""

    @examples
    @given(st.binary(max_size=30))
    def check(data):
        try:
            found = read(data)
        except UserError as error:
            assert str(error).startswith("text, line ") and "\n" not in str(error)
        else:
            text = data.removeprefix(b"\xef\xbb\xbf").decode()
            assert found == [line.rstrip("\r") for line in text.removesuffix("\n").split("\n")] or not text
            assert not set(data) & set(CONTROLS)

    check()


@pytest.mark.parametrize("name", ["utf-16", "utf-16-be", "utf-32", "utf-32-be"])
def test_other_encodings(name):
    mark = "" if name in ("utf-16", "utf-32") else "\ufeff"
    with pytest.raises(UserError, match=rf"^text, line 1: {name[:6].upper()}, not UTF-8; convert it with iconv"):
        read(f"{mark}The dog.\n".encode(name))


def test_a_line_without_end(monkeypatch):
    monkeypatch.setattr(module, "LONGEST", 7)
    assert read(b"123456\n123456\n") == ["123456", "123456"]
    with pytest.raises(UserError, match=r"^text, line 2: over 7 bytes long; cut it up$"):
        read(b"123456\n12345678\n")
