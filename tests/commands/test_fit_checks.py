"""A run that would do nothing says why, before it is left alone for hours."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml

from seqlab.cli import main
from seqlab.commands.fit_checks import check_unchanged
from seqlab.errors import UserError

Fit = Callable[..., tuple[int, list[str]]]
LIMITS = ["--trainer.val_check_interval", "2", "--checkpoint.every_n_steps", "2"]
STEPS = [*LIMITS, "--trainer.max_steps", "4"]


@pytest.fixture
def fit(tiny: list[str], tmp_path: Path, capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Fit:
    """Fits the translation recipe into ``run``; returns the exit code and the lines on stderr that are not progress."""
    monkeypatch.chdir(tmp_path)

    def run(*argv: str) -> tuple[int, list[str]]:
        new = [] if "--resume" in argv else ["--recipe", "translation", *tiny]
        code = main(["fit", *new, "--run", "run", *argv])
        said = capfd.readouterr().err.splitlines()
        return code, [line for line in said if line.startswith(("seqlab fit: error: ", "trainer.", "model.optimizer"))]

    return run


def files(run: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in run.rglob("*") if path.is_file()}


ENDS = [
    ([*STEPS], "step 4: the run was ended by its trainer.max_steps, 4; give it more, or -1 for no limit"),
    (
        ["--trainer.max_steps", "99", "--trainer.max_epochs", "1", *LIMITS, "--data.batch_tokens", "900"],
        "step 3: the run was ended by its trainer.max_epochs, 1; give it more, or -1 for no limit",
    ),
    (
        ["--trainer.max_steps", "99", *LIMITS, "--checkpoint.patience", "2", "--model.optimizer.init_args.lr", "0"],
        "step 6: the run was ended by its checkpoint.patience, 2 validations without a better val/bleu; give it more, "
        "or null for no limit",
    ),
]


@pytest.mark.parametrize(("flags", "line"), ENDS, ids=["steps", "epochs", "patience"])
def test_a_run_that_has_ended(fit: Fit, flags: list[str], line: str) -> None:
    """Is left as it is."""
    assert fit(*flags)[0] == 0
    before = files(Path("run"))
    code, said = fit("--resume")
    assert (code, said[-1]) == (2, f"seqlab fit: error: nothing is left to do at {line}")
    assert files(Path("run")) == before


def test_settings_that_would_change_are_shown_with_both_values() -> None:
    """A few of them, long ones cut; what a run may change, and what is new and off, is none."""
    before = {
        "seed": 1,
        "data": {"train": "x" * 99, "val": "a", "seed": 1},
        "model": {"cell": "gru", "cutoffs": [3, 5], "dropout": 0.5, "norm": None, "tying": "", "word": True},
        "trainer": {"devices": 1},
    }
    now = {
        "data": {"train": "y", "val": "b", "seed": 7},
        "model": {"cell": "gru", "cutoffs": None, "dropout": 0.0, "norm": "batch", "tying": "no", "added": False},
        "trainer": {"devices": 2},
        "seed": 7,
    }
    checkpoint = {"seqlab": {"config": yaml.safe_dump(before)}}
    with pytest.raises(UserError) as error:
        check_unchanged(SimpleNamespace(dump=lambda: yaml.safe_dump(now)), checkpoint)
    assert str(error.value) == (
        "--resume goes on as the run began, which this would change: data.seed: was 1, now 7; "
        f"data.train: was {'x' * 60}..., now y; model.cutoffs: was [3, 5], now null; model.dropout: was 0.5, now 0.0; "
        "model.norm: was null, now batch, and 3 more (only trainer.*, checkpoint.*, data.val, data.test and "
        "data.workers may change)"
    )
    check_unchanged(SimpleNamespace(dump=lambda: yaml.safe_dump(before | {"trainer": {}})), checkpoint)


def test_a_run_whose_time_is_over(fit: Fit) -> None:
    assert fit("--trainer.max_steps", "99999", *LIMITS[2:], "--trainer.max_time", "00:00:00:01")[0] == 0
    code, said = fit("--resume")
    assert code == 2 and said[-1].endswith(
        "the run was ended by its trainer.max_time; give it more, or null for no limit"
    )
    code, said = fit("--trainer.max_time", "00:00:00:00", "--overwrite")
    assert (code, said) == (
        2,
        ["seqlab fit: error: the run ended before its first step: it was told to stop (trainer.max_time)"],
    )
    assert not Path("run").exists()


def test_a_run_without_its_summary_gets_it(fit: Fit) -> None:
    """As one that was killed just before its end."""
    assert fit(*STEPS)[0] == 0
    summary, last = Path("run/summary.json"), Path("run/checkpoints/last.ckpt")
    expected, before = summary.read_text(), torch.load(last, weights_only=True)["state_dict"]
    for text in (None, "{", expected.replace('"steps": 4', '"steps": 2')):
        summary.unlink() if text is None else summary.write_text(text)
        assert fit("--resume") == (0, [])
        assert '"steps": 4' in summary.read_text()
    after = torch.load(last, weights_only=True)["state_dict"]
    assert all(torch.equal(value, after[name]) for name, value in before.items())


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (
            ["--model.optimizer.init_args.lr", "0"],
            "model.optimizer: the learning rate is 0: training will change no weight",
        ),
        (
            ["--trainer.limit_val_batches", "0"],
            "trainer.limit_val_batches 0: there will be no validation, so no best checkpoint, and nothing that waits "
            "for val/bleu",
        ),
        (
            ["--trainer.val_check_interval", "9", "--trainer.accumulate_grad_batches", "2"],
            "trainer.val_check_interval 9 is more than all 8 batches of the run: there will be no validation, so no "
            "best checkpoint, and nothing that waits for val/bleu",
        ),
    ],
    ids=["rate", "no batches", "too late"],
)
def test_what_is_said_beforehand(fit: Fit, flags: list[str], line: str) -> None:
    """Once; the run is trained all the same."""
    assert fit(*STEPS, *flags) == (0, [line])
    assert Path("run/checkpoints/last.ckpt").is_file()


def test_a_run_that_is_validated_at_its_last_step_is_fine(fit: Fit) -> None:
    flags = ["--trainer.val_check_interval", "8", "--trainer.accumulate_grad_batches", "2"]
    assert fit(*STEPS, *flags) == (0, [])
    assert Path("run/checkpoints/best.ckpt").is_file()


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (
            ["--trainer.val_check_interval", "99", "--trainer.check_val_every_n_epoch", "1"],
            r"trainer.val_check_interval 99 is more than the 18 batches of an epoch: without "
            "trainer.check_val_every_n_epoch (null) batches are counted across epochs",
        ),
        (["--training.freeze", "*"], "training.freeze: * leaves no parameter to train"),
        (["--trainer.max_steps", "0"], "trainer.max_steps must be at least 1, or -1 for no limit, not 0"),
    ],
    ids=["interval", "frozen", "steps"],
)
def test_what_is_refused(fit: Fit, flags: list[str], line: str) -> None:
    code, said = fit(*STEPS, *flags)
    assert (code, said[-1]) == (2, f"seqlab fit: error: {line}")
    assert not Path("run").exists()
