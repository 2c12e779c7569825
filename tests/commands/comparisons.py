"""A recipe that trains in a second, and ``seqlab compare`` in a process of its own."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

Seqlab = Callable[..., subprocess.CompletedProcess]

RECIPE = """
task: seqlab.tasks.LanguageModel
data_module: seqlab.data.language_text.LanguageText
data:
  {{train: {folder}/train.txt, val: {folder}/val.txt, streams: 7, window: 11,
  tokenizer: {{kind: word, vocab_size: 40}}}}
model:
  {{cell: gru, embedding_size: 8, hidden_size: 12, layers: 1, tying: false, schedule: {{class_path: Cosine}},
  metrics: {{perplexity: Perplexity, accuracy: Accuracy}},
  optimizer: {{class_path: torch.optim.Adam, init_args: {{lr: 0.02}}}}}}
checkpoint: {{every_n_steps: 3}}
trainer:
  {{accelerator: cpu, max_steps: 20, max_epochs: -1, num_sanity_val_steps: 0, val_check_interval: 10,
  check_val_every_n_epoch: null, log_every_n_steps: 5}}
"""
ANIMALS, VERBS = ("dog", "cat", "bird", "horse", "fox"), ("sees", "hears", "likes")


def write_recipe(folder: Path) -> Path:
    """A language model that trains in a second, and its text."""
    lines = [f"the {a} {verb} the {b} ." for a in ANIMALS for verb in VERBS for b in ANIMALS]
    for split, count in (("train", 200), ("val", 200)):
        (folder / f"{split}.txt").write_text("".join(f"{lines[n * 31 % 75]}\n" for n in range(count)))
    (folder / "tiny.yaml").write_text(RECIPE.format(folder=folder))
    return folder / "tiny.yaml"


def compare(seqlab: Seqlab, out: Path, *flags: str | Path, code: int = 0) -> str:
    """Runs the command; returns what it printed."""
    done = seqlab("compare", "--out", out, *flags)
    assert done.returncode == code, done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()
    return done.stdout.decode() + done.stderr.decode()


def read(out: Path) -> dict[str, Any]:
    return json.loads((out / "results.json").read_text())
