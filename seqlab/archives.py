"""Archives that ``torch.save`` wrote, looked at before they are loaded.

``torch.load`` with ``weights_only=True`` calls no function that a file names but some of torch's own. These include a
few that make objects of any size, and an archive may unpack to more than it is.
"""

import pickletools
import zipfile
from pathlib import Path

from seqlab.errors import UserError

NAMES = {
    "collections": {"OrderedDict", "Counter"},
    "__builtin__": {"set", "complex"},  # as a pickle of protocol 2 calls builtins
    "builtins": {"set", "complex"},
    "_codecs": {"encode"},  # bytes are text that is encoded
    "torch": {"Size", "device"},
    "torch.storage": {"UntypedStorage"},
    "torch.serialization": {"_get_layout"},
    "torch._utils": {"_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_parameter", "_rebuild_parameter_with_state"},
}
"""What the pickle of a checkpoint may name by module, beside the storages and dtypes of torch."""


def check_archive(path: Path) -> None:
    """Makes sure that a checkpoint is an archive as torch writes it, which names nothing but tensors, numbers and text.

    Raises:
        UserError: It is not.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
            if packed or sum(entry.file_size for entry in entries) > path.stat().st_size:
                raise UserError(f"{path} is refused: it unpacks to more than it is, which no checkpoint does")
            for entry in entries:
                if entry.filename.endswith("data.pkl"):
                    _check_pickle(path, archive.read(entry))
    except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError, RuntimeError) as error:
        reason = "it is cut short, damaged, or something else" if path.stat().st_size else "it is empty"
        raise UserError(f"{path} is no readable checkpoint: {reason}") from error


def _check_pickle(path: Path, data: bytes) -> None:
    for operation, argument, _ in pickletools.genops(data):
        known = operation.name == "GLOBAL" and _is_known(*str(argument).split(" ", 1))
        if operation.name in ("GLOBAL", "INST", "STACK_GLOBAL", "EXT1", "EXT2", "EXT4") and not known:
            named = argument.replace(" ", ".") if isinstance(argument, str) else "code"
            raise UserError(f"{path} is refused: it names {named}, and a checkpoint is of tensors, numbers and text")


def _is_known(module: str, name: str) -> bool:
    """Whether a checkpoint may name this."""
    import torch  # takes seconds, and processes that encode text do without

    if module == "torch" and (name.endswith("Storage") or isinstance(getattr(torch, name, None), torch.dtype)):
        return True
    return name in NAMES.get(module, ())
