"""What a loss or gradient that is no number does to a run, and the length of the gradient in its log."""

import logging
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from torch import Tensor, nn

from seqlab.errors import UserError
from seqlab.training import guards
from seqlab.training.averaging import EMA
from seqlab.training.guards import Agreed, Guard
from seqlab.training.ntasgd import NTASGD
from seqlab.training.saving import SaveLast
from seqlab.training.schedules import Step
from seqlab.training.settings import TrainingSettings

from .guarded import KINDS, SIZES, Batch, Tagger, Watch, assert_equal, batches, fit, kept, scaled


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_stops(tmp_path: Path, kind: str) -> None:
    """Before such a step reaches the weights; the line says which checkpoint is good."""
    what = {"nan": "the loss is nan", "inf": "the loss is inf", "gradient": "the gradient is not finite"}[kind]
    path, task = tmp_path / "last.ckpt", Tagger()
    with pytest.raises(Agreed, match=rf"^{what} at step 3: the last good checkpoint is {path}; try a lower .* skip$"):
        fit(task, batches(spoilt={3: kind}), Guard(tmp_path), SaveLast(path, 1))
    saved = torch.load(path, weights_only=True)
    assert saved["global_step"] == 3
    assert_equal(list(saved["state_dict"].values()), list(task.state_dict().values()))
    with pytest.raises(UserError, match="at step 0: no checkpoint was written yet"):
        fit(Tagger(), batches(spoilt={0: kind}), Guard(tmp_path / "new"))


@pytest.mark.parametrize(
    "options",
    [{}, {"gradient_clip_val": 0.5}, {"gradient_clip_val": 0.1, "gradient_clip_algorithm": "value"}, {"norm": 0.5}],
    ids=["plain", "clip", "clip values", "normalize"],
)
@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_a_skipped_step_changes_nothing(tmp_path: Path, kind: str, accumulate: int, options: dict) -> None:
    """The run is that over the data of the other steps; a batch spoils the whole step that it is of."""
    spoilt = {4: kind, 8: kind}
    ends = []
    for leave_out in (False, True):
        task, guard = Tagger(average=EMA(0.9)), Guard(tmp_path, "skip")
        task.train_by(TrainingSettings(normalize_gradient=options.get("norm")))
        flags = {name: value for name, value in options.items() if name != "norm"}
        ends.append(fit(task, batches(accumulate, spoilt, leave_out), guard, accumulate=accumulate, **flags))
        assert guard.skipped == task.told == (0 if leave_out else 2)
        assert ends[-1].global_step == len(SIZES) // accumulate - (2 if leave_out else 0)
    assert_equal(*map(kept, ends))


def test_an_optimizer_that_averages_skips_the_average_too(tmp_path: Path) -> None:
    ends = []
    for leave_out in (False, True):
        task = Tagger(lambda weights: NTASGD(weights, lr=0.1, interval=1))
        made = task.make_optimizer

        def averaging(weights: Any, made: Any = made) -> Any:
            optimizer = made(weights)
            for score in (1.0, 2.0, 3.0):
                optimizer.validated(score)
            assert optimizer.averaged
            return optimizer

        task.metrics["perplexity"] = nn.Identity()
        task.make_optimizer = averaging
        ends.append(fit(task, batches(1, {4: "inf"}, leave_out), Guard(tmp_path, "skip")))
    assert_equal(*map(kept, ends))


def test_what_a_skipped_step_is_told_by(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A line at the first and at the end, and a count in the log; the schedule goes on."""
    caplog.set_level(logging.WARNING, "seqlab")
    watch, task = Watch(), Tagger(schedule=Step(after=1, every=1, factor=0.5))
    fit(task, batches(spoilt={2: "nan", 3: "gradient", 7: "inf"}), Guard(tmp_path, "skip", 4), watch)
    assert [round(row["train/skipped"]) for row in watch.logged[3::4]] == [2, 3, 3]
    assert watch.rates[:5] == [0.05, 0.025, 0.0125, 0.00625, 0.003125]
    assert caplog.messages == [
        "the loss is nan at step 2: the step is skipped (training.nonfinite); how many are is train/skipped of "
        "metrics.csv",
        "3 of 12 steps were skipped, whose loss or gradient was not finite (training.nonfinite)",
    ]
    quiet = Watch()
    fit(Tagger(), batches(), Guard(tmp_path, every_n_steps=1), quiet)
    assert "train/skipped" not in quiet.logged[-1]


@pytest.mark.parametrize("kind", KINDS)
def test_many_in_a_row_end_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(guards, "MANY", 3)
    with pytest.raises(UserError, match=r"for 3 steps in a row at step 6: no checkpoint .*\(trainer.gradient_clip_val"):
        fit(Tagger(), batches(spoilt=dict.fromkeys((1, 2, 4, 5, 6, 7), kind)), Guard(tmp_path, "skip"))


@pytest.mark.filterwarnings("ignore:You're resuming:UserWarning")
def test_the_count_is_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "MANY", 3)
    path, data = tmp_path / "last.ckpt", batches(spoilt=dict.fromkeys((0, 3, 4, 6, 7), "nan"))
    first, second = Guard(tmp_path, "skip"), Guard(tmp_path, "skip")
    fit(Tagger(), data[:5], first, SaveLast(path, 1))
    assert first.skipped == 3
    with pytest.raises(UserError, match="for 3 steps in a row at step 5"):
        fit(Tagger(), data[:5] + batches(spoilt={5: "inf"})[5:], second, resume=path, max_epochs=2)
    assert second.skipped == 4


def test_a_closure_that_is_called_again(tmp_path: Path) -> None:
    """By then the weights are on their way, so that the step cannot be left out."""

    class Late(Tagger):
        calls = 0

        def loss(self, batch: Batch) -> Tensor:
            self.calls += 1
            return super().loss(batch._replace(spoilt="nan" if self.calls == 5 else None))

    task = Late(lambda weights: torch.optim.LBFGS(weights, max_iter=3))
    with pytest.raises(UserError, match=r"the loss is nan when LBFGS computed it once more in the same step, and"):
        fit(task, batches(), Guard(tmp_path, "skip"))


def test_weights_that_are_no_numbers_replace_no_checkpoint(tmp_path: Path) -> None:
    """Even where no loss has shown it: here a weight becomes infinite after a step."""

    class Spoil(Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, *arguments: Any) -> None:
            if trainer.global_step == 3:
                pl_module.layer.weight.data.fill_(math.inf)

    path = tmp_path / "last.ckpt"
    with pytest.raises(UserError, match=r"weight layer.weight is no longer finite at step 3"):
        fit(Tagger(), batches(), Guard(tmp_path), Spoil(), SaveLast(path, 1))
    assert torch.load(path, weights_only=True)["global_step"] == 2


def test_a_gradient_longer_than_a_number_can_say(tmp_path: Path) -> None:
    """Each part of it is finite, its norm is not: clipping makes nothing of it, and that is no error."""

    class Steep(Tagger):
        def loss(self, batch: Batch) -> Tensor:
            return super().loss(batch) * 1e30

    task, guard = Steep(lambda weights: torch.optim.SGD(weights, lr=0.1)), Guard(tmp_path)
    fit(task, batches(), guard, gradient_clip_val=1.0)
    assert guard.skipped == 0


@pytest.mark.parametrize("nonfinite", ["stop", "skip"])
def test_a_scale_that_is_too_large_is_no_error(tmp_path: Path, nonfinite: str) -> None:
    """The scaler finds a smaller one; the steps until then change nothing, averages included."""
    ends, late, scale = [], 0, 2.0**20
    for _ in range(2):
        guard, options = Guard(tmp_path, nonfinite), scaled(scale)
        task = Tagger(average=EMA(0.9))
        ends.append(fit(task, (batches()[3:4] * 12)[late:], guard, **options))
        assert guard.skipped == task.told == 0
        late = round(math.log2(scale / options["plugins"][0].scaler.get_scale()))
        assert (late > 1) == (len(ends) == 1)
        scale /= 2**late
    assert_equal(*map(kept, ends))


@pytest.mark.parametrize("kind", ["nan", "inf"])
def test_a_loss_in_16_bits(tmp_path: Path, kind: str) -> None:
    """Is an error, or skipped by the scaler."""
    with pytest.raises(UserError, match=f"the loss is {kind} at step 4"):
        fit(Tagger(), batches(spoilt={4: kind}), Guard(tmp_path), **scaled(256.0))
    ends = []
    for leave_out in (False, True):
        guard = Guard(tmp_path, "skip")
        task = Tagger(average=EMA(0.9))
        ends.append(fit(task, batches(1, {4: kind}, leave_out), guard, **scaled(256.0)))
        assert guard.skipped == (0 if leave_out else 1)
    assert_equal(*map(kept, ends))


def test_no_scale_is_small_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "MANY", 3)
    data = batches(spoilt=dict.fromkeys(range(2, 12), "gradient"))
    with pytest.raises(UserError, match=r"the 16-bit gradient is not finite, however small its scale, for 3 steps"):
        fit(Tagger(), data, Guard(tmp_path), **scaled(256.0))


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"gradient_clip_val": 0.01},
        {"gradient_clip_val": 0.001, "gradient_clip_algorithm": "value"},
        {"norm": 9.0},
        {"scale": 256.0},
    ],
    ids=["plain", "clip", "clip values", "normalize", "16-bit"],
)
def test_the_norm_of_the_gradient(tmp_path: Path, accumulate: int, options: dict) -> None:
    """Of each logged step, as it was before anything was done to it."""
    task, watch, data = Tagger(lambda weights: torch.optim.SGD(weights, lr=0.0)), Watch(), batches(accumulate)
    task.train_by(TrainingSettings(normalize_gradient=options.get("norm")))
    flags = {name: value for name, value in options.items() if name not in ("norm", "scale")}
    flags |= scaled(options["scale"]) if "scale" in options else {}
    fit(task, data, Guard(tmp_path, every_n_steps=2), watch, accumulate=accumulate, **flags)
    expected = []
    for first in range(0, len(data), accumulate):
        x_NI, y_N = (torch.cat(parts) for parts in zip(*(each[:2] for each in data[first:][:accumulate]), strict=True))
        loss = nn.functional.cross_entropy(task.layer(x_NI), y_N)
        gradients = torch.autograd.grad(loss, list(task.parameters()))
        expected.append(math.sqrt(sum(float((gradient.double() ** 2).sum()) for gradient in gradients)))
    logged = [row.get("train/gradient_norm") for row in watch.logged]
    shown = logged[2 * accumulate - 1 :: 2 * accumulate]
    assert shown == pytest.approx(expected[1::2], rel=2e-3 if "scale" in options else 1e-5)
    assert logged[: 2 * accumulate - 1] == [None] * (2 * accumulate - 1)


def test_settings() -> None:
    assert TrainingSettings().nonfinite == "stop"
    with pytest.raises(UserError, match=r"training.nonfinite must be stop or skip, not 'ignore'"):
        TrainingSettings(nonfinite="ignore")
