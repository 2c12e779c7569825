"""What is tried before there is data changes nothing, and fails where training would."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from seqlab.errors import UserError
from seqlab.metrics import Accuracy
from seqlab.tasks.base import Task
from seqlab.training.rehearsal import stand_ins, try_optimizer


class Small(Task):
    def __init__(self, optimizer):
        super().__init__(metrics={"accuracy": Accuracy()}, optimizer=optimizer)
        self.layer = nn.Linear(3, 5)

    def loss(self, batch):
        return torch.zeros(())

    def outputs(self, batch, needs, *, fitting):
        return {}


def settings(**values) -> SimpleNamespace:
    return SimpleNamespace(get=values.get)


def test_a_tokenizer_for_all_that_have_no_settings_of_their_own():
    sides = ["source_tokenizer", "target_tokenizer"]
    joint = stand_ins(sides, settings(tokenizer={"vocab_size": 70}))
    assert joint["source_tokenizer"] is joint["target_tokenizer"] and len(joint["source_tokenizer"]) == 70
    own = stand_ins(sides, settings(tokenizer={"vocab_size": 70}, target_tokenizer={"vocab_size": 30}))
    assert own["source_tokenizer"] != own["target_tokenizer"] and [len(one) for one in own.values()] == [70, 30]
    assert stand_ins([], settings()) == {}


@pytest.mark.parametrize(
    "values",
    [
        {"tokenizer": {"vocab_size": 70, "file": "x.model"}},
        {"tokenizer": {"vocab_size": 70, "kind": "byte"}},
        {"tokenizer": {"vocab_size": 1}},
        {"tokenizer": None},
        {},
    ],
)
def test_none_where_nothing_is_trained_or_it_is_another_s(values):
    assert stand_ins(["tokenizer"], settings(**values)) is None
    assert stand_ins(["classes"], settings(tokenizer={"vocab_size": 70})) is None


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW, torch.optim.LBFGS, torch.optim.Rprop])
def test_the_weights_and_the_optimizer_are_as_they_were(optimizer):
    task = Small(optimizer)
    before = [weight.detach().clone() for weight in task.parameters()]
    made = try_optimizer(task)
    assert all(torch.equal(*pair) for pair in zip(task.parameters(), before, strict=True))
    assert type(made) is optimizer and not made.state and all(weight.grad is None for weight in task.parameters())
    assert {id(weight) for group in made.param_groups for weight in group["params"]} == set(map(id, task.parameters()))


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        (torch.optim.SparseAdam, "SparseAdam cannot train this model: SparseAdam does not support dense gradients"),
        (torch.optim.Muon, "Muon only supports 2D parameters"),
        (lambda weights: torch.optim.Adam(weights, lr=-1), "Invalid learning rate: -1"),
    ],
    ids=["sparse", "muon", "rate"],
)
def test_an_optimizer_that_cannot(optimizer, expected):
    with pytest.raises(UserError, match=rf"^model\.optimizer: {expected}"):
        try_optimizer(Small(optimizer))
