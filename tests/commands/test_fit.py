"""What a fit does before its first step, when that fails, and what it ends with."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from seqlab.cli import main
from seqlab.commands import fit_checks
from seqlab.config import Settings
from seqlab.tasks import Translation

Fit = Callable[..., tuple[int, str, str]]


@pytest.fixture
def fit(tiny: list[str], tmp_path: Path, capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Fit:
    """Fits the translation recipe for a few steps into ``run``; returns exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*argv: str) -> tuple[int, str, str]:
        steps = ["--run", "run", "--trainer.max_steps", "4", "--trainer.val_check_interval", "2"]
        code = main(["fit", "--recipe", "translation", *tiny, *steps, *argv])
        return code, *capfd.readouterr()

    return run


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


LATE = [
    (["--model.optimizer", "SparseAdam"], "SparseAdam does not support dense gradients"),
    (["--model.attention", "luong"], "no attention named 'luong'"),
    (["--model.dropout", "1.5"], "dropout must be between 0 and 1, not 1.5"),
    (["--training.freeze", "embedding"], "did you mean '*embedding*'"),
    (["--checkpoint.monitor", "val/blue"], "no score named 'val/blue'; did you mean 'val/bleu'?"),
    (["--trainer.max_epochs", "0"], "trainer.max_epochs must be at least 1"),
    (["--trainer.check_val_every_n_epoch", "0"], "trainer.check_val_every_n_epoch must be at least 1"),
    (
        ["--data.target_tokenizer", '{"vocab_size": 60}'],
        "model.tying three-way has one embedding matrix for both sides, but data.target_tokenizer",
    ),
]


@pytest.mark.parametrize(("flags", "expected"), LATE, ids=[" ".join(flags)[:40] for flags, _ in LATE])
def test_settings_are_checked_before_the_data_is_touched(
    fit: Fit, monkeypatch: pytest.MonkeyPatch, flags: list[str], expected: str
) -> None:
    """And before an old run is replaced."""
    kept = Path("run/config.yaml")
    kept.parent.mkdir()
    kept.write_text("precious")
    monkeypatch.setattr("seqlab.data.parallel_text.ParallelText.text", lambda self, split: pytest.fail("read"))
    code, stdout, stderr = fit("--overwrite", *flags)
    *told, last = stderr.splitlines()
    assert (code, stdout) == (2, "") and all("has defaults of its own" in line for line in told)
    assert last.startswith("seqlab fit: error: ") and expected in last
    assert kept.read_text() == "precious" and list(kept.parent.iterdir()) == [kept]


@pytest.mark.parametrize("split", ["val", "test"])
def test_corpora_are_looked_up_before_one_is_read(fit: Fit, monkeypatch: pytest.MonkeyPatch, split: str) -> None:
    monkeypatch.setattr("seqlab.data.parallel_text.parallel_corpus", lambda *_: pytest.fail("read"))
    code, _, stderr = fit(f"--data.{split}", "my/nix")
    assert code == 2 and "seqlab fit: error: no file my/nix.en ('my/nix' is taken as a path prefix" in stderr
    assert not Path("run").exists()


@pytest.mark.parametrize("there", [False, True])
def test_a_place_that_cannot_be_written_is_told_before_the_data_is_touched(
    fit: Fit, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    if there:
        Path("run").mkdir()
    monkeypatch.setattr("os.access", lambda path, _: Path(path).resolve() != Path("run" if there else ".").resolve())
    monkeypatch.setattr("seqlab.data.parallel_text.ParallelText.text", lambda self, split: pytest.fail("read"))
    code, _, stderr = fit()
    assert (code, stderr) == (2, "seqlab fit: error: cannot write to run: Permission denied\n")
    assert Path("run").exists() == there


def test_the_rehearsal_changes_no_number(fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rehearsed = []
    original = Settings.rehearse_task
    monkeypatch.setattr(Settings, "rehearse_task", lambda self: rehearsed.append(original(self)) or rehearsed[0])
    assert fit("--model.dropout", "0.3")[0] == 0
    assert isinstance(rehearsed[0], Translation)
    monkeypatch.setattr(fit_checks, "rehearse", lambda *arguments: None)
    assert fit("--model.dropout", "0.3", "--run", "other")[0] == 0
    one, other = weights(tmp_path / "run"), weights(tmp_path / "other")
    assert one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("shapes\n cannot be multiplied"), "the first step failed in "),
        (torch.OutOfMemoryError("CUDA out of memory"), "the first step needs more memory than there is: make batches"),
    ],
    ids=["torch", "memory"],
)
def test_a_first_step_that_fails_leaves_nothing(
    fit: Fit, monkeypatch: pytest.MonkeyPatch, error: Exception, expected: str
) -> None:
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(Translation, "loss", fail)
    code, _, stderr = fit()
    last = stderr.splitlines()[-1]
    assert code == 2 and "Traceback" not in stderr and last.startswith(f"seqlab fit: error: {expected}")
    assert "first step failed" not in last or (f"{__file__}, line " in last and "shapes cannot be multiplied" in last)
    assert not Path("run").exists()


def test_a_mistake_in_code_keeps_its_traceback(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Translation, "loss", lambda *arguments: {}["missing"])
    with pytest.raises(KeyError, match="missing"):
        fit()
    assert not Path("run").exists()


def test_a_later_failure_keeps_the_run(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Translation.loss

    def fail(self: Translation, batch: object) -> torch.Tensor:
        if self.global_step == 2:
            raise RuntimeError("later")
        return original(self, batch)

    monkeypatch.setattr(Translation, "loss", fail)
    with pytest.raises(RuntimeError, match="later"):
        fit("--checkpoint.every_n_steps", "1")
    assert Path("run/checkpoints/last.ckpt").is_file()


@pytest.mark.parametrize(
    ("flags", "cause", "words"),
    [
        ([], "max_steps", "trainer.max_steps, 4"),
        (["--trainer.max_steps", "999", "--trainer.max_epochs", "1"], "max_epochs", "trainer.max_epochs, 1"),
        (
            ["--trainer.max_steps", "999", "--checkpoint.patience", "1", "--model.optimizer.init_args.lr", "0"],
            "early stopping",
            "early stopping: no better val/bleu in 1 validation (checkpoint.patience)",
        ),
        (["--trainer.max_steps", "99999", "--trainer.max_time", "00:00:00:01"], "max_time", "trainer.max_time"),
    ],
    ids=["steps", "epochs", "patience", "time"],
)
def test_what_a_fit_ends_with(fit: Fit, flags: list[str], cause: str, words: str) -> None:
    """Few examples, then what one looks for: scores and what to do next come last."""
    code, stdout, stderr = fit(*flags)
    assert code == 0, stderr
    assert stderr.count("\nreference") == 3
    assert json.loads(Path("run/summary.json").read_text())["ended_by"] == cause
    rows = dict(line.split("  ", 1) for line in stdout.splitlines() if not line.startswith(" "))
    assert rows["ended by"].strip() == words
    assert list(rows)[-5:] == ["best checkpoint", "val/bleu", "val/perplexity", "val/accuracy", "next"]
    assert rows["val/bleu"].endswith(" *") and not rows["val/accuracy"].endswith("*")
    assert [line.split("seqlab")[1] for line in stdout.splitlines()[-2:]] == [
        " evaluate run",
        " translate run < in.txt",
    ]
