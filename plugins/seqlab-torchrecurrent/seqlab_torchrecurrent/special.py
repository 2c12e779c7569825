"""The cells of torchrecurrent whose output, state or width is not like that of the others."""

from typing import Any

import torch
from torch import Tensor, nn

from seqlab import UserError
from seqlab.cells.base import State
from seqlab_torchrecurrent.adapter import SeparateOutput, TorchRecurrentCell


class IntersectionRNN(SeparateOutput):
    """Intersection RNN, +RNN (J. Collins, ICLR 2017); an input of another width than H needs input_projection=true.

    Its output is a gated mix of input and candidate, so both have one width. TensorFlow's contrib.rnn, where it comes
    from, maps the input of a first layer to that width if it is told to (``num_in_proj``); torchrecurrent does not.

    Args:
        input_size: Width I of the inputs.
        hidden_size: Width H of the state.
        input_projection: Map inputs of another width to H first, by a linear map that is not torchrecurrent's.
        **options: Those of the original.

    Raises:
        UserError: I and H differ and there is no projection.
    """

    def __init__(self, input_size: int, hidden_size: int, *, input_projection: bool = False, **options: Any):
        if input_size != hidden_size and not input_projection:
            raise UserError(
                f"IntersectionRNN mixes input and state, so they must have one width, not {input_size} and "
                f"{hidden_size}; input_projection=true maps the input first"
            )
        super().__init__(hidden_size, hidden_size, **options)
        self.input_size = input_size
        self.widen = self.make_linear(input_size, ("x",)) if input_size != hidden_size else nn.Identity()

    def project(self, x: Tensor) -> Tensor:
        return self.widen(x)


class MCLSTM(SeparateOutput):
    """Memory-controller LSTM (Intel, NIPS 2017 workshop, as torchrecurrent cites it)."""

    states = ("v", "c")


class tauGRU(TorchRecurrentCell):
    """GRU with weighted time-delay feedback (N. B. Erichson, arXiv 2022); delay=STEPS, 1 by default.

    The original's delayed states are kept by its layer, here by the state: its second part ``[B, delay * H]`` holds
    the states before h, the oldest first.

    Args:
        input_size: Width I of the inputs.
        hidden_size: Width H of h.
        delay: How many steps before h_{t-1} the delayed state lies.
        **options: Those of the original.

    Raises:
        UserError: The delay is not positive.
    """

    states = ("h", "delayed")

    def __init__(self, input_size: int, hidden_size: int, *, delay: int = 1, **options: Any):
        super().__init__(input_size, hidden_size, **options)
        if delay < 1:
            raise UserError(f"tauGRU: delay must be positive, not {delay}")
        self.delay = delay

    @property
    def state_sizes(self) -> tuple[int, ...]:
        return self.hidden_size, self.delay * self.hidden_size

    def run(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h, delayed = state
        new = self.module(x, h, delayed[:, : self.hidden_size])
        return new, (new, torch.cat([delayed[:, self.hidden_size :], h], 1))


class TGRU(TorchRecurrentCell):
    """Strongly typed GRU, whose gates see the last input and not the state (D. Balduzzi, ICML 2016)."""

    states = ("h", "x")

    @property
    def state_sizes(self) -> tuple[int, ...]:
        return self.hidden_size, self.input_size


class TLSTM(SeparateOutput):
    """Strongly typed LSTM, whose gates see the last input and not the state (D. Balduzzi, ICML 2016)."""

    states = ("c", "x")

    @property
    def state_sizes(self) -> tuple[int, ...]:
        return self.hidden_size, self.input_size
