"""Weight drop: dropout on the weights of the recurrent maps."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn import functional

from seqlab.cells.base import RecurrentCell, RecurrentLinear
from seqlab.errors import UserError


def check_weight_drop(cell: RecurrentCell, probability: float) -> None:
    """Refuses a probability that leaves no weight, or is none, and a cell in which there is nothing to drop.

    Raises:
        UserError: The probability is not in [0, 1), or no map of the cell is known to be recurrent.
    """
    if not 0 <= probability < 1:
        raise UserError(f"weight_drop must be at least 0 and below 1, not {probability}")
    if probability and not any(isinstance(layer, RecurrentLinear) for layer in cell.modules()):
        raise UserError(
            f"weight_drop: {type(cell).__name__} has no recurrent map that make_linear(..., recurrent=True) made"
        )


@contextmanager
def dropped_weights(cell: RecurrentCell, probability: float) -> Iterator[None]:
    """Within it, each recurrent map of a cell in training uses its weight with elements dropped, biases as they are.

    One mask serves a whole sequence, so every engine runs as it is (S. Merity, N. Keskar and R. Socher, "Regularizing
    and optimizing LSTM language models", ICLR 2018, after L. Wan et al., "Regularization of neural networks using
    DropConnect", ICML 2013). What is kept is scaled by 1/(1 - p). Recurrent maps are those that
    :meth:`~seqlab.cells.base.RecurrentCell.make_linear` made as such.
    """
    check_weight_drop(cell, probability)
    whole: list[tuple[nn.Linear, Tensor]] = []
    try:
        for layer in cell.modules() if cell.training and probability else ():
            if isinstance(layer, RecurrentLinear):
                whole.append((layer, layer.weight))
                # Not by attribute: taking a parameter out and in again would change the order of the parameters.
                layer._parameters["weight"] = functional.dropout(layer.weight, probability)  # type: ignore[assignment]
        yield
    finally:
        for layer, weight in whole:
            layer._parameters["weight"] = weight  # type: ignore[assignment]
