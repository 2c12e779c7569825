"""A recurrent network that answers at every step.

Shape suffixes: T = time steps, B = rows, I = input size, C = answers.
"""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional

from seqlab.cells.base import RecurrentCell
from seqlab.errors import UserError
from seqlab.recurrence.stack import RecurrentStack


class RecurrentLabeller(nn.Module):
    """Layers of cells, and a linear map from the last one's output to the answer. Symbols enter as they are, one-hot.

    Nothing else is learned, so that what is seen is the cell.

    Args:
        input_size: Different symbols, or the width of the vectors (I).
        answers: Width of the answer (C).
        cell: Makes a cell from its input and hidden size.
        hidden_size: Hidden size of a layer.
        layers: Number of layers.
        engine: Forces an engine for every cell.

    Raises:
        UserError: A size is not positive, or the engine is unknown.
    """

    def __init__(
        self,
        input_size: int,
        answers: int,
        cell: Callable[[int, int], RecurrentCell],
        *,
        hidden_size: int = 64,
        layers: int = 1,
        engine: str | None = None,
    ):
        super().__init__()
        if min(hidden_size, layers) < 1:
            raise UserError(f"hidden_size ({hidden_size}) and layers ({layers}) must be at least 1")
        self.input_size = input_size
        self.layers = RecurrentStack(lambda size: cell(size, hidden_size), input_size, layers, engine=engine)
        self.output = nn.Linear(self.layers.output_size, answers)

    def forward(self, inputs: Tensor, lengths_B: Tensor) -> Tensor:
        """Symbols ``[T, B]`` or vectors ``[T, B, I]`` to answers ``[T, B, C]``."""
        if inputs.ndim == 2:
            inputs = functional.one_hot(inputs, self.input_size)
        outputs_TBH, _ = self.layers(inputs.to(self.output.weight.dtype), lengths=lengths_B, last=False)
        return self.output(outputs_TBH)
