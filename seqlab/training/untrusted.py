"""What checkpoints and exports from elsewhere hold: it must be of the right types, and no size is believed."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from seqlab.errors import UserError
from seqlab.specs import parse_yaml

FACTORIES = {torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.eye}
ROOM = 8
"""How many times the numbers of a checkpoint its model may make while it is built: values are drawn, then copied."""
SMALL = 1 << 20


def check_contents(checkpoint: Any, path: Path) -> dict[str, Any]:
    """A checkpoint, where everything in it is of the type that it should be; what it lacks is another matter.

    Raises:
        UserError: Something is not.
    """
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("seqlab"), dict):
        raise UserError(f"{path} is not a checkpoint of seqlab")
    for name, fits in CONTENTS.items():
        group, _, key = name.rpartition(".")
        holder = checkpoint[group] if group else checkpoint
        if key in holder and not fits(holder[key]):
            raise UserError(f"{path} is no readable checkpoint: its {name} is not what a checkpoint has there")
    weights = checkpoint.get("state_dict", {})
    for name, average in checkpoint.get("averaged", {}).items():
        if name not in weights or weights[name].shape != average.shape:
            raise UserError(
                f"{path} is no readable checkpoint: it has an average of {name!r}, which is no weight of it"
            )
    if "config" in checkpoint["seqlab"]:
        parse_yaml(checkpoint["seqlab"]["config"], f"{path}: its configuration")
    return checkpoint


def _are_tensors(values: Any) -> bool:
    """Whether these are tensors by name, each with memory for all of its numbers."""
    return isinstance(values, dict) and all(
        isinstance(name, str)
        and isinstance(value, Tensor)
        and (value.device.type, value.layout, value.is_quantized) == ("cpu", torch.strided, False)
        and value.numel() * value.element_size() <= value.untyped_storage().nbytes()
        for name, value in values.items()
    )


def _are_suppliers(values: Any) -> bool:
    return isinstance(values, dict) and all(
        isinstance(name, str) and isinstance(value, list | tuple) and [type(part) for part in value] == [str, str]
        for name, value in values.items()
    )


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


CONTENTS: Mapping[str, Callable[[Any], bool]] = {
    "state_dict": _are_tensors,
    "averaged": _are_tensors,
    "global_step": _is_count,
    "epoch": _is_count,
    "seqlab.config": lambda value: isinstance(value, str),
    "seqlab.version": lambda value: isinstance(value, str),
    "seqlab.suppliers": _are_suppliers,
}
"""What is checked, where it is there."""


class Bounded(TorchFunctionMode):
    """Within it, no more numbers are made than a checkpoint has weights for, with some room: a configuration that asks
    for a model of any other size is refused before it takes memory.

    Args:
        state: The checkpoint's weights by name.
        path: The checkpoint, for the message.
    """

    def __init__(self, state: Mapping[str, Tensor], path: Path):
        super().__init__()
        self.left = ROOM * sum(value.numel() for value in state.values()) + SMALL
        self.path = path

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in FACTORIES:
            self.left -= _count(args, kwargs)
            if self.left < 0:
                raise UserError(
                    f"{self.path} does not fit the configuration: that is of a model many times as large as its weights"
                )
        return func(*args, **kwargs)


def _count(args: Any, kwargs: Mapping[str, Any]) -> int:
    """How many numbers a factory of torch is asked for."""
    first = args[0] if args else kwargs.get("size", ())
    sizes = first if isinstance(first, list | tuple) else [value for value in args if isinstance(value, int)]
    return math.prod(abs(int(size)) for size in sizes)
