"""A small run of a language model, trained once for all tests of commands that read one, and ``seqlab score``."""

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import seqlab as package
from seqlab.cli import main
from seqlab.tasks.language_model import LanguageModel

from ..conftest import fit_here

RECIPE = """
task: seqlab.tasks.language_model.LanguageModel
data_module: seqlab.data.language_text.LanguageText
data:
  train: {folder}/train.txt
  val: {folder}/val.txt
  tokenizer: {{kind: word, vocab_size: 40}}
  streams: 7
  window: 11
  validation_streams: {streams}
model:
  cell: gru
  embedding_size: 24
  hidden_size: 24
  layers: 1
  metrics: {{perplexity: Perplexity}}
  optimizer: {{class_path: torch.optim.Adam, init_args: {{lr: 0.02}}}}
trainer:
  accelerator: cpu
  max_steps: {steps}
  max_epochs: -1
  num_sanity_val_steps: 0
  val_check_interval: {steps}
  check_val_every_n_epoch: null
"""
"""A small language model of files train.txt and val.txt in a folder."""
ANIMALS = ("dog", "cat", "bird", "horse", "fox")
VERBS = ("sees", "hears", "likes")


def fit_language_model(folder: Path, steps: int, streams: int) -> str:
    """Fits :data:`RECIPE` into the run of a folder; returns what the fit says on stderr."""
    (folder / "tiny.yaml").write_text(RECIPE.format(folder=folder, steps=steps, streams=streams))
    return fit_here("--recipe", folder / "tiny.yaml", "--run", folder / "run")


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A language model of lines such as "the dog sees the cat .", and what its fit ended with."""
    folder = tmp_path_factory.mktemp("language")
    lines = [f"the {a} {verb} the {b} ." for a in ANIMALS for verb in VERBS for b in ANIMALS]
    (folder / "train.txt").write_text("".join(f"{lines[n * 31 % 75]}\n" for n in range(600)), encoding="utf-8")
    (folder / "val.txt").write_text("the dog\n\nthe odd  dog sees the fox and it hears the\tcat .\nthe cat .\n" * 5)
    return folder / "run", fit_language_model(folder, steps=60, streams=3)


@pytest.fixture(scope="session")
def run(fitted: tuple[Path, str]) -> Path:
    return fitted[0]


@pytest.fixture(scope="session")
def model(run: Path) -> LanguageModel:
    model = package.load(run, device="cpu")
    assert isinstance(model, LanguageModel)
    return model


@pytest.fixture
def run_score(
    capfdbinary: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, list[str], list[str]]]:
    """Runs ``seqlab score``; gives its exit code and the lines of stdout and of stderr."""

    def run(*argv: str | Path, stdin: str | bytes = b"") -> tuple[int, list[str], list[str]]:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        code = main(["score", *map(str, argv)])
        stdout, stderr = (text.decode() for text in capfdbinary.readouterr())
        return code, stdout.splitlines(), stderr.splitlines()

    return run


def write_lines(path: Path, lines: list[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path
