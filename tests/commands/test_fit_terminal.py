"""What a fit says on a terminal of 80 columns, and in a pipe."""

import re
from pathlib import Path

import pytest

from ..conftest import fit_here
from ..terminal import on_terminal

STEPS = ["--trainer.max_steps", "4", "--trainer.val_check_interval", "2"]
SCORES = r"val/bleu +\S+  val/perplexity +\S+  val/accuracy +\S+"


@pytest.fixture(scope="module")
def flags(tiny: list[str]) -> list[str]:
    return ["--recipe", "translation", *tiny, *STEPS]


def test_no_line_is_too_long_for_a_terminal(flags: list[str], tmp_path: Path) -> None:
    run = "a-run-with-a-name-of-some-length-as-those-of-a-comparison-have"
    code, lines = on_terminal(80, "fit", *flags, "--run", run, cwd=tmp_path)
    assert code == 0, lines
    shown = [part for line in lines for part in line.split("\r")]  # a bar is drawn again and again
    long = [line for line in shown if len(re.sub(r"\x1b\[\w", "", line)) > 80]
    assert all(run in line for line in long), long  # a path or a command is not broken
    assert any(re.fullmatch(r"step +4  epoch +\d+  train/loss +\S+  [\d,]+ tokens/s", line) for line in shown)
    assert any(re.fullmatch(rf"    {SCORES}(  \*)?", line) for line in shown)
    text = "\n".join(lines)
    assert f"\n                 (tensorboard --logdir {run}/logs)\n" in text
    assert f"next             seqlab evaluate {run}\n                 seqlab translate {run} < in.txt\n" in text
    assert "model: Translation, " in text and "\n  decoder gru of seqlab " in text


def test_a_pipe_has_a_line_for_each_validation(flags: list[str], tmp_path: Path) -> None:
    stderr = fit_here(*flags, "--run", tmp_path / "run")
    steps = [line for line in stderr.splitlines() if line.startswith("step ")]
    assert len(steps) == 2
    for line in steps:
        assert re.fullmatch(rf"step +\d+  epoch +\d+  train/loss +\S+  {SCORES}  [\d,]+ tokens/s(  \*)?", line), line
