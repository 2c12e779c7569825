"""A process that fails ends the whole fit, soon and with a line; what was saved before stays whole."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

LONG = [
    *("--recipe", "translation", "--trainer.max_steps", "100000", "--trainer.val_check_interval", "100000"),
    *("--checkpoint.every_n_steps", "2"),
]
LOST = re.compile(
    r"seqlab fit: error: rank 0 lost touch with the other 1 at step 5: .* go on from the last checkpoint with: "
    r"seqlab fit --run \S+ --resume"
)


def spoken(err: str) -> list[str]:
    """What the command says at the end of a fit: no word of Python's, and none of the fit's beginning."""
    return [line for line in err.splitlines() if line and not line.startswith(("data: ", "model: ", "run: "))]


@pytest.mark.parametrize(
    ("how", "before"),
    [
        ("kill", []),
        pytest.param("exit", [], marks=pytest.mark.slow),
        pytest.param("tell", ["seqlab fit: error: rank 1: on purpose"], marks=pytest.mark.slow),
    ],
)
def test_a_process_that_is_lost(fit: Callable, tiny: list[str], how: str, before: list[str]) -> None:
    done = fit("run", *tiny, *LONG, devices=2, timeout=150, FAIL=f"1:5:{how}")
    assert done.code == 2, done.err
    lines = spoken(done.err)
    assert sorted(lines[:-1]) == before or sorted(lines[1:]) == before
    assert [line for line in lines if LOST.fullmatch(line)], done.err
    assert "Traceback" not in done.err
    assert done.checkpoint()["global_step"] == 4
    assert not list((done.run / "checkpoints").glob("*tmp*"))


@pytest.mark.slow
def test_an_error_of_the_program_shows_where(fit: Callable, tiny: list[str]) -> None:
    """The traceback is that of the process that failed; the other does not add its own."""
    done = fit("run", *tiny, *LONG, devices=2, timeout=150, FAIL="1:5:raise")
    assert done.code != 0
    assert "ZeroDivisionError: on purpose" in done.err and done.err.count("Traceback") == 1
    assert [line for line in done.err.splitlines() if LOST.fullmatch(line)], done.err
    assert done.checkpoint()["global_step"] == 4


@pytest.mark.slow
def test_the_run_goes_on(fit: Callable, tiny: list[str], tmp_path: Path) -> None:
    """From its last checkpoint, to the weights of a run in which nothing failed."""
    short = [*LONG, "--trainer.max_steps", "9"]
    assert fit("whole", *tiny, *short, devices=2).code == 0
    assert fit("run", *tiny, *short, devices=2, FAIL="1:5:kill").code == 2
    done = fit("run", "--resume")
    assert done.code == 0, done.err
    whole = torch.load(tmp_path / "whole" / "checkpoints" / "last.ckpt", weights_only=True)
    assert done.checkpoint()["global_step"] == whole["global_step"] == 9
    assert all(torch.equal(value, done.checkpoint()["state_dict"][name]) for name, value in whole["state_dict"].items())


@pytest.mark.slow
def test_the_first_process_is_lost(fit: Callable, tiny: list[str]) -> None:
    """Nobody is left to end the other: it ends by itself, and says why."""
    done = fit("run", *tiny, *LONG, devices=2, timeout=150, FAIL="0:5:kill")
    assert done.code == -9
    assert "seqlab fit: error: rank 1 lost touch with the other 1 at step 5" in done.err and "Traceback" not in done.err
    assert done.checkpoint()["global_step"] == 4


@pytest.mark.slow
def test_warnings_are_told_once(fit: Callable, tiny: list[str], corpus: Path, tmp_path: Path) -> None:
    """And so is everything else: two devices say what one does."""
    for side in ("en", "de"):
        text = (corpus / f"val.{side}").read_text(encoding="utf-8")
        (tmp_path / f"val.{side}").write_text(f"{text}☃ ☃ ☃ ☃ ☃ ☃ ☃ ☃ ☃\n" * 3, encoding="utf-8")
    flags = [*tiny, "--recipe", "translation", "--data.val", tmp_path / "val"]
    steps = ["--trainer.max_steps", "2", "--trainer.val_check_interval", "2"]
    runs = [fit(f"on-{devices}", *flags, *steps, devices=devices) for devices in (1, 2)]
    assert all(done.code == 0 for done in runs)
    one, two = ([line for line in done.err.splitlines() if line.startswith("data:")] for done in runs)
    assert one == two and any("unk" in line for line in one), one
    words = [[line.split()[0] for line in done.out.splitlines()] for done in runs]
    assert words[0] == words[1]
