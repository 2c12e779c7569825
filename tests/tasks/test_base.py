"""The base of tasks: what a task that writes no more than it must says of itself, and what it is told."""

from importlib.metadata import version
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seqlab.cells.elman import Elman
from seqlab.cells.lstm import LSTM
from seqlab.errors import UserError
from seqlab.metrics import BLEU, Accuracy, Metric
from seqlab.models.encoder import Encoder
from seqlab.recurrence.stack import RecurrentStack
from seqlab.tasks.base import Task
from seqlab.tasks.cells import cell_factory


class Coupled(Elman):
    """A cell of nobody's."""


class Small(Task):
    """Two stacks of layers, and outputs as they were given."""

    def __init__(self, metrics: dict[str, Metric], outputs: dict[str, Any]):
        super().__init__(metrics=metrics, optimizer=torch.optim.SGD)
        self.given = outputs
        self.encoder = Encoder(nn.Identity(), RecurrentStack(lambda size: LSTM(size, 5), 3, 2, bidirectional=True))
        self.last = RecurrentStack(lambda size: Coupled(size, 7), 10)

    def loss(self, batch: Any) -> Tensor:
        return torch.zeros(())

    def outputs(self, batch: Any, needs: set[str], *, fitting: bool) -> dict[str, Any]:
        return self.given


class Translating(Small):
    def translate(self) -> str:
        return "ja"


def test_what_another_task_does_is_refused_in_a_line():
    task = Translating({}, {})
    assert (task.translate(), hasattr(task, "translate"), hasattr(task, "generate")) == ("ja", True, False)
    with pytest.raises(UserError, match=r"^a task of class Translating does not generate; it has translate\(\.\.\.\)$"):
        task.generate("One day")
    with pytest.raises(UserError, match=r"^a task of class Small does not translate$"):
        _ = Small({}, {}).translate
    with pytest.raises(AttributeError, match="no attribute 'translat'"):
        _ = task.translat


def test_stacks_of_layers_are_found():
    task = Small({}, {})
    assert task.cell_origins() == {"encoder": f"lstm of seqlab {version('seqlab')}", "last": "Coupled"}
    assert {name: len(engines) for name, engines in task.engines().items()} == {"encoder": 4, "last": 1}
    assert not list(task.examples(None))


@pytest.mark.parametrize("name", ["elman", "gru", "lstm", "rrnn"])
def test_a_cell_by_name_says_its_name(name):
    task = Small({}, {})
    task.last = RecurrentStack(lambda size: cell_factory(name)(size, 7), 10)
    assert task.cell_origins()["last"] == f"{name} of seqlab {version('seqlab')}"


def test_a_metric_of_an_output_that_is_not_given():
    hits = {"nll": torch.zeros(3), "hits": torch.tensor([True, False, True])}
    task = Small({"accuracy": Accuracy(), "bleu": BLEU()}, {"tokens": hits})
    with pytest.raises(UserError, match=r"^model\.metrics\.bleu: BLEU .* 'text', which Small .*gives: tokens\)"):
        task.update_metrics(None)
    task = Small({"accuracy": Accuracy()}, {"tokens": hits})
    assert task.update_metrics(None) == {"tokens": hits}
    assert task.compute_metrics() == {"accuracy": pytest.approx(200 / 3)}


def test_what_has_to_be_written():
    class Unfinished(Task):
        def loss(self, batch):
            return torch.zeros(())

    with pytest.raises(TypeError, match=r"abstract class Unfinished .*outputs"):
        Unfinished(metrics={}, optimizer=torch.optim.SGD)
