"""After which steps the last checkpoint is written."""

import math
import os

import pytest
import torch
from lightning.pytorch import Callback

from seqlab.config import CheckpointSettings
from seqlab.errors import UserError
from seqlab.training.checkpoints import AtomicCheckpointIO
from seqlab.training.guards import Guard
from seqlab.training.saving import SaveLast, checkpoint_callbacks

from .saved import RESUMES, Scored, files, fit, step_of


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoints" / "last.ckpt"


@pytest.fixture
def written(monkeypatch) -> list[tuple[str, int, int]]:
    """Of each checkpoint that is written its name, its step, and how many batches its epoch has had."""
    written = []
    write = AtomicCheckpointIO.save_checkpoint

    def note(self, checkpoint, path, *arguments, **options):
        batches = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]["ready"]
        written.append((os.path.basename(path), checkpoint["global_step"], batches))
        write(self, checkpoint, path, *arguments, **options)

    monkeypatch.setattr(AtomicCheckpointIO, "save_checkpoint", note)
    return written


@pytest.mark.parametrize("accumulate", [1, 2])
def test_last_checkpoint(path, written, accumulate):
    """Every second step and at the last one, once each, however many batches make a step; the one before is kept."""
    fit(path.parent, [SaveLast(path, 2)], values=[1.0] * 12, max_steps=5, accumulate_grad_batches=accumulate)
    assert written == [("last.ckpt", step, step * accumulate) for step in (2, 4, 5)]
    assert files(path) == ["last.ckpt", "previous.ckpt"]
    assert (step_of(path), step_of(path.with_name("previous.ckpt"))) == (5, 4)


def test_last_checkpoint_of_a_run_that_ends_with_an_epoch(path):
    fit(path.parent, [SaveLast(path, 4)], max_epochs=1)
    assert step_of(path) == 6


@RESUMES
def test_nothing_is_saved_within_accumulated_batches_after_a_resume(path, written):
    """The gradients of the batches so far are in no checkpoint."""
    options = {"values": [1.0] * 9, "accumulate_grad_batches": 3}
    for steps, resume in ((2, None), (3, path)):
        fit(path.parent, [SaveLast(path, 2)], max_steps=steps, resume=resume, **options)
    assert written == [("last.ckpt", 2, 6), ("last.ckpt", 3, 9)]


class Clock:
    """Shows a given number of minutes after each optimizer step."""

    def __init__(self, minutes):
        self.minutes, self.trainer = minutes, None

    def __call__(self) -> float:
        return 60 * self.minutes[self.trainer.global_step if self.trainer else 0]


class Wound(SaveLast):
    """Goes by such a clock."""

    def on_train_start(self, trainer, pl_module):
        self.clock.trainer = trainer
        super().on_train_start(trainer, pl_module)


def minutes(path, shown, every_n_steps=100) -> Wound:
    return Wound(path, every_n_steps, every_n_minutes=10, clock=Clock(shown))


@pytest.mark.parametrize(
    ("every_n_steps", "expected"),
    [
        (100, [3, 6]),  # 9 min are not enough, and the others count from the 11th
        (2, [2, 4, 6]),  # after step 3 it is 2 min since the last writing
        (4, [3, 4, 6]),
    ],
)
def test_minutes(path, written, every_n_steps, expected):
    """The first step that ends when they have passed is saved, and they count from the last writing."""
    shown = [0, 5, 9, 11, 15, 20, 22]
    fit(path.parent, [minutes(path, shown, every_n_steps)])
    assert [step for _, step, _ in written] == expected


def test_minutes_that_pass_within_accumulated_batches(path, written):
    """The step is finished first, also where it is one of an epoch's last few batches."""

    class PerBatch(Wound):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            self.clock = lambda: 60.0 * 7 * batch_idx

    saving = PerBatch(path, 100, every_n_minutes=10, clock=Clock([0] * 9))
    fit(path.parent, [saving], values=[1.0] * 8, accumulate_grad_batches=3)
    assert [(step, batches) for _, step, batches in written] == [(1, 3), (2, 6), (3, 8)]


def test_minutes_and_a_validation(path, written):
    """A step that is validated is saved after that, with its scores, and the best one before."""
    callbacks = checkpoint_callbacks(path.parent, monitor="val/score", mode="max", patience=9, every_n_steps=100)
    callbacks[1] = minutes(path, [0, 1, 2, 11, 12, 13, 14])
    fit(path.parent, callbacks, task=Scored, max_steps=6)
    assert [(name, step) for name, step, _ in written] == [
        *(("best.ckpt", 1), ("best.ckpt", 2), ("best.ckpt", 3), ("last.ckpt", 3), ("last.ckpt", 6)),
    ]
    states = torch.load(path.with_name("previous.ckpt"), weights_only=True)["callbacks"]
    (scores,) = (state["best_k_models"] for name, state in states.items() if "SaveBest" in name)
    assert [float(score) for score in scores.values()] == [pytest.approx(0.9)], "of step 3, whose validation counts"


def test_devices_agree_on_the_minutes(path, monkeypatch, written):
    """Each asks once after each step, also when its own clock says no; without the setting none asks."""
    asked = []

    def agree(strategy, decision, all=True):
        asked.append((decision, all))
        return len(asked) == 4  # another device finds it late after step 4

    monkeypatch.setattr("lightning.pytorch.strategies.Strategy.reduce_boolean_decision", agree)
    fit(path.parent, [minutes(path, [0] * 7)], values=[1.0] * 12, accumulate_grad_batches=2)
    assert asked == [(False, False)] * 6
    assert [step for _, step, _ in written] == [4, 6]
    fit(path.parent, [SaveLast(path, 4)])
    assert len(asked) == 6


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"every_n_steps": 0}, r"checkpoint\.every_n_steps must be at least 1, not 0"),
        *(
            ({"every_n_minutes": value}, rf"checkpoint\.every_n_minutes must be more than 0, or null .*, not {value}")
            for value in (0.0, -3.0, math.nan, math.inf)
        ),
    ],
)
def test_intervals_that_make_no_sense(path, wrong, message):
    with pytest.raises(UserError, match=message):
        CheckpointSettings(**wrong)
    with pytest.raises(UserError, match=message):
        SaveLast(path, **{"every_n_steps": 5, **wrong})


def test_weights_that_are_no_numbers_replace_no_checkpoint(path):
    """Even where no loss has shown it: here a weight becomes infinite after a step."""

    class Spoil(Callback):
        def on_train_batch_end(self, trainer, pl_module, *arguments):
            if trainer.global_step == 3:
                pl_module.weight.data.fill_(math.inf)

    with pytest.raises(UserError, match=r"weight .*no longer finite at step 3"):
        fit(path.parent, [Spoil(), Guard(path.parent), SaveLast(path, 1)])
    assert (step_of(path), step_of(path.with_name("previous.ckpt"))) == (2, 1)
