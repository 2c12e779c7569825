"""Layers of cells, in one direction or two.

Shape suffixes: T = time steps, B = rows, I = input size, O = output size.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from seqlab.cells.base import RecurrentCell, State
from seqlab.errors import UserError
from seqlab.recurrence.engines import ENGINES, choose_engine
from seqlab.recurrence.unroll import unroll

StackState = tuple[State, ...]
"""One state per cell, layer by layer; in a bidirectional layer the forward cell comes first."""


class RecurrentStack(nn.Module):
    """A stack of recurrent layers.

    Args:
        make_cell: Makes a cell from its input size.
        input_size: Width I of the inputs.
        num_layers: Number of layers.
        bidirectional: Give every layer a second cell that runs backwards; outputs are concatenated.
        residual: Add a layer's input to its output, from the second layer on (Wu et al. 2016).
        dropout: Probability of dropping an output between two layers.
        engine: Forces an engine for every cell; see :func:`~seqlab.recurrence.engines.choose_engine`.

    Raises:
        UserError: The engine is unknown.
    """

    def __init__(
        self,
        make_cell: Callable[[int], RecurrentCell],
        input_size: int,
        num_layers: int = 1,
        *,
        bidirectional: bool = False,
        residual: bool = False,
        dropout: float = 0.0,
        engine: str | None = None,
    ):
        super().__init__()
        if engine is not None and engine not in ENGINES:
            raise UserError(f"no engine named {engine!r} (there are: {', '.join(ENGINES)})")
        self.directions, self.residual, self.engine = 2 if bidirectional else 1, residual, engine
        self.dropout = nn.Dropout(dropout)
        self.cells = nn.ModuleList()
        size = input_size
        for _ in range(num_layers):
            layer = [make_cell(size) for _ in range(self.directions)]
            self.cells.extend(layer)
            size = sum(cell.output_size for cell in layer)
        self.output_size = size

    @property
    def state_sizes(self) -> list[tuple[int, ...]]:
        """Widths of the state parts of every cell, in the order of :data:`StackState`."""
        return [cell.state_sizes for cell in self._cells()]

    def forward(
        self,
        x_TBI: Tensor,
        state: StackState | None = None,
        *,
        lengths: Tensor | None = None,
        last: bool = True,
    ) -> tuple[Tensor, StackState | None]:
        """Runs all layers over a padded batch.

        Args:
            x_TBI: Inputs, padded on the right.
            state: States before the first step; every cell's initial state if None.
            lengths: Number of steps ``[B]`` of each row; all T if None.
            last: Whether the states after the last steps are needed.

        Returns:
            Outputs ``[T, B, O]``, zero past each length, and the states after each row's last step, or None.
        """
        finals: list[State] = []
        cells = self._cells()
        for first in range(0, len(cells), self.directions):
            if first:
                x_TBI = self.dropout(x_TBI)
            outputs = []
            for index in range(first, first + self.directions):
                output_TBH, final = unroll(
                    cells[index],
                    x_TBI,
                    None if state is None else state[index],
                    lengths=lengths,
                    reverse=index > first,
                    last=last,
                    engine=self.engine,
                )
                outputs.append(output_TBH)
                if final is not None:
                    finals.append(final)
            output_TBO = outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)
            x_TBI = output_TBO + x_TBI if self.residual and first else output_TBO
        return x_TBI, tuple(finals) if last else None

    def engines(self) -> list[str]:
        """The engine that runs each cell over more than one step, where no state in mid-sequence is asked for."""
        return [
            choose_engine(cell, cell.input.weight.new_empty(2, 1, cell.input_size), engine=self.engine)
            for cell in self._cells()
        ]

    def _cells(self) -> list[RecurrentCell]:
        return list(self.cells)  # type: ignore[arg-type]


def select_rows(state: StackState, rows: Tensor) -> StackState:
    """The state of the given rows ``[R]``, in their order; a row may occur more than once."""
    return tuple(tuple(part.index_select(0, rows) for part in cell) for cell in state)
