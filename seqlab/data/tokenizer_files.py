"""Tokenizers from bytes and from files."""

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

from seqlab.archives import check_archive
from seqlab.data.prepared import PREPARED, load_prepared
from seqlab.data.subwords import Subwords
from seqlab.data.tokenizer import Tokenizer
from seqlab.data.words import load_vocabulary
from seqlab.errors import UserError

KINDS = ("json", "model")
"""How the files of tokenizers end."""


def load_tokenizer(model: bytes) -> Tokenizer:
    """The tokenizer whose ``model`` these bytes are."""
    if not model.startswith(b"{"):  # as those of a SentencePiece model never do
        return Subwords(model)
    return load_prepared(model, load_tokenizer) if json.loads(model)["kind"] == PREPARED else load_vocabulary(model)


def read_tokenizer(file: str, name: str = "data.tokenizer") -> Tokenizer:
    """The tokenizer of a file.

    Args:
        file: A SentencePiece model, the bytes of a tokenizer of seqlab, a checkpoint, the directory of a run, all of
            whose checkpoints have the same, or what ``seqlab export`` made of it: of two tokenizers, that of the target
            side where ``name`` is that of its settings, else that of the source side.
        name: What the settings that name it are called.

    Raises:
        UserError: It cannot be read, or is none of these.
    """
    what, path = f"{name}.file: {file}", Path(file)
    target = name.endswith("target_tokenizer")
    if path.is_dir():
        path = next(iter(sorted(path.glob("checkpoints/*.ckpt"))), None) or _of_export(path, target) or path
        if path.is_dir():
            raise UserError(f"{what} is a folder without checkpoints: give a run or a SentencePiece model")
    try:
        with path.open("rb") as stream:
            zipped = stream.read(2) == b"PK"  # as a checkpoint is; it may be large
        model = _of_checkpoint(path, target) if zipped else path.read_bytes()
    except OSError as error:
        raise UserError(f"{name}.file: cannot read {path}: {error.strerror}") from error
    if model is None:
        raise UserError(f"{what} is a checkpoint without a tokenizer, or none of seqlab")
    try:
        if model:
            return load_tokenizer(model)
    except (RuntimeError, ValueError, KeyError, TypeError):
        pass
    raise UserError(f"{what} is no tokenizer: give a SentencePiece model (.model), a run or one of its checkpoints")


def _of_export(folder: Path, target: bool) -> Path | None:
    """The file of a tokenizer in an export. Of a tokenizer with another one behind it, which is beside it, the former
    is JSON."""
    names = [f"{side}.{kind}" for side in (("target_tokenizer",) if target else ()) + ("tokenizer",) for kind in KINDS]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _of_checkpoint(path: Path, target: bool) -> bytes | None:
    """The bytes of a tokenizer that a checkpoint holds in the state of its data module."""
    import torch  # takes seconds, and processes that encode text do without

    try:
        check_archive(path)
    except UserError as error:
        raise UserError(f"data.tokenizer.file: {error}") from error
    try:
        checkpoint: Any = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile):
        return None
    states = [state for state in checkpoint.values() if isinstance(state, dict)] if isinstance(checkpoint, dict) else []
    for key in ("target_tokenizer", "tokenizer") if target else ("tokenizer",):
        for state in states:
            if isinstance(state.get(key), bytes):
                return state[key]
    return None
