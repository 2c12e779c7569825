"""A model by itself: the weights that are used, as safetensors, beside the configuration and the tokenizers.

What a checkpoint says of itself, and the state of the data module, are in the metadata of the weights. Bytes of that
state, such as a tokenizer, are files beside them, so that the libraries they are of can read them; its tensors are
among the weights. Weights that are one, as tied embeddings are, are there once.
"""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from seqlab.errors import UserError
from seqlab.files import replacing, write_text
from seqlab.training.initial_weights import used_weights

SUFFIX = ".safetensors"
WEIGHTS, CONFIG = f"model{SUFFIX}", "config.yaml"
RECORD = "seqlab"
"""Under which name the metadata have what seqlab reads."""
FORMAT = 1
MOST_BYTES = 1 << 30
"""Bytes of a file beside the weights."""


def write_export(folder: Path, checkpoint: Mapping[str, Any], config: str, data: str) -> list[str]:
    """Writes a model into an empty folder, of which nothing is said if it is not whole.

    Args:
        folder: The folder.
        checkpoint: What :func:`seqlab.training.checkpoints.load_checkpoint` gave.
        config: The configuration as YAML text.
        data: Name of the data module, under which the checkpoint has its state.

    Returns:
        The names of the files, the weights first.

    Raises:
        UserError: The state of the data module has something in it that cannot be written.
        OSError: The folder cannot be written.
    """
    used, tensors, shared = used_weights(checkpoint), {}, {}
    first: dict[Any, str] = {}
    for name, weight in checkpoint["state_dict"].items():
        storage = weight.untyped_storage().data_ptr()
        place = (storage, weight.storage_offset(), weight.shape, weight.stride())
        if (known := first.setdefault(place, name)) != name:
            shared[name] = known
        else:
            tensors[name] = used[name].to(weight.dtype, copy=True).contiguous()
    files: dict[str, bytes] = {}
    record = {
        **checkpoint["seqlab"],
        "format": FORMAT,
        "config": config,
        "global_step": checkpoint["global_step"],
        "averaged": "averaged" in checkpoint,
        "shared": shared,
        "data": {data: _packed(checkpoint[data], "data", files, tensors)},
    }
    try:
        text = json.dumps(record, ensure_ascii=False)
    except TypeError as error:
        raise UserError(f"the record of the checkpoint cannot be exported: {error}") from error
    with replacing(folder / WEIGHTS) as file:
        # One entry: safetensors writes several in an order of its own each time.
        file.write(save(tensors, metadata={RECORD: text}))
    write_text(folder / CONFIG, config)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return [WEIGHTS, CONFIG, *files]


def read_export(path: Path) -> dict[str, Any]:
    """What a checkpoint would hold of an exported model, but for what only training needs.

    Args:
        path: The weights.

    Raises:
        UserError: It is not one that seqlab wrote, or a file beside it is missing.
        Exception: Whatever safetensors says of a damaged file.
    """
    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
        if RECORD not in metadata:
            raise UserError(f"{path} is not an export of seqlab: its metadata have no {RECORD}")
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (it is no mapping)
    try:
        record = json.loads(metadata[RECORD])
        if record["format"] != FORMAT:
            raise UserError(f"{path} is an export of format {record['format']!r}, this seqlab reads {FORMAT}")
        data = {str(name): _unpacked(state, path.parent, tensors) for name, state in record.pop("data").items()}
        weights = {name: value for name, value in tensors.items() if not name.startswith("data/")}
        weights |= {name: weights[known] for name, known in record.pop("shared").items()}
        checkpoint = {**data, "state_dict": weights, "global_step": record.pop("global_step")}
        if record.pop("averaged"):
            checkpoint["averaged"] = {}  # they are the weights
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} is no readable export: what it says of itself is damaged") from error
    return {**checkpoint, "seqlab": record}


def _packed(value: Any, name: str, files: dict[str, bytes], tensors: dict[str, Tensor]) -> Any:
    """A value of a state as JSON has it, with its tensors and bytes put aside."""
    if isinstance(value, Tensor):
        tensors[name.replace(".", "/")] = value.detach().clone().contiguous()
        return {"tensor": name.replace(".", "/")}
    if isinstance(value, bytes):
        return {"file": _put_aside(value, name.removeprefix("data."), files)}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: _packed(part, f"{name}.{key}", files, tensors) for key, part in value.items()}}
    if isinstance(value, list | tuple):
        parts = [_packed(part, f"{name}.{number}", files, tensors) for number, part in enumerate(value)]
        return {type(value).__name__: parts}
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise UserError(f"the state of the data cannot be exported: {name} is of type {type(value).__name__}")


def _put_aside(content: bytes, name: str, files: dict[str, bytes]) -> str:
    """The name of a file for some bytes: ``.model`` for a SentencePiece model, ``.json`` where they are JSON."""
    try:
        values = json.loads(content)
    except ValueError:
        values = None
    stem = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in name)
    file = f"{stem}.json" if isinstance(values, dict) else f"{stem}.model"
    files[file] = content
    if isinstance(values, dict) and isinstance(values.get("tokenizer"), str):  # it has another one behind it
        inner = base64.b64decode(values["tokenizer"])
        if not inner.startswith(b"{"):
            files[f"{stem}.model"] = inner
    return file


def _unpacked(value: Any, folder: Path, tensors: Mapping[str, Tensor]) -> Any:
    """What :func:`_packed` was given."""
    if not isinstance(value, dict):
        return value
    ((kind, held),) = value.items()
    if kind == "tensor":
        return tensors[held]
    if kind == "file":
        return _read(folder, held)
    if kind == "dict":
        return {key: _unpacked(part, folder, tensors) for key, part in held.items()}
    if kind in ("list", "tuple"):
        parts = [_unpacked(part, folder, tensors) for part in held]
        return parts if kind == "list" else tuple(parts)
    raise ValueError(kind)


def _read(folder: Path, name: str) -> bytes:
    """The bytes of a file beside the weights, and nowhere else."""
    path = folder / name
    if path.name != name or path.is_symlink():
        raise UserError(f"{folder} is refused: it names a file that is not its own, {name!r}")
    if not path.is_file():
        raise UserError(f"{folder} is not whole: it has no file {name}")
    if path.stat().st_size > MOST_BYTES:
        raise UserError(f"{path} is refused: it is larger than any tokenizer")
    return path.read_bytes()
