"""Outputs of a batch cut into the units that scores are resampled by: examples, or stretches of running text.

Shape suffixes: N = tokens of a batch, in any order.
"""

from typing import Any

import torch
from torch import Tensor

from seqlab.tasks.base import Outputs

Arguments = dict[str, Any]
"""What ``update`` of a metric takes."""

OF_TOKENS = ("tokens", "sized_tokens")
"""Outputs whose values are of tokens; those of others are of examples."""


def cut_outputs(outputs: Outputs, count: int, example_N: Tensor | None) -> dict[str, list[Arguments]]:
    """The arguments that metrics take, for each example alone.

    Args:
        outputs: Outputs of a batch.
        count: Examples of the batch.
        example_N: Number of the example that each token is of; see :meth:`~seqlab.tasks.base.Task.example_of_tokens`.

    Returns:
        For each output one set of arguments an example; or one set for the batch where it cannot be told what of the
        output is of which example.
    """
    return {
        name: _tokens(arguments, count, example_N) if name in OF_TOKENS else _rows(arguments, count)
        for name, arguments in outputs.items()
    }


def _tokens(arguments: Arguments, count: int, example_N: Tensor | None) -> list[Arguments]:
    if example_N is None or not all(isinstance(value, Tensor) for value in arguments.values()):
        return [arguments]
    order_N, lengths = example_N.argsort(stable=True), torch.bincount(example_N, minlength=count).tolist()
    return _transposed({name: value[order_N].split(lengths) for name, value in arguments.items()})


def _rows(arguments: Arguments, count: int) -> list[Arguments]:
    for value in arguments.values():
        if not (value.shape[:1] == (count,) if isinstance(value, Tensor) else len(value) == count):
            return [arguments]
    return _transposed({name: [value[row : row + 1] for row in range(count)] for name, value in arguments.items()})


def _transposed(columns: dict[str, Any]) -> list[Arguments]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
