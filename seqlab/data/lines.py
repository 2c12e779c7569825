"""Lines of UTF-8 text files, plain or compressed, one after the other.

Only a line feed ends a line (so that both sides of a corpus count alike whatever characters they hold); a carriage
return before it and a byte order mark are dropped. Text has no control characters but white space (tab, vertical tab,
form feed, carriage return): others tell of binary data, of UTF-16 or of a terminal's output, and are refused.
"""

import gzip
import zlib
from collections.abc import Iterator
from functools import partial
from io import BufferedIOBase
from pathlib import Path
from typing import IO

from seqlab.errors import UserError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
OTHER_MARKS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
"""Byte order marks of encodings that are not read; those of four bytes first, since one begins with one of two."""
LONGEST = 2**30
"""Bytes of a line that are read: corpora of one line have a tenth of it, and devices lines without end."""
CONTROLS = bytes([*range(9), *range(14, 32)])
"""Those of ASCII that are no white space."""


def file_kind(path: Path | str) -> str:
    """The suffix of a file's name, without that of gzip."""
    return Path(str(path).lower().removesuffix(".gz")).suffix


def lines_of(path: Path) -> Iterator[str]:
    """The lines of a text file, or of one that gzip compressed (``.gz``), as they are read.

    Raises:
        UserError: A line is not UTF-8, or the file cannot be read.
    """
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
            yield from decoded(file, str(path))
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error


def read_lines(path: Path) -> list[str]:
    """All lines of a text file.

    Raises:
        UserError: A line is not UTF-8, or the file cannot be read.
    """
    return list(lines_of(path))


def decoded(file: IO[bytes] | BufferedIOBase, name: str) -> Iterator[str]:
    """The lines of an open file, without a byte order mark.

    Args:
        file: The file.
        name: Its name, for messages.

    Raises:
        UserError: A line is no text, or has no end.
    """
    for number, line in enumerate(iter(partial(file.readline, LONGEST), b""), 1):
        if number == 1 and not (line := line.removeprefix(BYTE_ORDER_MARK)):
            return
        yield decode_line(line, name, number)
        if len(line) >= LONGEST and not line.endswith(b"\n"):
            raise UserError(f"{name}, line {number}: over {LONGEST:,} bytes long; cut it up")


def decode_line(line: bytes, file: str, number: int) -> str:
    """One line, without its line end.

    Raises:
        UserError: It is not UTF-8, or holds a control character; the message names file, line and byte.
    """
    place = f"{file}, line {number}"
    if number == 1 and (other := next((name for mark, name in OTHER_MARKS.items() if line.startswith(mark)), None)):
        raise UserError(f"{place}: {other}, not UTF-8; convert it with iconv -f {other.lower()} -t utf-8")
    try:
        text = line.rstrip(b"\r\n").decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{place}: not UTF-8 (byte {error.start + 1} is 0x{line[error.start]:02x}); convert it, for example with "
            "iconv -t utf-8"
        ) from error
    if wrong := control_character(line):
        raise UserError(f"{place}: {wrong}; take such bytes out, for example with tr -d '\\000-\\010\\016-\\037'")
    return text


def control_character(text: bytes) -> str | None:
    """What to say of the first control character that is no white space; None if there is none.

    Args:
        text: Text in UTF-8.
    """
    if len(text.translate(None, CONTROLS)) == len(text):  # many times faster than a search
        return None
    at = next(number for number, byte in enumerate(text) if byte in CONTROLS)
    kind = f"the control character 0x{text[at]:02x}" if text[at] else "a NUL (is it binary, or UTF-16?)"
    return f"byte {at + 1} is {kind}, which is no text"
