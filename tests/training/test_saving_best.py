"""Which checkpoint is kept as the best, and when a fit stops for want of a better one."""

import logging
import shutil

import pytest
import torch
from lightning.pytorch import Callback

from seqlab.training.saving import checkpoint_callbacks

from .saved import RESUMES, Scored, files, fit, step_of


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoints" / "last.ckpt"


def best(folder, **more) -> list[Callback]:
    more = {"mode": "max", "every_n_steps": 1, "patience": None, **more}
    return checkpoint_callbacks(folder, monitor="val/score", **more)


@pytest.mark.parametrize("mode, step", [("max", 3), ("min", 1)])
def test_best_checkpoint(path, mode, step):
    """By the score that is monitored; one file, and the last one beside it."""
    fit(path.parent, best(path.parent, mode=mode, every_n_steps=100), task=Scored, max_steps=6)
    assert files(path) == ["best.ckpt", "last.ckpt"]
    assert step_of(path.with_name("best.ckpt")) == step


@RESUMES
def test_best_checkpoint_of_a_run_that_was_moved(path):
    """The best score is known in the new folder, so that a worse model does not replace the best one."""
    folder = path.parent
    for steps, resume in ((3, False), (6, True)):
        resume = folder / path.name if resume else None
        fit(folder, best(folder), task=Scored, resume=resume, max_steps=steps)
        assert step_of(folder / "best.ckpt") == 3
        folder = folder.rename(folder.with_name("moved"))


@pytest.mark.parametrize("patience, steps", [(None, 6), (2, 5), (1, 4)])
def test_early_stop(path, patience, steps):
    callbacks = best(path.parent, patience=patience)
    assert fit(path.parent, callbacks, task=Scored, max_steps=6).trainer.global_step == steps


@RESUMES
def test_best_checkpoint_after_a_resume(path):
    """The best score so far, that of step 3, is known again: the lower ones that follow replace no checkpoint."""
    for steps, resume in ((3, None), (5, path)):
        fit(path.parent, best(path.parent), task=Scored, resume=resume, max_steps=steps)
        assert step_of(path.with_name("best.ckpt")) == 3


@RESUMES
def test_a_best_checkpoint_that_is_newer_than_the_last_one(path):
    """As after a kill between the two: what was the best by the last one decides, and the step is the best again."""
    fit(path.parent, best(path.parent), task=Scored, max_steps=6)
    whole = torch.load(path.with_name("best.ckpt"), weights_only=True)["state_dict"]["weight"]
    shutil.rmtree(path.parent)
    fit(path.parent, best(path.parent, every_n_steps=2), task=Scored, max_steps=3)
    path.with_name("previous.ckpt").replace(path)  # of step 2, while the best one is of step 3
    spoilt = torch.load(path.with_name("best.ckpt"), weights_only=True)
    spoilt["state_dict"]["weight"] += 1
    torch.save(spoilt, path.with_name("best.ckpt"))
    fit(path.parent, best(path.parent), task=Scored, resume=path, max_steps=6)
    found = torch.load(path.with_name("best.ckpt"), weights_only=True)
    assert found["global_step"] == 3 and torch.equal(found["state_dict"]["weight"], whole)


@RESUMES
@pytest.mark.parametrize("damage", ["removed", "truncated"])
def test_a_best_checkpoint_that_is_lost(path, caplog, damage):
    """Its score counts no more; else none that is lower would be saved, and the run would have no best one."""
    fit(path.parent, best(path.parent), task=Scored, max_steps=3)
    lost = path.with_name("best.ckpt")
    content = lost.read_bytes()
    lost.unlink()
    if damage == "truncated":
        lost.write_bytes(content[:999])
    with caplog.at_level(logging.WARNING, "seqlab"):
        fit(path.parent, best(path.parent), task=Scored, resume=path, max_steps=6)
    assert step_of(lost) == 5, "the best of 0.4, 0.5 and 0.3"
    (line,) = (record.getMessage() for record in caplog.records if record.name == "seqlab")
    assert str(lost) in line and line.endswith("; the best one from here on takes its place")
