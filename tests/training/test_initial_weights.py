"""Weights of one model in another."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seqlab.errors import UserError
from seqlab.training.checkpoints import load_checkpoint
from seqlab.training.initial_weights import Source, misfits, take_over, used_weights


class Model(nn.Module):
    """A matrix that may be shared, a layer, and a buffer."""

    def __init__(self, tied: bool = True, width: int = 4) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 3)
        self.output = nn.Linear(3, 5)
        if tied:
            self.output.weight = self.embedding.weight
        self.layer = nn.Linear(3, width)
        self.register_buffer("mean", torch.rand(2))


@pytest.fixture
def saved(tmp_path: Path) -> dict[str, Any]:
    """A checkpoint that was read from disk, of a model with a shared matrix and averages of two parameters."""
    torch.manual_seed(1)
    state = Model().state_dict()
    averaged = {"embedding.weight": torch.full((5, 3), 2.0), "layer.bias": torch.full((4,), 3.0)}
    torch.save({"state_dict": state, "averaged": averaged, "seqlab": {}, "global_step": 7}, tmp_path / "best.ckpt")
    return load_checkpoint(tmp_path / "best.ckpt")


def values(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def test_an_average_stands_for_its_weight_by_all_of_its_names(saved: dict[str, Any]) -> None:
    weights = used_weights(saved)
    assert set(weights) == set(saved["state_dict"])
    for name in ("embedding.weight", "output.weight"):
        assert torch.equal(weights[name], torch.full((5, 3), 2.0))
    assert torch.equal(weights["layer.bias"], torch.full((4,), 3.0))
    for name in ("layer.weight", "output.bias", "mean"):
        assert torch.equal(weights[name], saved["state_dict"][name])


@pytest.mark.parametrize("tied", [True, False])
def test_everything_is_taken_over(saved: dict[str, Any], tied: bool) -> None:
    model, weights = Model(tied), used_weights(saved)
    assert take_over(model, weights, [], "runs/x") == list(weights)
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert (model.output.weight is model.embedding.weight) == tied
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_part_is_taken_over(saved: dict[str, Any]) -> None:
    model, weights = Model(width=9), used_weights(saved)
    before = values(model)
    assert take_over(model, weights, ["output.*", "mean"], "runs/x") == ["mean", "output.weight", "output.bias"]
    for name, value in model.state_dict().items():
        expected = weights if name in ("output.weight", "output.bias", "embedding.weight", "mean") else before
        assert torch.equal(value, expected[name]), name


@pytest.mark.parametrize(
    ("model", "patterns", "message"),
    [
        (Model(width=9), [], r"layer\.weight is 4 x 3 in it and 9 x 3 here, layer\.bias is 4 in it and 9 here; give"),
        (nn.Linear(3, 5), [], r"mean is not in this model.*, and 5 more; give the settings of its model"),
        (nn.ModuleDict({"layer": nn.Linear(3, 4), "new": nn.Linear(2, 2)}), ["new.*"], r"new\.weight is not in it"),
        (Model(), ["layr.*"], r"training\.init_only: no parameter is named layr\.\*; did you mean 'layer\.\*'\?"),
    ],
    ids=["shape", "other", "missing", "pattern"],
)
def test_what_does_not_fit(saved: dict[str, Any], model: nn.Module, patterns: list[str], message: str) -> None:
    before = values(model)
    with pytest.raises(UserError, match=message) as caught:
        take_over(model, used_weights(saved), patterns, "runs/x")
    assert str(caught.value).startswith("training.init_")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_two_matrices_do_not_become_one() -> None:
    with pytest.raises(UserError, match=r"output\.weight and embedding\.weight differ in it and are one here"):
        take_over(Model(), Model(tied=False).state_dict(), [], "runs/x")


def test_what_was_given_is_not_overwritten(saved: dict[str, Any]) -> None:
    model, source = Model(), Source("runs/x", saved, {})
    assert source.give_weights(model, ["layer.*"]).startswith("weights: 2 of 6 tensors taken over from runs/x (step 7,")
    model.embedding.weight.data.fill_(1)
    source.check_kept(model)
    model.layer.bias.data[2] = 1
    with pytest.raises(UserError, match=r"init_from takes layer\.bias over from runs/x, but another setting .* start"):
        source.check_kept(model)


SETTINGS = {"task": "a.T", "data_module": "a.D", "data.tokenizer.vocab_size": 60, "data.train": "x", "model.size": 3}


def test_a_source_that_goes_with_the_settings() -> None:
    theirs = {**SETTINGS, "data.train": "y", "model.size": 4, "data.tokenizer.dropout": 0.1}
    Source("runs/x", {}, theirs).check({**SETTINGS, "data.tokenizer.dropout": 0.0, "data.tokenizer.new": False})


@pytest.mark.parametrize(
    ("theirs", "message"),
    [
        ({"task": "b.T"}, "runs/x is a run of the task b.T, not a.T"),
        ({"data_module": "b.D"}, "runs/x is a run of the data module b.D, not a.D"),
        (
            {"data.tokenizer.vocab_size": 50},
            "the vocabulary of runs/x comes with its weights, but data.tokenizer.vocab_size is 50 in it and 60 here",
        ),
        (
            {"data.target_tokenizer.vocab_size": 50},
            "the vocabulary of .* data.target_tokenizer.vocab_size is 50 in it and None here",
        ),
    ],
)
def test_a_source_that_does_not(theirs: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"training.init_from: {message}"):
        Source("runs/x", {}, {**SETTINGS, **theirs}).check(SETTINGS)


def test_shared_weights_that_are_no_numbers_are_the_same() -> None:
    """They fit, so that what reads them can say what is wrong."""
    shared = torch.tensor([[1.0, float("nan")]])
    assert misfits({"a": shared, "b": shared}, {"a": shared.clone(), "b": shared.clone()}) == []
    other = torch.tensor([[float("nan"), 1.0]])
    assert misfits({"a": shared, "b": shared}, {"a": shared.clone(), "b": other}) == [
        "b and a differ in it and are one here"
    ]
