"""Exported models from elsewhere that mean harm, or are damaged: one line and exit code 2."""

import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqlab.cli import main
from seqlab.training import exports

HUGE = 10**13


def header(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Changes what a safetensors file says of itself."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    values = json.loads(content[8 : 8 + length])
    change(values)
    text = json.dumps(values).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])


def says(**changes: Any) -> Callable[[Path], None]:
    """What changes the record in the weights of an export."""

    def edit(path: Path) -> None:
        def change(values: dict[str, Any]) -> None:
            record = json.loads(values["__metadata__"]["seqlab"]) | changes
            values["__metadata__"]["seqlab"] = json.dumps(record)

        header(path, change)

    return edit


def first_tensor(**changes: Any) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        header(path, lambda values: next(v for k, v in values.items() if k != "__metadata__").update(changes))

    return edit


def other_file(name: str) -> dict[str, Any]:
    return {"ParallelText": {"dict": {"tokenizer": {"file": name}, "position": {"dict": {}}}}}


EXPORTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a header of any size": (
        lambda path: path.write_bytes(struct.pack("<Q", 1 << 62) + b"{}"),
        "is no readable checkpoint",
    ),
    "nothing": (lambda path: path.write_bytes(b""), "is no readable checkpoint"),
    "the first half": (lambda path: os.truncate(path, path.stat().st_size // 2), "is no readable checkpoint"),
    "a weight of any size": (first_tensor(shape=[HUGE, HUGE]), "is no readable checkpoint"),
    "a weight from elsewhere": (first_tensor(data_offsets=[0, HUGE]), "is no readable checkpoint"),
    "none of seqlab": (
        lambda path: header(path, lambda values: values.pop("__metadata__")),
        "is not an export of seqlab: its metadata have no seqlab",
    ),
    "a newer format": (says(format=2), "is an export of format 2, this seqlab reads 1"),
    "a record of brackets": (
        lambda path: header(path, lambda values: values["__metadata__"].update(seqlab="[" * 100_000)),
        "is no readable export: what it says of itself is damaged",
    ),
    "a tie to nothing": (says(shared={"x": "y"}), "is no readable export: what it says of itself is damaged"),
    "a file from elsewhere": (says(data=other_file("../../secret")), "it names a file that is not its own"),
    "a file by its whole path": (says(data=other_file("/etc/hostname")), "it names a file that is not its own"),
    "no such file": (says(data=other_file("x.model")), "is not whole: it has no file x.model"),
    "a folder for a file": (says(data=other_file(".")), "it names a file that is not its own"),
    "a list for suppliers": (says(suppliers=[1]), "its seqlab.suppliers is not what a checkpoint has there"),
    "a plugin that is not here": (
        says(suppliers={"cell x": ["no-such-plugin", "1.2"]}),
        "needs cell 'x' of no-such-plugin 1.2: pip install no-such-plugin==1.2",
    ),
    "a tokenizer that is a link": (
        lambda path: [(path.parent / "tokenizer.model").unlink(), (path.parent / "tokenizer.model").symlink_to("/etc")],
        "it names a file that is not its own",
    ),
}


@pytest.fixture(scope="module")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports") / "model"
    assert main(["export", str(trained), str(folder)]) == 0
    return folder


@pytest.mark.parametrize("what", EXPORTS)
def test_exports(exported: Path, tmp_path: Path, what: str, refused: Callable) -> None:
    copy = shutil.copytree(exported, tmp_path / "model")
    edit, expected = EXPORTS[what]
    edit(copy / exports.WEIGHTS)
    assert expected in refused(["translate", str(copy)])
