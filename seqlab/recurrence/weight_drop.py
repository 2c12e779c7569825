"""Weight drop: dropout on the weights of the recurrent maps."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn import functional

from seqlab.cells.base import RecurrentCell, RecurrentLinear


@contextmanager
def dropped_weights(cell: RecurrentCell, probability: float) -> Iterator[None]:
    """Within it, each recurrent map of a cell in training uses its weight with elements dropped, biases as they are.

    One mask serves a whole sequence, so every engine runs as it is (S. Merity, N. Keskar and R. Socher, "Regularizing
    and optimizing LSTM language models", ICLR 2018, after L. Wan et al., "Regularization of neural networks using
    DropConnect", ICML 2013). What is kept is scaled by 1/(1 - p). Recurrent maps are those that
    :meth:`RecurrentCell.make_linear` made as such.
    """
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
