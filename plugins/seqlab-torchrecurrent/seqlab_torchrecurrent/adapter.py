"""A cell of torchrecurrent as a cell of seqlab: its own module, called step by step.

Shape suffixes: B = rows, I = input size, S = size of a state part. ``...`` stands for any leading dimensions.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

import torchrecurrent
from torch import Tensor, nn

from seqlab import RecurrentCell
from seqlab.cells.base import State

NO_OPTIONS = ("device", "dtype")
"""Parameters of the originals that are the trainer's business."""


class TorchRecurrentCell(RecurrentCell):
    """A cell of torchrecurrent: the module ``NAMECell`` for a subclass called ``NAME``, which is its ``original``.

    The module is called as it is, with its own weights, initialisation and options. So nothing is computed ahead of
    the loop over the steps, and weight drop, which knows the maps of seqlab, does not reach the weights.

    Args:
        input_size: Width I of the inputs.
        hidden_size: Width H of the state.
        **options: Those of the original but ``device`` and ``dtype``; an activation or an initialiser by its name.

    Raises:
        ValueError: The original refuses its sizes or an option.
    """

    original: type[nn.Module]
    gates = ()

    def __init__(self, input_size: int, hidden_size: int, **options: Any):
        super().__init__(input_size, hidden_size)
        self.module = self.original(input_size, hidden_size, **options)

    def __init_subclass__(cls, **keywords: Any):
        super().__init_subclass__(**keywords)
        if original := getattr(torchrecurrent, f"{cls.__name__}Cell", None):
            cls.original = original
            cls.__init__ = _with_options_of(original, cls.__init__)

    def step(self, gx: Tensor, state: State) -> State:
        return self.run(gx, state)[1]

    def run(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One step of the module: input ``[B, I]`` and state to output ``[B, O]`` and new state."""
        new = _parts(self.module(x, state if len(self.states) > 1 else state[0]))
        return new[0], new


class SeparateOutput(TorchRecurrentCell):
    """A cell whose output is no part of its state: the module runs once more, on all steps at once, to read it."""

    def run(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        output, new = self.module(x, state if len(self.states) > 1 else state[0])
        return output, _parts(new)

    def readout(self, x: Tensor, previous: State, state: State) -> Tensor:
        rows = tuple(part.flatten(0, -2) for part in previous)
        return self.run(self.project(x).flatten(0, -2), rows)[0].unflatten(0, x.shape[:-1])


def _parts(new: Tensor | State) -> State:
    """What a module makes of a state: the bare tensor where there is one part."""
    return new if isinstance(new, tuple) else (new,)


def _with_options_of(original: type[nn.Module], init: Callable[..., None]) -> Callable[..., None]:
    """The constructor with the original's options in its signature, by which seqlab checks what a recipe says."""
    signature, hints = inspect.signature(init), get_type_hints(original.__init__)
    parameters = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
    known = {"self", *signature.parameters, *NO_OPTIONS}
    for name, each in inspect.signature(original.__init__).parameters.items():
        if name not in known:
            # Without an annotation it is an activation or an initialiser, which a recipe can only name.
            parameters.append(each.replace(kind=each.KEYWORD_ONLY, annotation=hints.get(name, str)))

    @functools.wraps(init)
    def __init__(self: Any, *arguments: Any, **options: Any) -> None:
        init(self, *arguments, **options)

    vars(__init__)["__signature__"] = signature.replace(parameters=parameters)
    __init__.__annotations__ = {each.name: each.annotation for each in parameters if each.name != "self"}
    return __init__
