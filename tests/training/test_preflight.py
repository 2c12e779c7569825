"""The step before training: which batch it takes, that it leaves no trace, and what is said where it does not fit."""

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from seqlab.cli import main
from seqlab.data.batches import Plan, PlannedBatches
from seqlab.data.loader import TrainingBatches
from seqlab.tasks import LanguageModel, Translation
from seqlab.training import preflight
from seqlab.training.preflight import Preflight, largest_batch, optimizer_room, untouched

from ..logs import rows

Fit = Callable[..., str]
LANGUAGE = [
    *("--recipe", "language-model", "--data.tokenizer.kind", "word", "--data.tokenizer.vocab_size", "40"),
    *("--data.streams", "3", "--data.window", "7", "--model.embedding_size", "6", "--model.hidden_size", "6"),
    *("--trainer.accelerator", "cpu", "--trainer.log_every_n_steps", "2", "--data.random_window", "true"),
]
KINDS = {
    "translation": (
        Translation,
        ["--model.dropout", "0.3", "--model.word_dropout", "0.1", "--model.normalization", "batch"],
    ),
    "language": (LanguageModel, ["--model.zoneout", "0.2", "--trainer.accumulate_grad_batches", "2"]),
}


@pytest.fixture
def fit(
    tiny: list[str], corpus: Path, tmp_path: Path, capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> Fit:
    """Fits a task into a run of a name for a few steps; returns the exit code and what is said on stderr."""
    monkeypatch.chdir(tmp_path)
    text = [part for split in ("train", "val") for part in (f"--data.{split}", str(corpus / f"{split}.en"))]
    flags = {"translation": ["--recipe", "translation", *tiny], "language": [*LANGUAGE, *text]}

    def run(kind: str, name: str, *argv: str) -> tuple[int, str]:
        steps = ["--trainer.max_steps", "6", "--trainer.val_check_interval", "4", "--checkpoint.every_n_steps", "3"]
        code = main(["fit", "--run", name, *([] if "--resume" in argv else [*flags[kind], *steps]), *argv])
        return code, capfd.readouterr().err

    return run


def end(run: str) -> tuple[Any, list[dict[str, str]]]:
    """The last checkpoint and the log, without times."""
    checkpoint = torch.load(Path(run, "checkpoints", "last.ckpt"), weights_only=True)
    del checkpoint["seqlab"]
    callbacks = checkpoint["callbacks"]
    kept = {name: state for name, state in callbacks.items() if not name.startswith(("Throughput", "SaveBest"))}
    return {**checkpoint, "callbacks": kept}, rows(Path(run))


def assert_equal(found: Any, expected: Any, where: str = "") -> None:
    """That two parts of checkpoints are the same, bit for bit."""
    if isinstance(expected, Tensor):
        assert torch.equal(found, expected), where
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for name in expected:
            assert_equal(found[name], expected[name], f"{where}.{name}")
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected), where
        for number, pair in enumerate(zip(found, expected, strict=True)):
            assert_equal(*pair, f"{where}[{number}]")
    else:
        assert found == expected or (found != found and expected != expected), where


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_is_the_same_with_and_without(fit: Fit, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Also one that is taken up in the middle of an epoch, with a carried state and the optimizer's."""
    task, flags = KINDS[kind]
    tried = []
    original = preflight.try_step
    monkeypatch.setattr(preflight, "try_step", lambda *arguments: tried.append(original(*arguments)))
    assert fit(kind, "with", *flags)[0] == 0
    assert fit(kind, "with", "--resume", "--trainer.max_steps", "9")[0] == 0
    assert len(tried) == 2
    monkeypatch.setattr(Preflight, "on_train_start", lambda *arguments: None)
    assert fit(kind, "without", *flags)[0] == 0
    assert fit(kind, "without", "--resume", "--trainer.max_steps", "9")[0] == 0
    assert len(tried) == 2 and task is not None
    assert_equal(end("with"), end("without"))


class Counting(nn.Module):
    """Keeps a number, a state and running statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.layer = nn.BatchNorm1d(3), nn.Linear(3, 2)
        self.register_buffer("replaced", torch.zeros(2))
        self.count, self.state = 0, None

    def forward(self, x_BI: Tensor) -> Tensor:
        self.count += 1
        self.state = x_BI
        self.replaced = torch.ones(3) * self.replaced.sum()
        self.new = random.random() + np.random.rand() + torch.rand(())
        return self.layer(self.norm(x_BI)).sum()


def test_modules_are_left_as_they_were() -> None:
    module = Counting()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with untouched(module):
        module(torch.randn(5, 3))
        assert module.count == 1 and module.norm.num_batches_tracked == 1 and module.replaced.shape == (3,)
    assert_equal(dict(module.state_dict()), before)
    assert (module.count, module.state, hasattr(module, "new")) == (0, None, False)


class Stood:
    """What a step asks of a trainer on the CPU."""

    def __init__(self, **values: Any):
        self.optimizers: list[Any] = []
        self.strategy: Any = SimpleNamespace(
            batch_to_device=lambda batch, dataloader_idx: batch, root_device=torch.device("cpu")
        )
        self.precision_plugin: Any = SimpleNamespace(
            convert_input=lambda batch: batch, train_step_context=torch.enable_grad
        )
        vars(self).update(values)


def test_gradients_and_random_numbers_are_left_as_they_were() -> None:
    task: Any = Counting()
    task._on_before_batch_transfer = lambda batch, dataloader_idx: batch
    task.training_step = lambda batch, number: (task.log("train/loss", 1.0), task(batch))[1]
    for weight in task.parameters():
        weight.grad = torch.full_like(weight, 7.0)
    x_BI = torch.randn(5, 3)
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    preflight.try_step(Stood(), task, x_BI)
    assert states == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
    assert all((weight.grad == 7).all() for weight in task.parameters())
    assert task.count == 0 and not hasattr(task, "log")


@pytest.mark.parametrize(
    ("make", "copies"),
    [
        (lambda weights: torch.optim.SGD(weights, lr=1.0), 0),
        (lambda weights: torch.optim.SGD(weights, lr=1.0, momentum=0.9), 1),
        (lambda weights: torch.optim.AdamW(weights, lr=1.0), 2),
        (lambda weights: torch.optim.Adam(weights, lr=1.0, amsgrad=True), 3),
    ],
)
def test_the_room_of_an_optimizer(make: Callable, copies: int) -> None:
    """Is what it keeps after its first step, but for a few numbers; nothing more once it has that."""
    task: Any = nn.ModuleList([nn.Linear(30, 20), nn.Linear(20, 7).double(), nn.Embedding(3, 3).requires_grad_(False)])
    task.scale = nn.Parameter(torch.ones(()))
    task.make_optimizer = make
    trained = [weight for weight in task.parameters() if weight.requires_grad]
    optimizer = make(trained)
    room = optimizer_room(Stood(optimizers=[optimizer]), task)
    numbers = 4 * (copies > 1)  # Adam's count of steps, of the weight that is but a number itself
    assert room == copies * (4 * (30 * 20 + 20 + 1) + 8 * (20 * 7 + 7)) + numbers
    for weight in trained:
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    kept = [part for state in optimizer.state.values() for part in state.values() if isinstance(part, Tensor)]
    assert room == sum(part.nbytes for part in kept if part.ndim) + numbers + 4 * copies
    assert not kept or optimizer_room(Stood(optimizers=[optimizer]), task) == 0


class Sized:
    """Examples that are nothing but long."""

    source_lengths_N = np.array([3, 9, 2, 5, 5, 1])
    target_lengths_N = np.array([4, 1, 2, 5, 6, 7])

    def batch(self, index_B: np.ndarray, step_tokens: int) -> tuple[list[int], int]:
        return index_B.tolist(), step_tokens


@pytest.mark.parametrize(
    ("batches", "largest"),
    [
        ([[0], [1], [2]], [1]),
        ([[1], [3, 4], [2, 0]], [3, 4]),
        ([[3, 4], [1, 5]], [1, 5]),
        ([[0, 2, 1], [3, 4]], [0, 2, 1]),
    ],
)
def test_the_largest_batch(batches: list[list[int]], largest: list[int]) -> None:
    """By rows x the longest of either side, padding included."""
    plan = Plan([np.array(batch) for batch in batches], list(range(len(batches))))
    loader = TrainingBatches(lambda epoch: PlannedBatches(Sized(), plan))
    assert largest_batch(loader) == (largest, batches.index(largest))
    assert loader.state_dict() == {"epoch": 0, "taken": 0}


ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried to"),
    MemoryError("Unable to allocate 3 GiB"),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("error", ERRORS, ids=["gpu", "cpu", "python"])
def test_too_little_memory(fit: Fit, monkeypatch: pytest.MonkeyPatch, kind: str, error: Exception) -> None:
    def fail(self: Any, batch: Any) -> Tensor:
        raise error

    task, flags = KINDS[kind]
    monkeypatch.setattr(task, "loss", fail)
    code, said = fit(kind, "run", *flags)
    size = {"translation": "data.batch_tokens", "language": "data.streams, data.window"}[kind]
    assert code == 2 and "Traceback" not in said
    assert said.splitlines()[-1] == (
        f"seqlab fit: error: the first step needs more memory than there is: make batches smaller ({size}), and as "
        "many more of them a step (trainer.accumulate_grad_batches), or the model"
    )
    assert not Path("run").exists()


def test_too_little_memory_to_go_on(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Any, batch: Any) -> Tensor:
        raise ERRORS[0]

    assert fit("translation", "run")[0] == 0
    before = Path("run/checkpoints/last.ckpt").read_bytes()
    monkeypatch.setattr(Translation, "loss", fail)
    code, said = fit("translation", "run", "--resume", "--trainer.max_steps", "9")
    assert code == 2 and "Traceback" not in said
    assert said.splitlines()[-1] == (
        "seqlab fit: error: a step of this run needs more memory than there is here: go on with it where there is more"
    )
    assert Path("run/checkpoints/last.ckpt").read_bytes() == before


LIMITED = """
import resource, sys, torch, lightning.pytorch, datasets, seqlab.tasks
from seqlab.cli import main
from seqlab.training import preflight

original = preflight.try_step

def limited(*arguments):
    size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + (64 << 20), resource.RLIM_INFINITY))
    original(*arguments)

preflight.try_step = limited
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_batch_that_does_not_fit(tiny: list[str], corpus: Path, tmp_path: Path) -> None:
    """One of 25,000 tokens where 64 MB are left."""
    for side in ("en", "de"):
        (tmp_path / f"train.{side}").write_text((corpus / f"train.{side}").read_text(encoding="utf-8") * 12, "utf-8")
    flags = [*tiny, "--data.train", tmp_path / "train", "--data.batch_tokens", "60000", "--model.encoder_size", "256"]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, "fit", "--recipe", "translation", "--run", tmp_path / "run", *map(str, flags)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert done.stderr.splitlines()[-1].startswith("seqlab fit: error: the first step needs more memory than there is:")
    assert not (tmp_path / "run").exists()
