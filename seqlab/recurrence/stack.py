"""Layers of cells, in one direction or two.

Shape suffixes: T = time steps, B = rows, I = input size, O = output size.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from seqlab.cells.base import RecurrentCell, State
from seqlab.errors import UserError
from seqlab.recurrence.between import check_zoneout
from seqlab.recurrence.choice import check_engine, choose_engine, like_inputs
from seqlab.recurrence.dropout import make_dropout
from seqlab.recurrence.initial_state import add_noise, make_learned
from seqlab.recurrence.normalization import NORMALIZATIONS, BatchNorm
from seqlab.recurrence.unroll import detach, padding, unroll
from seqlab.recurrence.weight_drop import check_weight_drop

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
        normalization: What is done to a layer's output before the next one: ``none``, ``layer`` (Ba et al. 2016) or
            ``batch`` (over all steps and rows: :class:`~seqlab.recurrence.normalization.BatchNorm`).
        dropout: Probability of dropping an element between two layers.
        locked_dropout: Drop the same elements at all steps of a sequence (Y. Gal and Z. Ghahramani, 2016).
        weight_drop: Probability of dropping a weight of a recurrent map; see :func:`~seqlab.recurrence.unroll.unroll`.
        zoneout: Probability that a unit keeps its old value, for all state parts or by their names.
        engine: Forces an engine for every cell; see :func:`~seqlab.recurrence.choice.choose_engine`.
        initial_state: The state before the first step and after a reset. ``zero``: the cells' own, which is 0 unless a
            cell says otherwise; ``random``: this with noise, in training only; ``learned``: one vector for each part.
        initial_state_std: Standard deviation of the noise, which is drawn for each row and call.
        ends: Whether states at the ends of padded rows will be asked for, which not every engine can tell.

    Raises:
        UserError: The engine, the normalisation or the initial state is unknown, a number is out of its range, or an
            engine that is forced cannot tell the ends.
    """

    def __init__(
        self,
        make_cell: Callable[[int], RecurrentCell],
        input_size: int,
        num_layers: int = 1,
        *,
        bidirectional: bool = False,
        residual: bool = False,
        normalization: str = "none",
        dropout: float = 0.0,
        locked_dropout: bool = False,
        weight_drop: float = 0.0,
        zoneout: float | Mapping[str, float] = 0.0,
        engine: str | None = None,
        initial_state: str = "zero",
        initial_state_std: float = 0.1,
        ends: bool = False,
    ):
        super().__init__()
        check_engine(engine)
        if normalization not in NORMALIZATIONS:
            raise UserError(f"normalization must be one of {', '.join(NORMALIZATIONS)}, not {normalization!r}")
        self.directions, self.residual, self.engine = 2 if bidirectional else 1, residual, engine
        self.weight_drop, self.zoneout = weight_drop, zoneout
        self.dropout = make_dropout(dropout, locked=locked_dropout)
        self.norms = nn.ModuleList()
        self.cells = nn.ModuleList()
        size = input_size
        for _ in range(num_layers):
            layer = [make_cell(size) for _ in range(self.directions)]
            self.cells.extend(layer)
            size = sum(cell.output_size for cell in layer)
            self.norms.append(NORMALIZATIONS[normalization](size))
        del self.norms[-1:]  # the last layer has no next one
        self.output_size = size
        for cell in self._cells():
            check_zoneout(cell, zoneout)
            check_weight_drop(cell, weight_drop)
        self.learned = make_learned(initial_state, initial_state_std, self._cells())
        self.noise, self.ends = initial_state_std if initial_state == "random" else 0.0, ends
        if ends and engine is not None:
            self.engines()

    @property
    def state_sizes(self) -> list[tuple[int, ...]]:
        """Widths of the state parts of every cell, in the order of :data:`StackState`."""
        return [cell.state_sizes for cell in self._cells()]

    def initial_state(self, rows: int, like: Tensor) -> StackState:
        """The state before the first step, with the dtype and device of ``like``; in training with its noise."""
        if self.learned is not None:
            return self.learned(rows, like)
        state = tuple(cell.initial_state(rows, like) for cell in self._cells())
        return add_noise(state, self.noise) if self.noise and self.training else state

    def forward(
        self,
        x_TBI: Tensor,
        state: StackState | None = None,
        *,
        lengths: Tensor | None = None,
        last: bool = True,
        resets: Tensor | None = None,
        window: int | None = None,
    ) -> tuple[Tensor, StackState | None]:
        """Runs all layers over a padded batch.

        Args:
            x_TBI: Inputs, padded on the right.
            state: States before the first step; every cell's initial state if None.
            lengths: Number of steps ``[B]`` of each row; all T if None.
            last: Whether the states after the last steps are needed.
            resets: True ``[T, B]`` where a step is the first of a new sequence.
            window: Steps that a gradient flows back through in each layer; all if None.

        Returns:
            Outputs ``[T, B, O]``, zero past each length, and the states after each row's last step, or None.

        Raises:
            UserError: The state is not one of this stack, or an engine that was forced cannot run a cell.
        """
        finals: list[State] = []
        padding_TB1 = None if lengths is None else padding(x_TBI, lengths)[..., None]
        cells = self._cells()
        if state is not None and len(state) != len(cells):
            raise UserError(f"the state is one of {len(state)} cells, but the stack has {len(cells)}")
        learning = self.learned is not None and self.training
        initial = None
        if state is None or resets is not None or learning:
            initial = self.initial_state(x_TBI.shape[1], x_TBI)
        if state is None:
            state = initial
        elif learning and initial is not None:
            # Of no effect, but several devices need every parameter in every step.
            state = tuple(
                tuple(part + 0 * first for part, first in zip(*parts, strict=True))
                for parts in zip(state, initial, strict=True)
            )
        for first in range(0, len(cells), self.directions):
            if first:
                norm = self.norms[first // self.directions - 1]
                x_TBI = norm(x_TBI, padding_TB1) if isinstance(norm, BatchNorm) else norm(x_TBI)
                x_TBI = self.dropout(x_TBI)
            outputs = []
            for index in range(first, first + self.directions):
                output_TBH, final = unroll(
                    cells[index],
                    x_TBI,
                    None if state is None else state[index],
                    initial=None if initial is None else initial[index],
                    lengths=lengths,
                    reverse=index > first,
                    last=last,
                    resets=resets,
                    window=window,
                    zoneout=self.zoneout,
                    weight_drop=self.weight_drop,
                    engine=self.engine,
                )
                outputs.append(output_TBH)
                if final is not None:
                    finals.append(final)
            output_TBO = outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)
            if self.residual and first:
                # A norm's offset is not 0 where its input is, past the lengths.
                output_TBO = output_TBO + (x_TBI if padding_TB1 is None else x_TBI.masked_fill(padding_TB1, 0.0))
            x_TBI = output_TBO
        return x_TBI, tuple(finals) if last else None

    def engines(self) -> list[str]:
        """The engine that runs each cell over more than one step.

        Raises:
            UserError: One that was forced cannot run a cell.
        """
        between = any(self.zoneout.values()) if isinstance(self.zoneout, Mapping) else bool(self.zoneout)
        return [
            choose_engine(
                cell, like_inputs(cell, steps=2), last_of_lengths=self.ends, between=between, engine=self.engine
            )
            for cell in self._cells()
        ]

    def _cells(self) -> list[RecurrentCell]:
        return list(self.cells)  # type: ignore[arg-type]


def select_rows(state: StackState, rows: Tensor) -> StackState:
    """The state of the given rows ``[R]``, in their order; a row may occur more than once."""
    return tuple(tuple(part.index_select(0, rows) for part in cell) for cell in state)


def detach_state(state: StackState) -> StackState:
    """The state without its history, to carry it from one batch to the next."""
    return tuple(detach(cell) for cell in state)
