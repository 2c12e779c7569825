"""A task is left as it was."""

import random

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seqlab.cells.gru import GRU
from seqlab.diagnosis.tasks import trace_task, untouched
from seqlab.errors import UserError
from seqlab.recurrence.stack import RecurrentStack
from seqlab.tasks import Task


class Messy(Task):
    """A task whose loss draws, logs, counts, and keeps something for the next batch."""

    def __init__(self, layers: bool = True):
        super().__init__(metrics={}, optimizer=torch.optim.SGD)
        self.layers = RecurrentStack(lambda size: GRU(size, 3), 2) if layers else None
        self.norm, self.frozen = nn.BatchNorm1d(2), nn.Dropout().eval()
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("last", torch.ones(2))
        self.carried: Tensor | None = None

    def loss(self, batch: Tensor) -> Tensor:
        assert not self.training and not self.norm.training
        self.log("x", 1.0)
        self.count += 1
        self.last = self.last + 1  # another tensor in its place
        noise = torch.randn(()) + np.random.rand() + random.random()
        self.carried = noise
        if self.layers is None:
            return noise
        return self.layers(batch + 0 * noise)[0].sum() * self.factor

    factor = 1.0

    def outputs(self, batch: Tensor, needs: set[str], *, fitting: bool) -> dict:
        return {}


def test_nothing_of_a_task_changes() -> None:
    torch.manual_seed(1)
    task, batch = Messy(), torch.randn(4, 3, 2)
    task.carried = kept = torch.ones(2)
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    found = trace_task(task, batch)
    assert found["layers"].gradient_TBO.shape == (4, 3, 3)
    assert task.training and task.layers.training and not task.frozen.training
    assert task.carried is kept and task.count == 0 and task.last.tolist() == [1, 1] and task.layers.engine is None
    assert torch.equal(states[0], torch.get_rng_state()) and states[2] == random.getstate()
    assert np.array_equal(states[1], np.random.get_state()[1])
    assert "log" not in vars(task) and all(parameter.grad is None for parameter in task.parameters())


def test_also_after_an_error() -> None:
    task = Messy()
    with pytest.raises(ZeroDivisionError), untouched(task):
        task.carried, task.new = torch.zeros(1), 3
        raise ZeroDivisionError
    assert task.carried is None and task.training and not hasattr(task, "new")


def test_what_cannot_be_diagnosed_says_so() -> None:
    without, silent, diverged = Messy(layers=False), Messy(), Messy()
    with pytest.raises(UserError, match=r"^Messy has no layers of seqlab \(RecurrentStack\), so there is no"):
        trace_task(without, torch.zeros(4, 3, 2))
    silent.loss = lambda batch: torch.zeros((), requires_grad=True)
    with pytest.raises(UserError, match=r"^the loss of Messy calls none of its layers \(layers\), so there is nothing"):
        trace_task(silent, torch.zeros(4, 3, 2))
    diverged.factor = float("nan")
    with pytest.raises(UserError, match=r"^the gradient of the loss by the outputs of layers is not finite: the"):
        trace_task(diverged, torch.zeros(4, 3, 2))


def test_the_random_state_of_a_mac_gpu_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which Lightning leaves out, and ``torch.manual_seed`` sets."""
    state = [torch.tensor([7])]
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: state[0])
    monkeypatch.setattr(torch.mps, "set_rng_state", lambda value: state.append(value))
    with untouched(Messy()):
        state[0] = torch.tensor([8])
    assert state[1].tolist() == [7]


def test_final_states_without_a_gradient_that_is_a_number() -> None:
    task = Messy()
    task.loss = lambda batch: task.layers(batch)[1][0][0].sum() * float("nan")
    with pytest.raises(UserError, match=r"^the gradient of the loss by the outputs of layers is not finite: the"):
        trace_task(task, torch.zeros(4, 3, 2))
