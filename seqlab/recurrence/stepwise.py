"""Runs a stack of layers one step at a time, where the input of a step needs the output of the one before.

What does not wait for a step is done for all of them: masks are drawn before the first, the part of the inputs that is
known beforehand is multiplied by the input weights at once, and weights get their gradients after the last.

Shape suffixes: T = time steps, B = rows, I = input size, K = width of the known part of an input, U = width of the
rest, I = K + U, G = rows of an input weight, O = output size.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.cells.base import RecurrentCell, RecurrentLinear
from seqlab.errors import UserError
from seqlab.recurrence.between import Between, make_between
from seqlab.recurrence.deferred import DeferredLinear, deferred_gradients
from seqlab.recurrence.normalization import BatchNorm
from seqlab.recurrence.stack import RecurrentStack, StackState
from seqlab.recurrence.weight_drop import dropped_weights

StepHook = Callable[[Tensor, StackState, Tensor, StackState], tuple[Tensor, StackState]]
"""Is told the inputs ``[B, I]`` of a step, the states before it, its outputs ``[B, O]`` and the states after it; what
it returns takes the place of the last two."""
_HOOKS: dict[RecurrentStack, StepHook] = {}


@contextmanager
def watched_steps(stack: RecurrentStack, hook: StepHook) -> Iterator[None]:
    """Within it, a hook is told every step that a stack of layers takes in :class:`Stepwise`: what a forward hook is to
    a stack that is called for a whole sequence."""
    _HOOKS[stack] = hook
    try:
        yield
    finally:
        del _HOOKS[stack]


def check_stepwise(stack: RecurrentStack, option: str) -> None:
    """Refuses layers that cannot be trained step by step.

    Args:
        stack: The layers.
        option: What makes them run step by step.

    Raises:
        UserError: The layers normalise over all steps, or an engine is forced that runs all steps at once.
    """
    check_norms(stack, option)
    if stack.engine not in (None, "plain", "deferred"):
        raise UserError(
            f"{option} runs step by step, but engine {stack.engine} runs all steps at once; leave the choice open or "
            "take deferred"
        )


def check_norms(stack: RecurrentStack, option: str) -> None:
    """Refuses layers that normalise over all steps in training.

    Raises:
        UserError: They do.
    """
    if normalises_over_steps(stack):
        raise UserError(f"{option} runs step by step, but normalization batch is over all steps; take layer or none")


def normalises_over_steps(stack: RecurrentStack) -> bool:
    """Whether what layers give at one step depends on all steps in training."""
    return any(isinstance(norm, BatchNorm) for norm in stack.norms)


def dropout_mask(dropout: nn.Dropout, *shape: int, like: Tensor) -> Tensor | None:
    """What a dropout would multiply a tensor of the shape by; None where it drops nothing."""
    if not dropout.training or not dropout.p:
        return None
    return dropout(like.new_ones(shape))


def masked(x: Tensor, mask: Tensor | None, t: int) -> Tensor:
    """The input of step t as dropout leaves it."""
    return x if mask is None else x * mask[t].to(x.dtype)


class Stepwise:
    """A stack of layers in one direction over one sequence, step by step, within a ``with``.

    The masks of dropout, zoneout and weight drop are drawn on entering, in the order in which the stack draws them:
    under one seed, and given the same inputs, it computes what the stack does. The engine ``plain`` stays pure
    autograd; otherwise it is that of ``deferred``.

    Args:
        stack: The layers.
        steps: Number of steps T.
        rows: Number of rows B.
        like: A tensor of the inputs' dtype and device.
        known_TBK: The first K columns of the inputs of all steps, if they are known.
    """

    def __init__(
        self, stack: RecurrentStack, steps: int, rows: int, like: Tensor, known_TBK: Tensor | None = None
    ) -> None:
        assert stack.directions == 1, "a layer that runs backwards needs the whole sequence"
        self.stack, self.steps, self.rows, self.like = stack, steps, rows, like
        self.known_TBK = known_TBK
        self._known = None if known_TBK is None else known_TBK.unbind(0)
        self._cells: list[tuple[RecurrentCell, Between | None, Tensor | None]] = []
        self._exits = ExitStack()
        self.t, self.input_BI, self.rest_BU = 0, like, like

    def __enter__(self) -> "Stepwise":
        stack = self.stack
        with ExitStack() as exits:
            for cell in stack._cells():
                shape = (self.steps, self.rows, cell.input_size)
                mask = dropout_mask(stack.dropout, *shape, like=self.like) if self._cells else None
                inputs = self.like.new_empty(()).expand(shape)
                between = make_between(cell, inputs, resets=None, zoneout=stack.zoneout)
                exits.enter_context(dropped_weights(cell, stack.weight_drop))
                if stack.engine != "plain":
                    exits.enter_context(deferred_gradients(cell))
                    if self.known_TBK is not None and not self._cells:
                        exits.enter_context(self._known_first(cell))
                self._cells.append((cell, between, mask))
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._cells = []
        self._exits.close()

    def step(self, t: int, rest_BU: Tensor, state: StackState) -> tuple[Tensor, StackState]:
        """Step t.

        Args:
            t: Its number; steps come in their order.
            rest_BU: The columns of the input that were not known: all of them, where none were.
            state: States before the step.

        Returns:
            The outputs ``[B, O]`` of the last layer and the states after the step.
        """
        stack, new = self.stack, []
        x_BI = rest_BU if self._known is None else torch.cat([self._known[t], rest_BU], -1)
        self.t, self.input_BI, self.rest_BU = t, x_BI, rest_BU
        for layer, (cell, between, mask) in enumerate(self._cells):
            if layer:
                x_BI = masked(stack.norms[layer - 1](x_BI[None])[0], mask, t)
            before = state[layer]
            after = cell.step(cell.project(x_BI), before)
            if between is not None:
                after = between.after(t, before, after)
            output_BO = cell.readout(x_BI, before, after)
            x_BI = output_BO + x_BI if stack.residual and layer else output_BO
            new.append(after)
        hook = _HOOKS.get(stack)
        return (x_BI, tuple(new)) if hook is None else hook(self.input_BI, state, x_BI, tuple(new))

    @contextmanager
    def _known_first(self, cell: RecurrentCell) -> Iterator[None]:
        """Within it, every map of the cell that is given an input takes the known part's product from all steps'."""
        before: list[tuple[nn.Linear, Callable[[Tensor], Tensor] | None]] = []
        try:
            for layer in cell.modules():
                # A subclass may compute something else, but these two do not.
                if not isinstance(layer, nn.Linear) or type(layer) not in (nn.Linear, RecurrentLinear):
                    continue
                if layer.in_features == cell.input_size:
                    before.append((layer, vars(layer).get("forward")))
                    vars(layer)["forward"] = _KnownFirst(layer, layer.forward, self)
            yield
        finally:
            for layer, forward in before:
                del layer.forward
                if forward is not None:
                    vars(layer)["forward"] = forward


class _KnownFirst:
    """Stands in for a linear map's ``forward``: ``W x + b = (W_K k + b) + W_U u``, the bracket for all steps at once.

    Only for the very input of a step: a map may be given something else of the same width.
    """

    def __init__(self, layer: nn.Linear, whole: Callable[[Tensor], Tensor], run: Stepwise):
        self.layer, self.whole, self.run = layer, whole, run
        self.known: tuple[Tensor, ...] = ()
        self.rest: Callable[[Tensor], Tensor] = whole

    def __call__(self, x: Tensor) -> Tensor:
        run = self.run
        if x is not run.input_BI or run.known_TBK is None:
            return self.whole(x)
        if not self.known:
            known_GK, rest_GU = self.layer.weight.split([run.known_TBK.shape[-1], run.rest_BU.shape[-1]], 1)
            self.known = functional.linear(run.known_TBK, known_GK, self.layer.bias).unbind(0)
            deferred = torch.is_grad_enabled() and rest_GU.requires_grad
            self.rest = DeferredLinear(rest_GU, None) if deferred else partial(functional.linear, weight=rest_GU)
        return self.known[run.t] + self.rest(run.rest_BU)
