"""Checkpoints and settings of runs from elsewhere that mean harm: one line and exit code 2, no code of theirs run, no
memory taken for it."""

import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from seqlab.cli import main

HUGE = 10**13


class Code:
    """Pickles as a call; the marker is what the call would leave behind."""

    def __init__(self, function: Callable, *arguments: Any):
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def edited(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """What changes the contents of a checkpoint."""

    def edit(path: Path) -> None:
        checkpoint = torch.load(path, weights_only=True)
        change(checkpoint)
        torch.save(checkpoint, path)

    return edit


def put(value: Any, *keys: str) -> Callable[[Path], None]:
    """What puts a value into a checkpoint."""

    def change(checkpoint: dict[str, Any]) -> None:
        for key in keys[:-1]:
            checkpoint = checkpoint[key]
        checkpoint[keys[-1]] = value

    return edited(change)


def weight(value: Any) -> Callable[[Path], None]:
    """What puts a value in the place of the first weight."""

    def change(checkpoint: dict[str, Any]) -> None:
        checkpoint["state_dict"][next(iter(checkpoint["state_dict"]))] = value()

    return edited(change)


def bomb(path: Path) -> None:
    """An archive that unpacks to a thousand times what it is."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, 2))
        archive.writestr("archive/data/0", bytes(1 << 26))


def legacy(path: Path) -> None:
    torch.save(Code(os.mkdir, "harmed"), path, _use_new_zipfile_serialization=False)


def tar_or_text(path: Path) -> None:
    path.write_text("weights\n")


def linked(target: str) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        path.unlink()
        path.symlink_to(target)

    return edit


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def longer_storage(path: Path) -> None:
    """A storage that says that it has many more numbers than it has bytes for."""
    with zipfile.ZipFile(path) as archive:
        parts = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    (name,) = (name for name in parts if name.endswith("data.pkl"))
    first = torch.load(path, weights_only=True)["state_dict"]
    size = next(iter(first.values())).numel()
    short, long = b"M" + struct.pack("<H", size), b"\x8a\x06" + HUGE.to_bytes(6, "little")
    assert short in parts[name]
    parts[name] = parts[name].replace(short, long, 1)
    with zipfile.ZipFile(path, "w") as archive:
        for part, content in parts.items():
            archive.writestr(part, content)


LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))
"""Sixty lines that unfold to 2^60 words: the billion laughs."""

CHECKPOINTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "a call": (put(Code(os.mkdir, "harmed"), "extra"), "it names posix.mkdir, and a checkpoint is of tensors"),
    "a call in seqlab": (put(Code(main, ["fit"]), "extra"), "it names seqlab.cli.main, and a checkpoint is of"),
    "a call of eval": (put(Code(eval, "1"), "extra"), "it names __builtin__.eval, and a checkpoint is of"),
    "an object": (put(Path("x"), "extra"), "it names pathlib.PosixPath, and a checkpoint is of"),
    "a buffer of any size": (put(Code(bytearray, HUGE), "extra"), "it names __builtin__.bytearray, and"),
    "a tensor of any size": (put(Code(torch.Tensor, HUGE), "extra"), "it names torch.Tensor, and"),
    "a whole module": (put(torch.nn.Linear(3, 5), "extra"), "it names torch.nn.modules.linear.Linear, and"),
    "the old format, with a call": (legacy, "is no readable checkpoint: it is cut short, damaged, or something else"),
    "a pickle": (lambda path: path.write_bytes(pickle.dumps(Code(os.mkdir, "harmed"))), "is no readable checkpoint"),
    "a zip bomb": (bomb, "is refused: it unpacks to more than it is"),
    "a storage of any size": (longer_storage, "is no readable checkpoint"),
    "text": (tar_or_text, "is no readable checkpoint: it is cut short, damaged, or something else"),
    "nothing": (lambda path: path.write_bytes(b""), "is no readable checkpoint: it is empty"),
    "zeros": (lambda path: path.write_bytes(bytes(100_000)), "is no readable checkpoint: it is cut short"),
    "the first half": (
        lambda path: os.truncate(path, path.stat().st_size // 2),
        "is no readable checkpoint: it is cut",
    ),
    "all but the last byte": (lambda path: os.truncate(path, path.stat().st_size - 1), "is no readable checkpoint"),
    "a list": (lambda path: torch.save([1, 2], path), "is not a checkpoint of seqlab"),
    "no weights": (edited(lambda checkpoint: checkpoint.pop("state_dict")), "it holds no 'state_dict'"),
    "no step": (edited(lambda checkpoint: checkpoint.pop("ParallelText")), "it holds no 'ParallelText'"),
    "a folder": (folder, "has no checkpoint yet"),
    "a link to nothing": (linked("nowhere"), "has no checkpoint yet"),
    "a link to itself": (linked("best.ckpt"), "has no checkpoint yet"),
    "a link without end": (linked("/dev/zero"), "has no checkpoint yet"),
    "a pipe": (fifo, "has no checkpoint yet"),
    "a weight without memory": (weight(lambda: torch.zeros(1).expand(HUGE)), "its state_dict is not what"),
    "a weight nowhere": (
        weight(lambda: torch.empty(HUGE, device="meta")),
        "it names torch._utils._rebuild_meta_tensor",
    ),
    "a sparse weight": (weight(lambda: torch.eye(3).to_sparse()), "it names torch._utils._rebuild_sparse_tensor"),
    "another weight": (weight(lambda: torch.zeros(3)), "does not fit its own tokenizer or the configuration"),
    "a weight of text": (weight(lambda: "x"), "its state_dict is not what a checkpoint has there"),
    "a list of weights": (put([1], "state_dict"), "its state_dict is not what a checkpoint has there"),
    "averages of text": (put("x", "averaged"), "its averaged is not what a checkpoint has there"),
    "a foreign average": (put({"x": torch.zeros(3)}, "averaged"), "it has an average of 'x', which is no weight"),
    "a step of text": (put("7", "global_step"), "its global_step is not what a checkpoint has there"),
    "a list of itself": (put([1], "seqlab"), "is not a checkpoint of seqlab"),
    "a number for suppliers": (put(7, "seqlab", "suppliers"), "its seqlab.suppliers is not what a checkpoint has"),
    "a supplier that steers": (
        put({"cell x": ["\x1b[2J;rm -rf ~", "1\n2"]}, "seqlab", "suppliers"),
        "needs cell 'x' of ?[2J;rm -rf ~ 1 2: pip install",
    ),
    "a number for settings": (put(7, "seqlab", "config"), "its seqlab.config is not what a checkpoint has there"),
    "settings that unfold": (put(LAUGHS, "seqlab", "config"), "its configuration is not YAML: it unfolds to over"),
    "no tokenizer": (put({"position": {"epoch": 1, "taken": 1}}, "ParallelText"), "it holds no 'tokenizer'"),
    "a number for a tokenizer": (put(7, "ParallelText", "tokenizer"), "what it saved of the data cannot be read"),
    "noise for a tokenizer": (put(b"\xff" * 99, "ParallelText", "tokenizer"), "what it saved of the data cannot be"),
    "JSON for a tokenizer": (put(b"{}", "ParallelText", "tokenizer"), "does not fit the configuration"),
    "brackets for a tokenizer": (
        put(b'{"kind":' + b"[" * 100_000, "ParallelText", "tokenizer"),
        "what it saved of the data cannot be read",
    ),
    "a list for the data": (put([1], "ParallelText"), "what it saved of the data cannot be read"),
}


@pytest.mark.parametrize("what", CHECKPOINTS)
def test_checkpoints(run: Path, what: str, refused: Callable) -> None:
    edit, expected = CHECKPOINTS[what]
    edit(run / "checkpoints" / "best.ckpt")
    assert expected in refused(["translate", str(run)])
    assert not Path("harmed").exists()


SIZES = {
    "model.encoder_size": 10**5,
    "model.embedding_size": 10**5,
    "model.encoder_layers": 1000,
    "model.decoder_layers": 1000,
}


@pytest.mark.parametrize("name", SIZES)
def test_settings_of_a_model_of_any_size(run: Path, name: str, refused: Callable) -> None:
    settings = yaml.safe_load((run / "config.yaml").read_text("utf-8"))
    group, _, key = name.partition(".")
    settings[group][key] = SIZES[name]
    (run / "config.yaml").write_text(yaml.safe_dump(settings), "utf-8")
    assert "is of a model many times as large as its weights" in refused(["translate", str(run)])


def test_a_tokenizer_of_a_checkpoint(run: Path, tiny: list[str], refused: Callable) -> None:
    path = run / "checkpoints" / "best.ckpt"
    put(Code(os.mkdir, "harmed"), "extra")(path)
    argv = ["fit", "--recipe", "translation", *tiny, "--data.tokenizer.file", str(path), "--run", "other"]
    assert "it names posix.mkdir, and a checkpoint is of" in refused(argv)
    assert not Path("harmed").exists() and not Path("other").exists()
