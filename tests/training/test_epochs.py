"""Epochs of different numbers of batches: none is cut, and a resume in a later one, or between two, is exact."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback

from seqlab.cli import main
from seqlab.commands.fit import make_trainer
from seqlab.data import batches as module
from seqlab.runs import Run
from seqlab.training.logs import read_rows

FLAGS = [
    *("fit", "--recipe", "translation", "--data.tokenizer.vocab_size", "60", "--data.tokenizer.kind", "character"),
    *("--data.batch_tokens", "120", "--model.embedding_size", "4", "--model.encoder_size", "3"),
    *("--model.decoder_size", "5", "--trainer.accelerator", "cpu", "--checkpoint.every_n_steps", "7"),
]


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Flags for 90 pairs of very different lengths, sorted in small pools: the epochs differ in their batches."""
    monkeypatch.setattr(module, "POOL", 8)
    random = np.random.default_rng(5)
    for split, size in (("train", 90), ("val", 4)):
        for language in ("en", "de"):
            lines = ("".join(random.choice(list("abc d"), random.integers(1, 40))) + "a" for _ in range(size))
            (tmp_path / f"{split}.{language}").write_text("".join(f"{line}\n" for line in lines))
    return [f"--data.{split}={tmp_path / split}" for split in ("train", "val")]


def test_every_epoch_is_whole(corpus: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[int, list[int]] = {}

    class Count(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            seen.setdefault(trainer.current_epoch, []).extend(batch.index_B.tolist())
            lengths[trainer.current_epoch] = batch_idx + 1

    lengths: dict[int, int] = {}

    def with_count(run, settings):
        trainer, throughput = make_trainer(run, settings)
        trainer.callbacks.insert(0, Count())
        return trainer, throughput

    monkeypatch.setattr("seqlab.commands.fit.make_trainer", with_count)
    steps = ["--trainer.max_epochs", "5", "--trainer.max_steps", "1000", "--trainer.val_check_interval", "50"]
    assert main([*FLAGS, *corpus, *steps, "--run", str(tmp_path / "run")]) == 0
    assert len(set(lengths.values())) > 1, "the epochs differ in their number of batches"
    assert [sorted(indices) for indices in seen.values()] == [list(range(90))] * 5


@pytest.mark.parametrize("between", [False, True])
def test_a_resume_in_a_later_epoch_or_between_two_is_exact(corpus: list[str], tmp_path: Path, between: bool) -> None:
    """Between two of which the second has more batches."""

    def fit(run: Path, *argv: str) -> dict[str, torch.Tensor]:
        validate = ["--trainer.val_check_interval", "50", "--trainer.log_every_n_steps", "1"]
        assert main([*FLAGS, *corpus, *validate, "--model.schedule", "Constant", "--run", str(run), *argv]) == 0
        return torch.load(Run(run).last, weights_only=True)["state_dict"]

    whole = fit(tmp_path / "whole", "--trainer.max_steps", "170")
    rows = [row for row in read_rows(Run(tmp_path / "whole").metrics) if "train/loss" in row]
    ends = [int(row["step"]) for row, after in pairwise(rows) if row["epoch"] != after["epoch"]]
    lengths = [after - before for before, after in pairwise([0, *ends])]
    longer = [end for end, (before, after) in zip(ends, pairwise(lengths), strict=False) if before < after]
    assert longer, "an epoch has more batches than the one before"
    for stop in longer[:1] if between else (60, 95):
        fit(tmp_path / f"cut{stop}", "--trainer.max_steps", str(stop))
        resumed = fit(tmp_path / f"cut{stop}", "--trainer.max_steps", "170", "--resume")
        assert all(torch.equal(value, resumed[name]) for name, value in whole.items()), stop
