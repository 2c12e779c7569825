"""A fit on one or several CPUs, as a user starts it, and what each of its processes did."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

SCRIPT = Path(__file__).with_name("observed_fit.py")


def environment(**more: str) -> dict[str, str]:
    """The environment of a process with one thread, whatever the tests themselves run under."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "PL_"))}
    return {**inherited, "OMP_NUM_THREADS": "1", **more}


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Fit(NamedTuple):
    """A fit that has ended."""

    run: Path
    folder: Path
    """What its processes wrote down."""
    code: int
    out: str
    err: str

    def steps(self, world: int) -> list[list[dict[str, Any]]]:
        """For each optimizer step what each rank trained on, and its gradients."""
        count = len(list(self.folder.glob("step*-rank0.pt")))
        return [
            [torch.load(self.folder / f"step{step}-rank{rank}.pt") for rank in range(world)] for step in range(count)
        ]

    def scored(self, world: int, step: int) -> list[list[int]]:
        """The numbers of the examples that each rank scored in the validation after a step."""
        return [torch.load(self.folder / f"scored{step}-rank{rank}.pt") for rank in range(world)]

    def checkpoint(self, name: str = "last") -> dict[str, Any]:
        """A checkpoint of the run."""
        return torch.load(self.run / "checkpoints" / f"{name}.ckpt", weights_only=True)


@pytest.fixture
def fit(tmp_path: Path) -> Callable[..., Fit]:
    """Runs ``seqlab fit`` on several devices, observed, in a run of a name."""

    def run(name: str, *argv: str | Path, devices: int = 1, timeout: float = 600, **variables: str) -> Fit:
        folder = tmp_path / f"{name}-seen"
        folder.mkdir(exist_ok=True)
        flags = ["--run", tmp_path / name, *argv, *([] if "--resume" in argv else ["--trainer.devices", devices])]
        done = subprocess.run(
            [sys.executable, SCRIPT, folder, *map(str, flags)],
            env=environment(**variables),
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        return Fit(tmp_path / name, folder, done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train.txt and val.txt, of lines of 2 to 8 words."""
    folder, words = tmp_path_factory.mktemp("text"), ["the", "dog", "cat", "bird", "sees", "hears", "likes", "a", "fox"]
    for name, first, count in (("train", 0, 61), ("val", 5, 13)):
        lines = [
            " ".join(words[(first + line * 7 + place * place) % len(words)] for place in range(2 + line % 7))
            for line in range(count)
        ]
        (folder / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def language(text: Path) -> list[str]:
    """Flags of a small language model without dropout."""
    dropouts = ("input_dropout", "dropout", "embedding_dropout", "weight_drop")
    return [
        *("--recipe", "language-model", "--data.tokenizer.kind", "word", "--data.tokenizer.vocab_size", "40"),
        *("--data.train", str(text / "train.txt"), "--data.val", str(text / "val.txt")),
        *("--data.streams", "3", "--data.window", "7", "--model.embedding_size", "6", "--model.hidden_size", "5"),
        *("--model.tying", "false", "--trainer.accelerator", "cpu", "--trainer.log_every_n_steps", "5"),
        *(part for name in dropouts for part in (f"--model.{name}", "0")),
    ]
