"""Averages in training: what stands in for the weights in validation and in what is saved, and what does not change."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor, nn

from seqlab.errors import UserError
from seqlab.metrics import Perplexity
from seqlab.tasks.base import Task
from seqlab.training.averaging import EMA, Average, LastN, use_averages
from seqlab.training.checkpoints import AtomicCheckpointIO
from seqlab.training.ntasgd import NTASGD
from seqlab.training.saving import SaveLast
from seqlab.training.schedules import Plateau


class Tied(Task):
    """Two layers that share one matrix, and a buffer; learns to predict a token from itself."""

    def __init__(self, scores=(), *, optimizer: Any = None, average: Average | None = None, fail_at: int = 0):
        metrics = {"perplexity": Perplexity()}
        super().__init__(
            metrics=metrics, optimizer=optimizer or (lambda weights: torch.optim.Adam(weights, lr=0.1)), average=average
        )
        generator = torch.Generator().manual_seed(4)
        self.embedding, self.output = nn.Embedding(5, 3), nn.Linear(3, 5)
        self.embedding.weight.data.copy_(torch.randn(5, 3, generator=generator))
        nn.init.zeros_(self.output.bias)
        self.output.weight = self.embedding.weight
        self.register_buffer("seen", torch.zeros(()))
        self.scores, self.fail_at = list(scores), fail_at
        self.course: list[list[Tensor]] = [self.values()]
        """The raw weights before the first step and after each."""
        self.validated: list[tuple[int, list[Tensor]]] = []
        """The step of each validation, and the weights that it was given."""

    def values(self) -> list[Tensor]:
        with torch.inference_mode(False):
            return [weight.detach().clone() for weight in self.parameters()]

    def nll(self, batch: Any) -> Tensor:
        return nn.functional.cross_entropy(
            self.output(self.embedding(batch.tokens_N)), batch.tokens_N, reduction="none"
        )

    def loss(self, batch: Any) -> Tensor:
        self.seen += 1
        return self.nll(batch).sum()

    def outputs(self, batch: Any, needs: set[str], *, fitting: bool) -> dict[str, Any]:
        step = self.trainer.global_step
        if step == self.fail_at > 0:
            raise RuntimeError("no validation today")
        self.validated.append((step, self.values()))
        nll_N = self.nll(batch)
        if self.scores:  # a perplexity as ordered
            nll_N = torch.full_like(nll_N, math.log(self.scores[len(self.validated) - 1]))
        return {"tokens": {"nll": nll_N, "hits": nll_N > 0}}


class Normalized(Tied):
    """With a batch normalisation behind its embedding."""

    def __init__(self, **options: Any):
        super().__init__(**options)
        self.norm = nn.BatchNorm1d(3)
        self.statistics: list[Tensor] = []
        self.course = [self.values()]

    def nll(self, batch: Any) -> Tensor:
        logits_NV = self.output(self.norm(self.embedding(batch.tokens_N)))
        return nn.functional.cross_entropy(logits_NV, batch.tokens_N, reduction="none")

    def outputs(self, batch: Any, needs: set[str], *, fitting: bool) -> dict[str, Any]:
        self.statistics = [self.norm.running_mean.clone(), self.norm.running_var.clone()]
        return super().outputs(batch, needs, fitting=fitting)


def test_running_statistics_are_the_newest_as_of_torchs_averaged_model(tmp_path):
    """In validation and in what is used: there too only the weights are averages."""

    class Reference(Callback):
        def on_train_batch_end(self, trainer, pl_module, *arguments):
            reference.update_parameters(pl_module.norm)

    task = Normalized(average=LastN(3, every=1))
    reference = torch.optim.swa_utils.AveragedModel(task.norm)
    fit(task, tmp_path / "last.ckpt", steps=3, callbacks=[Reference()])
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    used = Normalized()
    used.load_state_dict(checkpoint["state_dict"])
    use_averages(used, checkpoint)
    for name in ("weight", "bias", "running_mean", "running_var"):
        torch.testing.assert_close(getattr(used.norm, name), getattr(reference.module, name))
    assert torch.equal(task.statistics[0], used.norm.running_mean) and used.norm.running_mean.abs().sum() > 0
    assert torch.equal(task.statistics[1], task.norm.running_var)


class Note(Callback):
    """Notes the raw weights after each step."""

    def on_train_batch_end(self, trainer, pl_module, *arguments):
        if trainer.global_step == len(pl_module.course):
            pl_module.course.append(pl_module.values())


def fit(task: Tied, path, *, steps=6, every=1, accumulate=1, resume=False, sanity=0, callbacks=(), validate=1) -> Tied:
    trainer = Trainer(
        callbacks=[Note(), SaveLast(path, every), *callbacks],
        plugins=[AtomicCheckpointIO()],
        default_root_dir=path.parent,
        accelerator="cpu",
        max_steps=steps,
        val_check_interval=validate,
        accumulate_grad_batches=accumulate,
        num_sanity_val_steps=sanity,
        **dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False),
    )
    # All are the same: these loaders know no position that a resume could take up.
    batch = SimpleNamespace(tokens_N=torch.tensor([0, 3, 2]), tokens=3, step_tokens=3 * accumulate)
    batches = [batch] * steps * accumulate
    loaders = [torch.utils.data.DataLoader(data, batch_size=None) for data in (batches, batches[:1])]
    trainer.fit(task, *loaders, ckpt_path=path if resume else None, weights_only=True)
    return task


@pytest.fixture
def path(tmp_path):
    return tmp_path / "last.ckpt"


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def ema(values: list[list[Tensor]], decay: float) -> list[Tensor]:
    average = EMA(decay)
    for weights in values:
        average.update(weights)
    return average.averages(values[-1])


@pytest.mark.parametrize("accumulate", [1, 3])
def test_validation_has_the_averages_and_training_the_raw_weights(path, accumulate):
    """Raw weights and buffers are those of a run without averages, bit for bit; an update for every optimizer step."""
    plain = fit(Tied(), path, accumulate=accumulate)
    task = fit(Tied(average=EMA(0.8)), path, accumulate=accumulate, validate=accumulate)
    assert len(task.course) == len(plain.course) == 7
    assert all(same(one, other) for one, other in zip(task.course, plain.course, strict=True))
    assert task.seen == plain.seen == 6 * accumulate
    assert [step for step, _ in task.validated] == [1, 2, 3, 4, 5, 6]
    for step, weights in task.validated:
        assert same(weights, ema(task.course[1 : step + 1], 0.8))
        assert step == 1 or not same(weights, task.course[step])
    assert task.output.weight is task.embedding.weight


def test_every(path):
    """An update only at every third step; before the first there is nothing to stand in."""
    task = fit(Tied(average=LastN(2, every=3)), path, steps=10)
    for step, weights in task.validated:
        taken = [task.course[number] for number in range(3, step + 1, 3)][-2:]
        expected = [torch.stack(values).mean(0) for values in zip(*taken, strict=True)] or task.course[step]
        assert same(weights, expected)


def test_a_checkpoint_holds_both(path):
    """Raw weights to go on from, averages to use: given to a module, they leave tied weights tied."""
    task = fit(Tied(average=EMA(0.8)), path)
    checkpoint = torch.load(path, weights_only=True)
    names = ["embedding.weight", "output.bias"]
    assert same([checkpoint["state_dict"][name] for name in names], task.course[-1])
    assert list(checkpoint["averaged"]) == names
    averages = ema(task.course[1:], 0.8)
    assert same(list(checkpoint["averaged"].values()), averages)
    other = Tied()
    other.load_state_dict(checkpoint["state_dict"])
    use_averages(other, checkpoint)
    assert same(other.values(), averages) and other.output.weight is other.embedding.weight
    assert other.seen == task.seen
    use_averages(other, {})
    assert same(other.values(), averages)
    assert "averaged" not in torch.load(fit_path(path, Tied()), weights_only=True)


def fit_path(path, task: Tied):
    fit(task, path.with_name("other.ckpt"))
    return path.with_name("other.ckpt")


RISING = (2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0)


def ntasgd(weights: Any) -> NTASGD:
    return NTASGD(weights, lr=0.5, interval=2)


def test_ntasgd_in_a_run(path):
    """It triggers at the fourth validation, and from then on its averages are validated and saved."""
    task = fit(Tied(RISING, optimizer=ntasgd), path)
    for step, weights in task.validated:
        since = task.course[4 : step + 1] if step > 4 else task.course[step : step + 1]
        for found, *values in zip(weights, *since, strict=True):
            torch.testing.assert_close(found, torch.stack(values).mean(0))
        assert same(weights, task.course[step]) == (step <= 4)
    checkpoint = torch.load(path, weights_only=True)
    (state,) = checkpoint["optimizer_states"]
    assert (state["averaged"], len(state["validations"])) == (3, 4)
    assert same(list(checkpoint["averaged"].values()), task.validated[-1][1])
    assert same([checkpoint["state_dict"]["output.bias"]], task.course[-1][1:])


def test_a_sanity_check_is_no_validation(path):
    task = fit(Tied((9.0, *RISING), optimizer=ntasgd), path, sanity=1, steps=2)
    assert task.optimizers().validations == pytest.approx([2.0, 3.0])
    assert len(task.validated) == 3


def test_optimizer_and_schedule_listen_together(path):
    """Each to its score."""
    task = Tied(RISING, optimizer=ntasgd)
    task.schedule = Plateau(patience=0, factor=0.5)
    fit(task, path, steps=4)
    assert task.optimizers().averaged == 1
    assert task.optimizers().param_groups[0]["lr"] == 0.5 * 0.5**3


@pytest.mark.filterwarnings("ignore:You're resuming:UserWarning")
@pytest.mark.parametrize("options", ["ema", "last", "ntasgd", "ntasgd before its trigger"])
def test_a_resumed_run_is_the_same_bit_for_bit(path, options):
    def make() -> Tied:
        if options == "ema":
            return Tied(average=EMA(0.8, every=2))
        if options == "last":
            return Tied(average=LastN(2, every=2))
        return Tied(RISING, optimizer=ntasgd)

    cut = 3 if "before" in options else 5
    whole = torch.load(fit_path(path, whole_task := make()), weights_only=True)
    fit(make(), path, steps=cut)
    task = make()
    task.validated = whole_task.validated[:cut]  # its place among the scores
    fit(task, path, resume=True)
    resumed = torch.load(path, weights_only=True)
    assert resumed["global_step"] == whole["global_step"] == 6
    for key in ("state_dict", "averaged"):
        assert same(list(whole[key].values()), list(resumed[key].values()))
    assert not same([whole["state_dict"]["output.bias"]], [whole["averaged"]["output.bias"]])
    assert len(task.validated) == 6 and same(task.validated[-1][1], whole_task.validated[-1][1])


def test_a_validation_that_fails_leaves_raw_weights(path):
    task = Tied(average=EMA(0.8), fail_at=4)
    with pytest.raises(RuntimeError, match="no validation today"):
        fit(task, path)
    assert len(task.course) == 5 and same(task.values(), task.course[4])
    assert not same(task.values(), ema(task.course[1:], 0.8))


def test_a_checkpoint_in_mid_validation_holds_raw_weights(path):
    """As when a batch system tells the run to end."""

    class Save(Callback):
        def on_validation_batch_end(self, trainer, pl_module, *arguments):
            if trainer.global_step == 4:
                trainer.save_checkpoint(path.with_name("end.ckpt"))

    task = fit(Tied(average=EMA(0.8)), path, callbacks=[Save()])
    checkpoint = torch.load(path.with_name("end.ckpt"), weights_only=True)
    assert same([checkpoint["state_dict"]["embedding.weight"]], task.course[4][:1])
    assert same([checkpoint["averaged"]["embedding.weight"]], ema(task.course[1:5], 0.8)[:1])


def test_an_optimizer_that_contradicts_the_task():
    for optimizer, expected in (
        (ntasgd, r"^model\.average: NTASGD averages the weights itself"),
        (lambda weights: NTASGD(weights, 1.0, monitor="val/perplexy"), r"^model\.optimizer: NTASGD .*perplexity"),
        (lambda weights: torch.optim.SGD(weights, lr=-1.0), r"^model\.optimizer: Invalid learning rate: -1.0"),
    ):
        task = Tied(optimizer=optimizer, average=EMA())
        with pytest.raises(UserError, match=expected):
            task.make_optimizer(task.parameters())
