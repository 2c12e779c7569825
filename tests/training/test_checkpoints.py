"""Checkpoints reach the disk whole, harm nobody who reads them, and are written when they should be."""

import itertools
import math
import os
import pickle
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from seqlab.errors import UserError
from seqlab.training.checkpoints import AtomicCheckpointIO, SaveLast, StopAtNaN, checkpoint_callbacks, load_checkpoint
from seqlab.training.seeding import SeedSteps, step_seed


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoints" / "last.ckpt"


GOOD = {"seqlab": {"version": "1"}, "step": 7, "state_dict": {"w": torch.arange(6.0).reshape(2, 3)}}


def save(path, checkpoint=GOOD) -> None:
    AtomicCheckpointIO().save_checkpoint(checkpoint, path)


def files(path) -> list[str]:
    return sorted(entry.name for entry in path.parent.iterdir())


def test_what_is_saved_is_loaded(path):
    save(path)
    found = load_checkpoint(path)
    assert (found["seqlab"], found["step"]) == ({"version": "1"}, 7)
    assert found["state_dict"]["w"].tolist() == [[0, 1, 2], [3, 4, 5]] and files(path) == ["last.ckpt"]


def test_a_checkpoint_is_synced_before_it_takes_its_place(path, monkeypatch):
    """Renamed first and synced later, a power failure could leave an empty file."""
    save(path)
    steps = []  # after each system call, the checkpoint that would be found
    for module, name in ((os, "fsync"), (type(path), "replace")):
        original = getattr(module, name)

        def note(*arguments, original=original, name=name):
            original(*arguments)
            steps.append((name, load_checkpoint(path)["step"]))

        monkeypatch.setattr(module, name, note)
    save(path, {**GOOD, "step": 8})
    assert steps == [("fsync", 7), ("replace", 8)]


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_writing_that_fails_leaves_the_old_checkpoint(path, monkeypatch, failure):
    save(path)

    def write_half(checkpoint, file):
        file.write(b"half of it")
        raise failure

    monkeypatch.setattr(torch, "save", write_half)
    with pytest.raises(type(failure)):
        save(path, {**GOOD, "step": 8})
    assert load_checkpoint(path)["step"] == 7
    assert files(path) == ["last.ckpt"]


def error(path) -> str:
    with pytest.raises(UserError) as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_truncated_checkpoint(path, share):
    save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert str(path) in error(path)


def test_a_missing_checkpoint_and_a_file_that_is_none(path):
    assert str(path) in error(path)
    path.parent.mkdir()
    for content in (b"some text\n" * 50, bytes(range(256))):
        path.write_bytes(content)
        assert str(path) in error(path)


class Harmful(str):
    """Its pickle makes a folder of this name when it is loaded."""

    def __reduce__(self):
        return os.mkdir, (str(self),)


@pytest.mark.parametrize("write", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
def test_a_checkpoint_with_code_is_refused_and_not_run(path, tmp_path, write):
    path.parent.mkdir()
    write({**GOOD, "harm": Harmful(tmp_path / "harmed")}, path)
    assert str(path) in error(path)
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize("content", [{"state_dict": {}}, [1, 2], torch.zeros(3), "text"])
def test_a_checkpoint_of_something_else(path, content):
    path.parent.mkdir()
    torch.save(content, path)
    assert "not a checkpoint of seqlab" in error(path)


class Tiny(LightningModule):
    """Learns one weight; the value of a batch is the slope of its loss."""

    def __init__(self, values):
        super().__init__()
        self.values, self.weight = values, nn.Parameter(torch.zeros(1))

    def training_step(self, batch, batch_idx):
        return (self.weight * self.values[batch]).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)


class Scored(Tiny):
    """Is validated as well, with a given score after each step."""

    def validation_step(self, batch, batch_idx):
        self.log("val/score", (0.2, 0.3, 0.9, 0.4, 0.5, 0.3)[self.trainer.global_step - 1], batch_size=1)


def fit(folder, callbacks: list[Callback], *, values=(1.0,) * 6, task=Tiny, resume=None, **options) -> Tiny:
    """Trains on a batch for each value; validates after each, if the task does."""
    trainer = Trainer(
        **{"max_epochs": 1, "val_check_interval": 1, **options},
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
        default_root_dir=folder,
        accelerator="cpu",
        num_sanity_val_steps=0,
        **dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False),
    )
    module = task(values)
    validation = range(1) if task is Scored else None
    trainer.fit(module, range(len(values)), validation, ckpt_path=resume, weights_only=True)
    return module


@pytest.mark.parametrize("accumulate", [1, 2])
def test_last_checkpoint(path, monkeypatch, accumulate):
    """Every second step and at the last one, once each, however many batches make a step."""
    steps = []
    write = AtomicCheckpointIO.save_checkpoint

    def note(self, checkpoint, *arguments, **options):
        steps.append(checkpoint["global_step"])
        write(self, checkpoint, *arguments, **options)

    monkeypatch.setattr(AtomicCheckpointIO, "save_checkpoint", note)
    fit(path.parent, [SaveLast(path, 2)], values=[1.0] * 12, max_steps=5, accumulate_grad_batches=accumulate)
    assert steps == [2, 4, 5]
    assert torch.load(path, weights_only=True)["global_step"] == 5
    with pytest.raises(UserError, match=r"checkpoint\.every_n_steps.*0"):
        SaveLast(path, 0)


def test_last_checkpoint_of_a_run_that_ends_with_an_epoch(path):
    fit(path.parent, [SaveLast(path, 4)], max_epochs=1)
    assert torch.load(path, weights_only=True)["global_step"] == 6


@pytest.mark.parametrize("mode, step", [("max", 3), ("min", 1)])
def test_best_checkpoint(path, mode, step):
    """By the score that is monitored; one file, and the last one beside it."""
    callbacks = checkpoint_callbacks(path.parent, monitor="val/score", mode=mode, patience=None, every_n_steps=100)
    fit(path.parent, callbacks, task=Scored, max_steps=6)
    assert files(path) == ["best.ckpt", "last.ckpt"]
    assert torch.load(path.with_name("best.ckpt"), weights_only=True)["global_step"] == step


@pytest.mark.filterwarnings("ignore:Checkpoint directory:UserWarning", "ignore:You're resuming:UserWarning")
def test_best_checkpoint_of_a_run_that_was_moved(path):
    """The best score is known in the new folder, so that a worse model does not replace the best one."""
    folder = path.parent
    for steps, resume in ((3, False), (6, True)):
        callbacks = checkpoint_callbacks(folder, monitor="val/score", mode="max", patience=None, every_n_steps=1)
        fit(folder, callbacks, task=Scored, resume=folder / path.name if resume else None, max_steps=steps)
        assert torch.load(folder / "best.ckpt", weights_only=True)["global_step"] == 3
        folder = folder.rename(folder.with_name("moved"))


@pytest.mark.parametrize("patience, steps", [(None, 6), (2, 5), (1, 4)])
def test_early_stop(path, patience, steps):
    callbacks = checkpoint_callbacks(path.parent, monitor="val/score", mode="max", patience=patience, every_n_steps=1)
    assert fit(path.parent, callbacks, task=Scored, max_steps=6).trainer.global_step == steps


@pytest.mark.filterwarnings("ignore:Checkpoint directory:UserWarning", "ignore:You're resuming:UserWarning")
def test_best_checkpoint_after_a_resume(path):
    """The best score so far, that of step 3, is known again: the lower ones that follow replace no checkpoint."""
    for steps, resume in ((3, None), (5, path)):
        callbacks = checkpoint_callbacks(path.parent, monitor="val/score", mode="max", patience=None, every_n_steps=1)
        fit(path.parent, callbacks, task=Scored, resume=resume, max_steps=steps)
        assert torch.load(path.with_name("best.ckpt"), weights_only=True)["global_step"] == 3


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_run_whose_loss_is_no_number_stops(path, value):
    """The message says which checkpoint is good; that one is from before."""
    with pytest.raises(UserError, match=r"the loss is .*last\.ckpt"):
        fit(path.parent, [StopAtNaN(path.parent), SaveLast(path, 1)], values=[1.0, 1.0, 1.0, value, 1.0, 1.0])
    assert torch.load(path, weights_only=True)["state_dict"]["weight"].tolist() == [-3.0]
    with pytest.raises(UserError, match="no checkpoint was written yet"):
        fit(path.parent, [StopAtNaN(path.parent / "new"), SaveLast(path, 1)], values=[value])


def test_weights_that_are_no_numbers_replace_no_checkpoint(path):
    """Even where no loss has shown it: here a weight becomes infinite after a step."""

    class Spoil(Callback):
        def on_train_batch_end(self, trainer, pl_module, *arguments):
            if trainer.global_step == 3:
                pl_module.weight.data.fill_(math.inf)

    with pytest.raises(UserError, match=r"weight .*no longer finite at step 3"):
        fit(path.parent, [Spoil(), StopAtNaN(path.parent), SaveLast(path, 1)])
    assert torch.load(path, weights_only=True)["global_step"] == 2


def test_step_seed():
    """Another one for any other seed, rank, step or batch; the same for the same."""
    keys = list(itertools.product(range(4), range(3), range(30), range(3)))
    seeds = {step_seed(*key) for key in keys + keys}
    assert len(seeds) == len(keys)
    assert all(0 <= seed < 1 << 64 for seed in seeds) and max(seeds) > 1 << 62


def test_random_numbers_of_a_step():
    """They depend on where training stands and on nothing that was drawn before."""

    def draw(seed, rank, step, batch):
        trainer = SimpleNamespace(global_rank=rank, global_step=step)
        SeedSteps(seed).on_train_batch_start(trainer, None, None, batch)
        return torch.rand(4).tolist()

    keys = list(itertools.product(range(2), repeat=4))
    draws = {key: draw(*key) for key in keys}
    assert len({tuple(values) for values in draws.values()}) == len(keys)
    assert {key: draw(*key) for key in reversed(keys)} == draws
