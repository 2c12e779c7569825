"""Options of the decoder as a user has them: fitted, killed, resumed, used for translation, and wrongly set."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import seqlab as package
from seqlab.cli import main

from .logs import rows

FEEDING = ["--model.input_feeding", "true", "--model.coverage", "true"]
SAMPLING = ["--model.scheduled_sampling", "InverseSigmoid", "--model.scheduled_sampling.k", "20"]


@pytest.mark.usefixtures("one_thread")
def test_a_killed_run_with_scheduled_sampling_resumes_exactly(
    fit_and_kill: Callable, tiny: list[str], tmp_path: Path
) -> None:
    """With accumulation, averaged weights, input feeding, coverage and word dropout: bit for bit."""
    common = [
        *(
            "--recipe",
            "translation",
            *tiny,
            *FEEDING,
            *SAMPLING,
            "--model.dropout",
            "0.3",
            "--model.word_dropout",
            "0.1",
        ),
        *("--model.coverage_loss", "0.5", "--model.average", "EMA", "--model.average.decay", "0.9"),
        *("--trainer.accumulate_grad_batches", "2", "--trainer.max_steps", "45", "--trainer.val_check_interval", "34"),
        *("--checkpoint.every_n_steps", "10"),
    ]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert main(["fit", "--run", str(whole), *common]) == 0
    saved = fit_and_kill(killed, *common, step=10)
    assert saved["global_step"] < 40
    assert main(["fit", "--run", str(killed), "--resume"]) == 0
    expected, found = (torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in (whole, killed))
    for key in ("state_dict", "averaged"):
        assert expected[key].keys() == found[key].keys()
        assert all(torch.equal(value, found[key][name]) for name, value in expected[key].items())
    assert rows(whole) == rows(killed)


OPTIONS = {
    "feeding": FEEDING[:2],
    "coverage": [*FEEDING[2:], "--model.coverage_loss", "1", "--model.attention", "mlp"],
    "sampling": [*SAMPLING, *FEEDING],
    "linear": ["--model.scheduled_sampling", "Linear", "--model.scheduled_sampling.argmax", "true"],
    "words": ["--model.word_dropout", "0.2"],
}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_model_with_the_option_translates(
    tiny: list[str], tmp_path: Path, capfd: pytest.CaptureFixture, name: str
) -> None:
    """The same with other sentences beside it and alone, greedily and with a beam."""
    steps = ["--trainer.max_steps", "4", "--trainer.val_check_interval", "4"]
    assert main(["fit", "--recipe", "translation", "--run", str(tmp_path / "run"), *tiny, *steps, *OPTIONS[name]]) == 0
    capfd.readouterr()
    task = package.load(tmp_path / "run", "cpu")
    lines = ["The dog sees the cat.", "The fox calls.", "A bird hears the man and the boy."]
    for beam in (1, 3):
        together = task.translate(lines, beam=beam)
        assert together == [task.translate([line], beam=beam)[0] for line in lines]
        assert any(together)


WRONG = [
    (
        ["--model.attention", "none", "--model.input_feeding", "true"],
        "input_feeding hands on what attention found, but",
    ),
    (
        ["--model.attention", "none", "--model.coverage", "true"],
        "coverage is what attention has looked at, but attention",
    ),
    (
        ["--model.coverage_loss", "1"],
        "coverage_loss weighs the loss of coverage, which is off; set model.coverage",
    ),
    ([*FEEDING, "--model.coverage_loss", "-1"], "coverage_loss must be at least 0, not -1.0"),
    (["--model.word_dropout", "1"], "word_dropout must be at least 0 and below 1, not 1.0"),
    (
        [*FEEDING, "--model.engine", "native"],
        "input_feeding runs step by step, but engine native runs all steps at once",
    ),
    (
        [*FEEDING, "--model.normalization", "batch", "--model.decoder_layers", "2"],
        "input_feeding runs step by step, but normalization batch is over all steps; take layer or none",
    ),
    (
        [*SAMPLING, "--model.normalization", "batch", "--model.decoder_layers", "2"],
        "scheduled_sampling runs step by step, but normalization batch is over all steps; take layer or none",
    ),
    (
        [*SAMPLING, "--model.scheduled_sampling.k", "0.5"],
        "scheduled_sampling InverseSigmoid: k must be at least 1, not 0.5",
    ),
    (["--model.scheduled_sampling", "Cosine"], "model.scheduled_sampling: "),
]


@pytest.mark.parametrize(("argv", "expected"), WRONG, ids=lambda value: " ".join(value)[:40] if value else "")
def test_wrong_settings(
    tiny: list[str], tmp_path: Path, capfd: pytest.CaptureFixture, argv: list[str], expected: str
) -> None:
    assert main(["fit", "--recipe", "translation", "--run", str(tmp_path / "run"), *tiny, *argv]) == 2
    stderr = capfd.readouterr().err
    assert stderr.splitlines()[-1].startswith("seqlab fit: error: ") and expected in stderr.splitlines()[-1]
    assert "Traceback" not in stderr and not list(tmp_path.iterdir())
