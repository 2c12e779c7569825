"""Parallel corpora: where pairs of sentences come from."""

from pathlib import Path

from datasets import Dataset

from seqlab.errors import UserError

BUILT_IN = ("phrasebook",)


def parallel_corpus(name: str | list[str], split: str, source: str, target: str) -> Dataset:
    """Reads pairs of sentences.

    Args:
        name: ``phrasebook``; or a path prefix P of two files ``P.<source>`` and ``P.<target>``; or two files, as a list
            or with a comma between them. One sentence a line, UTF-8.
        split: Split of a built-in corpus: ``train``, ``val`` or ``test``.
        source: Source language, such as ``en``.
        target: Target language.

    Returns:
        A dataset with the columns ``source`` and ``target``.

    Raises:
        UserError: A file is missing, empty or not UTF-8, or the two sides differ in length.
    """
    if name == "phrasebook":
        from seqlab.data.phrasebook import phrasebook  # the first use of the CLDR tables takes a second

        sources, targets = zip(*phrasebook((source, target), split), strict=True)
        return Dataset.from_dict({"source": list(sources), "target": list(targets)})
    files = _files(name, source, target)
    sides = [read_lines(path) for path in files]
    if len(sides[0]) != len(sides[1]):
        raise UserError(
            f"{files[0]} has {len(sides[0]):,} lines but {files[1]} has {len(sides[1]):,}: "
            "they must match line for line"
        )
    if not sides[0]:
        raise UserError(f"{files[0]} and {files[1]} are empty")
    return Dataset.from_dict({"source": sides[0], "target": sides[1]})


def _files(name: str | list[str], source: str, target: str) -> list[Path]:
    """The two files behind a name."""
    if isinstance(name, str):
        named = name.split(",") if "," in name else [f"{name}.{source}", f"{name}.{target}"]
    else:
        named = name
    if len(named) != 2:
        raise UserError(f"a parallel corpus is a path prefix or two files, not {len(named)}: {', '.join(named)}")
    files = [Path(part.strip()) for part in named]
    for path in files:
        if not path.is_file():
            is_prefix = isinstance(name, str) and "," not in name
            hint = f" ({name!r} is taken as a path prefix; built-in: {', '.join(BUILT_IN)})" if is_prefix else ""
            raise UserError(f"no file {path}{hint}")
    return files


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 text file.

    Only a line feed ends a line (so that both sides of a corpus count alike whatever characters they hold); a carriage
    return before it and a byte order mark are dropped.

    Raises:
        UserError: A line is not UTF-8, or the file cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if not lines[-1]:
        lines.pop()
    return [decode_line(line, str(path), number) for number, line in enumerate(lines, 1)]


def decode_line(line: bytes, file: str, number: int) -> str:
    """One line, without its line end.

    Raises:
        UserError: It is not UTF-8; the message names file, line and byte.
    """
    try:
        return line.rstrip(b"\r\n").decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{file}, line {number}: not UTF-8 (byte {error.start + 1} is 0x{line[error.start]:02x}); convert it, "
            "for example with iconv -t utf-8"
        ) from error
