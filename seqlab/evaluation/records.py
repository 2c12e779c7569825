"""What an evaluation leaves in its run: a record of its scores in ``scores.json``, and text beside it."""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from seqlab.errors import UserError
from seqlab.files import write_text
from seqlab.runs import Run

MOST_REFERENCES = 24
"""Files of references at most, where sentences have unequally many; unless one sentence has more."""


def check_label(label: str) -> str:
    """A label of an evaluation, if files can be named by it.

    Raises:
        UserError: They cannot.
    """
    if not re.fullmatch(r"\w[\w-]*", label):
        raise UserError(f"--name {label}: a label is of letters, digits, _ and -, since files are named by it")
    return label


def read_records(run: Run) -> dict[str, Any]:
    """The records of a run by their labels; none if there is no ``scores.json``.

    Raises:
        UserError: The file is not one that evaluate wrote.
    """
    if not run.scores.is_file():
        return {}
    try:
        records = json.loads(run.scores.read_text(encoding="utf-8"))
        if isinstance(records.get("split"), str):  # a single record, as seqlab 0.1.0 wrote it
            records = {records["split"]: records}
        if not all(isinstance(record, dict) and "scores" in record for record in records.values()):
            raise ValueError
    except (ValueError, AttributeError) as error:  # of JSON, of UTF-8, or of another shape
        raise UserError(
            f"{run.scores} is not what evaluate writes, a mapping of labels to records: move it away"
        ) from error
    return records


def write_record(run: Run, label: str, record: Mapping[str, Any]) -> None:
    """Puts a record under its label, beside those of other labels."""
    records = {**read_records(run), label: record}
    write_text(run.scores, json.dumps(records, indent=2, ensure_ascii=False) + "\n")


def write_lines(folder: Path, label: str, columns: Mapping[str, Sequence[str | Sequence[str]]]) -> list[Path]:
    """Writes columns of text, an example a line, and removes what an earlier evaluation left under the same label.

    Of lists, such as of several references, the second texts go to a file of their own, and so on. Where examples have
    unequally many, those of an example come again and again, each equally often: no line is left empty, which scripts
    would take for an empty reference, and neither the best of them nor their mean changes.

    Args:
        folder: Where to.
        label: Label of the evaluation, which begins the names of files.
        columns: A name, such as ``hypotheses``, and for each example a text or a list of texts.

    Returns:
        The files.
    """
    files: dict[Path, Iterable[str]] = {}
    for name, values in columns.items():
        lists = [[value] if isinstance(value, str) else value for value in values]
        counts = {len(texts) for texts in lists}
        count = math.lcm(*counts)
        rows = [list(islice(cycle(texts), count if count <= MOST_REFERENCES else max(counts))) for texts in lists]
        for number, column in enumerate(zip(*rows, strict=True), 1):
            files[folder / f"{label}.{name}{f'.{number}' if number > 1 else ''}"] = column
    folder.mkdir(exist_ok=True)
    for path, lines in files.items():
        write_text(path, "".join(f"{one_line(line)}\n" for line in lines))
    for path in folder.glob(f"{label}.*"):  # a label has no dot in it
        if path not in files and path.is_file():
            path.unlink()
    return list(files)


def one_line(text: str) -> str:
    """A text without line feeds, so that it is one line of a file."""
    return text.replace("\n", " ").replace("\r", " ")


def table(columns: Mapping[str, Sequence[Any]]) -> list[str]:
    """Lines of tab-separated values, the names of the columns first."""
    return ["\t".join(columns), *("\t".join(map(str, row)) for row in zip(*columns.values(), strict=True))]


def sha256(path: Path) -> str:
    """Checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
