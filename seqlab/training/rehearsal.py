"""What is tried before the data is touched, so that a wrong setting does not come to light only hours later."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from seqlab.data.tokenizer import TokenizerSettings
from seqlab.data.words import Bytes
from seqlab.errors import UserError
from seqlab.training.freezing import trained_parameters

LEAST, MOST = 6, 1_000_000
"""Tokens of a vocabulary that is tried: who asks for more wants whatever there is, which is not known yet."""


class StandIn(Bytes):
    """In the place of a tokenizer that is yet to be trained: one of as many tokens as that may have at the most.

    Args:
        size: How many.
    """

    def __init__(self, size: int):
        super().__init__()
        self.size = size

    def __len__(self) -> int:
        return self.size


def stand_ins(names: Iterable[str], settings: Any) -> dict[str, StandIn] | None:
    """A tokenizer to stand in for each that a task takes from its data, one for all that have no settings of their own.

    Args:
        names: The arguments that the task takes from the data.
        settings: The settings of the data.

    Returns:
        None where there is something else among them, nothing to train, or a vocabulary of no size to be tried.
    """
    shared = settings.get("tokenizer")
    made: dict[int, StandIn] = {}
    found = {}
    for name in names:
        own = settings.get(name) or shared
        values = vars(own) if isinstance(own, TokenizerSettings) else own
        if not name.endswith("tokenizer") or values is None:
            return None
        fixed = values.get("file") is not None or values.get("kind") == "byte"
        if fixed or not LEAST <= values.get("vocab_size", 0) <= MOST:
            return None
        found[name] = made.setdefault(id(own), StandIn(values["vocab_size"]))
    return found


def try_optimizer(task: Any) -> Optimizer:
    """Takes a step with an optimizer of the task on a few numbers: some take other gradients than those of a network.

    Returns:
        Another one, of the task's own parameters, which has not taken a step.

    Raises:
        UserError: The optimizer cannot be made, or cannot take the step.
    """
    weights = list(trained_parameters(task).values())
    made = task.make_optimizer(weights)
    shapes = {(2,) * weight.ndim for weight in weights}
    tiny = [nn.Parameter(torch.zeros(shape)) for shape in sorted(shapes)]
    optimizer = task.make_optimizer(tiny)
    for parameter in tiny:
        parameter.grad = torch.ones_like(parameter)
    try:
        optimizer.step(lambda: torch.zeros(()))
    except (RuntimeError, TypeError, ValueError) as error:  # whatever torch says of it
        raise UserError(
            f"model.optimizer: {type(optimizer).__name__} cannot train this model: {' '.join(str(error).split())}"
        ) from error
    return made
