"""A small run of a language model, trained once for all tests of commands that read one."""

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

import seqlab as package
from seqlab.tasks.language_model import LanguageModel

Seqlab = Callable[..., CompletedProcess]

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


def fit_language_model(seqlab: Seqlab, folder: Path, steps: int, streams: int) -> CompletedProcess:
    """Fits :data:`RECIPE` into the run of a folder."""
    (folder / "tiny.yaml").write_text(RECIPE.format(folder=folder, steps=steps, streams=streams))
    done = seqlab("fit", "--recipe", folder / "tiny.yaml", "--run", folder / "run")
    assert done.returncode == 0, done.stderr.decode()
    return done


@pytest.fixture(scope="session")
def fitted(seqlab: Seqlab, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A language model of lines such as "the dog sees the cat .", and what its fit ended with."""
    folder = tmp_path_factory.mktemp("language")
    lines = [f"the {a} {verb} the {b} ." for a in ANIMALS for verb in VERBS for b in ANIMALS]
    (folder / "train.txt").write_text("".join(f"{lines[n * 31 % 75]}\n" for n in range(600)), encoding="utf-8")
    (folder / "val.txt").write_text("the dog\n\nthe odd  dog sees the fox and it hears the\tcat .\nthe cat .\n" * 5)
    done = fit_language_model(seqlab, folder, steps=60, streams=3)
    return folder / "run", done.stderr.decode()


@pytest.fixture(scope="session")
def run(fitted: tuple[Path, str]) -> Path:
    return fitted[0]


@pytest.fixture(scope="session")
def model(run: Path) -> LanguageModel:
    model = package.load(run, device="cpu")
    assert isinstance(model, LanguageModel)
    return model
