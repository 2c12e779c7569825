"""What a stack of layers is given in a batch, and what of the loss enters it at each step.

Shape suffixes: T = time steps, B = rows, I = input size, O = output size.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from seqlab.recurrence.stack import RecurrentStack, StackState, detach_state
from seqlab.recurrence.stepwise import watched_steps

FORWARD = inspect.signature(RecurrentStack.forward)


@dataclass
class Trace:
    """One pass of a batch through a stack of layers."""

    x_TBI: Tensor
    """Its inputs."""
    state: StackState
    """The states before the first step."""
    lengths_B: Tensor
    """Steps of each row: those it was told of, or those up to the last one at which the loss enters."""
    resets_TB: Tensor | None
    gradient_TBO: Tensor
    """The gradient of the loss by the outputs."""
    finals: StackState | None
    """The gradient of the loss by the states after each row's last step; None where nobody took these."""
    in_steps: bool = False
    """Whether the stack was called step by step."""
    passes: int = 1
    """How many passes the batch took through the stack; this is the longest."""

    def rows(self, chosen: slice) -> "Trace":
        """That of some rows."""

        def choose(state: StackState) -> StackState:
            return tuple(tuple(part[chosen] for part in cell) for cell in state)

        return replace(
            self,
            x_TBI=self.x_TBI[:, chosen],
            state=choose(self.state),
            lengths_B=self.lengths_B[chosen],
            resets_TB=None if self.resets_TB is None else self.resets_TB[:, chosen],
            gradient_TBO=self.gradient_TBO[:, chosen],
            finals=None if self.finals is None else choose(self.finals),
        )

    def like(self, tensor: Tensor) -> "Trace":
        """The same with the dtype and device of a tensor."""
        to = partial(torch.Tensor.to, device=tensor.device)

        def cast(state: StackState) -> StackState:
            return tuple(tuple(part.to(tensor) for part in cell) for cell in state)

        return replace(
            self,
            x_TBI=self.x_TBI.to(tensor),
            state=cast(self.state),
            lengths_B=to(self.lengths_B),
            resets_TB=None if self.resets_TB is None else to(self.resets_TB),
            gradient_TBO=self.gradient_TBO.to(tensor),
            finals=None if self.finals is None else cast(self.finals),
        )


@dataclass
class _Call:
    x_TBI: Tensor
    state: StackState
    lengths_B: Tensor | None
    resets_TB: Tensor | None
    tap: Tensor
    """Zeros that were added to the outputs: the gradient by them is that by the outputs."""
    final_taps: StackState | None
    finals: StackState | None
    """The states that the caller was given, by which the next call is known to go on from here."""


@dataclass
class _Listener:
    """Takes down the calls of a stack; those in which each goes on from the one before are one pass."""

    stack: RecurrentStack
    passes: list[list[_Call]] = field(default_factory=list)
    in_steps: bool = False

    def called(self, module: nn.Module, args: Any, kwargs: Any, result: Any) -> Any:
        """The forward hook of the stack."""
        given = FORWARD.bind(module, *args, **kwargs).arguments
        x_TBI, state = given["x_TBI"], given.get("state")
        if not torch.is_grad_enabled() or not x_TBI.numel():
            return None
        output_TBO, finals = result
        return self._take(x_TBI, state, output_TBO, finals, given.get("lengths"), given.get("resets"))

    def stepped(
        self, x_BI: Tensor, state: StackState, output_BO: Tensor, after: StackState
    ) -> tuple[Tensor, StackState]:
        """The hook of layers that run step by step."""
        if not torch.is_grad_enabled():
            return output_BO, after
        self.in_steps = True
        output_TBO, finals = self._take(x_BI[None], state, output_BO[None], after)
        assert finals is not None
        return output_TBO[0], finals

    def _take(
        self,
        x_TBI: Tensor,
        state: StackState | None,
        output_TBO: Tensor,
        finals: StackState | None,
        lengths_B: Tensor | None = None,
        resets_TB: Tensor | None = None,
    ) -> tuple[Tensor, StackState | None]:
        goes_on = bool(self.passes) and _are_same(self.passes[-1][-1].finals, state)
        self.in_steps = self.in_steps or goes_on
        if state is None:
            state = self.stack.initial_state(x_TBI.shape[1], x_TBI)
        tap, final_taps = torch.zeros_like(output_TBO, requires_grad=True), None
        if finals is not None:
            final_taps = tuple(tuple(torch.zeros_like(part, requires_grad=True) for part in cell) for cell in finals)
            finals = tuple(
                tuple(part + zero for part, zero in zip(*parts, strict=True))
                for parts in zip(finals, final_taps, strict=True)
            )
        call = _Call(x_TBI.detach(), detach_state(state), lengths_B, resets_TB, tap, final_taps, finals)
        if goes_on:
            self.passes[-1].append(call)
        else:
            self.passes.append([call])
        return output_TBO + tap, finals


def trace(stacks: Mapping[str, RecurrentStack], loss: Callable[[], Tensor]) -> dict[str, Trace]:
    """Computes a loss, and takes down what each stack of layers is given and what of the loss enters it.

    Stacks run on the engine ``plain``: others may have no gradient in evaluation mode.

    Args:
        stacks: The stacks by name.
        loss: Computes the loss, calling them.

    Returns:
        A trace for each stack that the loss called.
    """
    listeners = {name: _Listener(stack) for name, stack in stacks.items()}
    with ExitStack() as exits:
        for name, stack in stacks.items():
            exits.enter_context(_on_plain(stack))
            exits.enter_context(watched_steps(stack, listeners[name].stepped))
            exits.enter_context(stack.register_forward_hook(listeners[name].called, with_kwargs=True))
        with torch.enable_grad():
            total = loss().sum()
    longest = {
        name: max(listener.passes, key=lambda calls: sum(len(call.x_TBI) for call in calls))
        for name, listener in listeners.items()
        if listener.passes
    }
    taps = [tap for calls in longest.values() for call in calls for tap in _taps(call)]
    found = torch.autograd.grad(total, taps, allow_unused=True) if total.requires_grad and taps else [None] * len(taps)
    gradients = {
        id(tap): torch.zeros_like(tap) if gradient is None else gradient
        for tap, gradient in zip(taps, found, strict=True)
    }
    return {name: _joined(calls, listeners[name], gradients) for name, calls in longest.items()}


def _joined(calls: list[_Call], listener: _Listener, gradients: Mapping[int, Tensor]) -> Trace:
    """The trace of a pass, of however many calls it is."""
    first, last = calls[0], calls[-1]
    gradient_TBO = torch.cat([gradients[id(call.tap)] for call in calls])
    finals = last.final_taps and tuple(tuple(gradients[id(tap)] for tap in cell) for cell in last.final_taps)
    lengths_B = first.lengths_B
    if lengths_B is None:
        steps, rows = gradient_TBO.shape[:2]
        ends_TB = torch.arange(1, steps + 1, device=gradient_TBO.device)[:, None] * (gradient_TBO != 0).any(-1)
        whole = listener.stack.directions == 2 or any(part.any() for cell in finals or () for part in cell)
        lengths_B = ends_TB.new_full((rows,), steps) if whole else ends_TB.amax(0)
    nowhere = [torch.zeros(call.x_TBI.shape[:2], dtype=torch.bool, device=call.x_TBI.device) for call in calls]
    resets = [no if call.resets_TB is None else call.resets_TB.bool() for no, call in zip(nowhere, calls, strict=True)]
    return Trace(
        torch.cat([call.x_TBI for call in calls]),
        first.state,
        lengths_B,
        torch.cat(resets) if any(call.resets_TB is not None for call in calls) else None,
        gradient_TBO,
        finals,
        listener.in_steps,
        len(listener.passes),
    )


def _taps(call: _Call) -> Iterator[Tensor]:
    yield call.tap
    for cell in call.final_taps or ():
        yield from cell


def _are_same(finals: StackState | None, state: StackState | None) -> bool:
    """Whether a state is the very one that a call gave."""
    if finals is None or state is None or len(finals) != len(state):
        return False
    return all(one is other for cells in zip(finals, state, strict=True) for one, other in zip(*cells, strict=False))


@contextmanager
def _on_plain(stack: RecurrentStack) -> Iterator[None]:
    engine, stack.engine = stack.engine, "plain"
    try:
        yield
    finally:
        stack.engine = engine
