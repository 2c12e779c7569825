"""Checkpoints: how they reach the disk and come back from it, and what they say of themselves."""

import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer

from seqlab.archives import check_archive
from seqlab.errors import UserError
from seqlab.files import replacing
from seqlab.training import exports
from seqlab.training.untrusted import check_contents

BEST, LAST, PREVIOUS = "best.ckpt", "last.ckpt", "previous.ckpt"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place, syncs it and renames it: whenever the power fails, a whole one is there.

    Of the last checkpoint the one before is kept.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with replacing(path, keep=path.with_name(PREVIOUS) if path.name == LAST else None) as file:
                torch.save(checkpoint, file)
        except (OSError, RuntimeError) as error:
            cause = error if isinstance(error, OSError) else error.__context__  # torch complains a second time
            if not isinstance(cause, OSError):
                raise
            raise UserError(f"cannot write {path}: {cause.strerror}; what was there before is as it was") from error


def load_checkpoint(path: Path, *, mmap: bool = False) -> dict[str, Any]:
    """Reads a checkpoint, or the weights of an export, onto the CPU; only tensors, numbers and text are accepted.

    Args:
        path: The file.
        mmap: Leave the tensors on the disk until they are used, for who asks only what it says of itself.

    Raises:
        UserError: It is missing, damaged, or not one of seqlab's, or it holds anything else.
    """
    if not path.is_file():
        raise UserError(f"no checkpoint {path}{' (it is a folder)' if path.is_dir() else ''}")
    try:
        if path.suffix == exports.SUFFIX:
            return check_contents(exports.read_export(path), path)
        check_archive(path)
        if not mmap:
            _check_sums(path)
        return check_contents(torch.load(path, map_location="cpu", weights_only=True, mmap=mmap), path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except UserError:
        raise
    except Exception as error:  # whatever torch says of a damaged or hostile file
        raise UserError(f"{path} is no readable checkpoint: {(str(error).splitlines() or ['damaged'])[0]}") from error


def _check_sums(path: Path) -> None:
    """Compares what an archive holds with its checksums, which torch writes and does not look at.

    Raises:
        UserError: Something in it is not what was written.
    """
    with zipfile.ZipFile(path) as archive:
        if damaged := archive.testzip():
            raise UserError(f"{path} is no readable checkpoint: {damaged} in it does not have its checksum")


class Record(Callback):
    """Puts the run's configuration, versions and suppliers into every checkpoint.

    Args:
        config: The configuration as YAML text.
        suppliers: What plugins supplied, by :func:`~seqlab.suppliers.find_suppliers`.
    """

    def __init__(self, config: str, suppliers: dict[str, list[str]]):
        self.config, self.suppliers = config, suppliers

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        task: Any = pl_module
        checkpoint["seqlab"] = {
            "version": version("seqlab"),
            "torch": str(torch.__version__),
            "devices": trainer.world_size,
            "config": self.config,
            "cells": task.cell_origins(),
            "suppliers": self.suppliers,
        }
