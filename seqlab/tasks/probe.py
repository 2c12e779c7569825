"""The task of the probes: a symbol, or a number, wherever one is asked for.

Shape suffixes: T = time steps, B = sequences, N = steps of a batch that something is asked of, C = answers.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from seqlab.data.probes.base import NOTHING, ProbeBatch
from seqlab.models.labeller import RecurrentLabeller
from seqlab.tasks.base import Outputs, Task
from seqlab.tasks.cells import cell_factory
from seqlab.tasks.translation import CellSpec

SHOWN = 3


class SequenceProbe(Task):
    """Trains a :class:`~seqlab.models.labeller.RecurrentLabeller` on one of :mod:`seqlab.data.probes`.

    Its loss is the cross entropy of the symbols that are asked for, or the squared error of the numbers.

    Args:
        input_size: Width of the inputs, by the data.
        classes: Different answers, by the data; 0 where they are numbers.
        cell: The cell, by name and options.
        hidden_size: Hidden size of a layer.
        layers: Number of layers.
        engine: Forces an engine for every cell.
        **options: Metrics, optimizer and schedule; see :class:`~seqlab.tasks.base.Task`.

    Raises:
        UserError: A size is not positive, or the cell or engine is unknown.
    """

    unit: ClassVar[str] = "answers"
    example: ClassVar[str] = "sequence"
    sizes: ClassVar[tuple[str, ...]] = ("hidden_size",)

    def __init__(
        self,
        input_size: int,
        classes: int,
        cell: CellSpec = "gru",
        hidden_size: int = 64,
        layers: int = 1,
        engine: str | None = None,
        **options: Any,
    ):
        super().__init__(**options)
        self.network = RecurrentLabeller(
            input_size, classes or 1, cell_factory(cell), hidden_size=hidden_size, layers=layers, engine=engine
        )

    def forward(self, batch: ProbeBatch) -> Tensor:
        """Answers ``[N, C]`` wherever one is asked for, sequence by sequence."""
        answers_TBC = self.network(batch.inputs, batch.lengths_B)
        return answers_TBC.transpose(0, 1)[_asked(batch)].float()

    def loss(self, batch: ProbeBatch) -> Tensor:
        answers_NC, targets_N = self(batch), self._targets(batch)
        if targets_N.is_floating_point():
            return functional.mse_loss(answers_NC[:, 0], targets_N, reduction="sum")
        return functional.cross_entropy(answers_NC, targets_N, reduction="sum")

    def outputs(self, batch: ProbeBatch, needs: set[str], *, fitting: bool) -> Outputs:
        answers_NC, targets_N = self(batch), self._targets(batch)
        if targets_N.is_floating_point():
            return {"value": {"predicted": answers_NC[:, 0], "true": targets_N}}
        likeliest_N = answers_NC.argmax(-1)
        nll_N = functional.cross_entropy(answers_NC, targets_N, reduction="none")
        outputs: Outputs = {"tokens": {"nll": nll_N, "hits": likeliest_N == targets_N}}
        if "text" in needs:
            counts = _asked(batch).sum(1).tolist()
            answered, true = ([_spelled(part) for part in each.split(counts)] for each in (likeliest_N, targets_N))
            outputs["text"] = {"hypotheses": answered, "references": [[text] for text in true]}
        return outputs

    def example_of_tokens(self, batch: ProbeBatch) -> Tensor:
        return _asked(batch).nonzero()[:, 0]

    @torch.no_grad()
    def examples(self, data: Any) -> Iterator[str]:
        """A few validation sequences with what was answered."""
        self.eval()
        examples = data.encoded("val")
        rows = data.text("val")
        for number in range(min(SHOWN, len(rows))):
            batch = self.transfer_batch_to_device(examples.batch(np.array([number]), 1), self.device, 0)
            answers_NC, targets_N = self(batch), self._targets(batch)
            number_asked = targets_N.is_floating_point()
            answered_N = answers_NC[:, 0] if number_asked else answers_NC.argmax(-1)
            yield f"input     {rows[number]['input']}"
            yield f"answered  {_spelled(answered_N)}"
            yield f"right     {_spelled(targets_N)}\n"

    @staticmethod
    def _targets(batch: ProbeBatch) -> Tensor:
        """What is asked for ``[N]``, sequence by sequence."""
        return batch.targets_TB.T[_asked(batch)]


def _asked(batch: ProbeBatch) -> Tensor:
    """Whether something is asked of a step ``[B, T]``."""
    return batch.targets_TB.T != NOTHING


def _spelled(answers_N: Tensor) -> str:
    return " ".join(f"{answer:.3g}" for answer in answers_N.tolist())
