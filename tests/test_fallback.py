"""Runs that go on although their last checkpoint is lost, and logs that hold each step once."""

import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

import seqlab as package
from seqlab.cli import main
from seqlab.training.checkpoints import load_checkpoint

from .logs import rows

SHORT = ["--trainer.val_check_interval", "7", "--checkpoint.every_n_steps", "6", "--model.dropout", "0.3"]


@pytest.fixture(scope="module")
def stopped(tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with checkpoints of its last step, 8, and of step 6 before; its best one is of step 7."""
    run = tmp_path_factory.mktemp("runs") / "stopped"
    assert main(["fit", "--recipe", "translation", "--run", str(run), *tiny, *SHORT, "--trainer.max_steps", "8"]) == 0
    return run


@pytest.fixture
def run(stopped: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(stopped, tmp_path / "run")


def saved(run: Path, name: str = "last") -> dict[str, Any]:
    return torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)


def steps(run: Path) -> dict[str, int]:
    return {path.stem: load_checkpoint(path)["global_step"] for path in sorted((run / "checkpoints").iterdir())}


def contents(run: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != ".lock"}


def scalars(run: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows of a run: by tag, step and value."""
    events = EventAccumulator(str(run / "logs"), size_guidance={"scalars": 0}).Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def logged(run: Path) -> Counter[tuple[str, int]]:
    """How often each tag and step are in the event files, whatever TensorBoard makes of them.

    Lightning adds the epoch to whatever it logs, which is twice where a step is logged and validated.
    """
    files = sorted((run / "logs").glob("*.tfevents.*"))
    events = [event for path in files for event in LegacyEventFileLoader(str(path)).Load()]
    return Counter((value.tag, event.step) for event in events for value in event.summary.value if value.tag != "epoch")


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def test_a_killed_run_goes_on_from_the_one_before(
    fit_and_kill: Callable, one_thread: None, tiny: list[str], tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    """kill -9, then half of the last checkpoint is lost; the run ends as one that nothing happened to, bit for bit,
    with each step in its logs once. Its best checkpoint is of a step that happens again, and is written again.
    """
    common = ["--recipe", "translation", *tiny, *SHORT, "--trainer.max_steps", "35"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert main(["fit", "--run", str(whole), *common]) == 0
    fit_and_kill(killed, *common, step=18)
    last, previous = (killed / "checkpoints" / name for name in ("last.ckpt", "previous.ckpt"))
    step = saved(killed, "previous")["global_step"]
    assert 12 <= step < 35
    last.write_bytes(last.read_bytes()[: last.stat().st_size // 2])
    best = saved(killed, "best")
    if best["global_step"] > step:
        best["state_dict"] = {name: value + 1 for name, value in best["state_dict"].items()}
        torch.save(best, killed / "checkpoints" / "best.ckpt")

    capfd.readouterr()
    assert main(["fit", "--run", str(killed), "--resume"]) == 0
    stderr = capfd.readouterr().err
    reason = "is no readable checkpoint: it is cut short, damaged, or something else"
    assert stderr.splitlines()[0] == f"{last} {reason}; going on from {previous}, of step {step}"
    assert f"run: {killed}, resumed at step {step}\n" in stderr
    for part in ("state_dict", "optimizer_states", "lr_schedulers"):
        assert same(saved(whole)[part], saved(killed)[part]), part
    assert same(saved(whole, "best")["state_dict"], saved(killed, "best")["state_dict"])
    assert rows(whole) == rows(killed)
    assert scalars(whole) == scalars(killed)
    assert logged(whole) == logged(killed) and set(logged(killed).values()) == {1}


def test_a_validation_between_accumulated_batches_is_logged_once(tiny: list[str], tmp_path: Path) -> None:
    """That after the ninth batch is told under step 4, as of which the run goes on: it goes, and comes back."""
    flags = ["--trainer.accumulate_grad_batches", "2", "--trainer.val_check_interval", "3", "--trainer.max_steps", "5"]
    fit = ["fit", "--run", str(tmp_path / "run")]
    assert main([*fit, "--recipe", "translation", *tiny, *flags, "--checkpoint.every_n_steps", "1"]) == 0
    run = Path(fit[-1])
    before, events = rows(run), logged(run)
    assert steps(run)["previous"] == 4 and events["val/bleu", 4] == 1
    (run / "checkpoints" / "last.ckpt").unlink()
    assert main([*fit, "--resume"]) == 0
    assert rows(run) == before and logged(run) == events


def flip(path: Path) -> None:
    """Changes a bit in the middle, which is in the numbers of a weight."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def test_a_resume_without_the_last_one(run: Path, capfd: pytest.CaptureFixture) -> None:
    """And what a killed process was writing goes, in the folders that only a fit writes to."""
    (run / "checkpoints" / "last.ckpt").unlink()
    for name in ("checkpoints/.best.ckpt.writing", "logs/.metrics.csv.writing", "checkpoints/.mine"):
        (run / name).write_bytes(b"half of it")
    assert main(["fit", "--run", str(run), "--resume", "--checkpoint.every_n_steps", "1"]) == 0
    assert "previous.ckpt, of step 6\n" in capfd.readouterr().err
    assert {path.name for path in run.rglob(".*")} == {".lock", ".mine"}
    (run / "checkpoints" / ".mine").unlink()
    assert steps(run) == {"best": 7, "last": 8, "previous": 7}


def test_both_are_lost(run: Path, capfd: pytest.CaptureFixture) -> None:
    """One line that names both, and nothing is touched."""
    last, previous = run / "checkpoints" / "last.ckpt", run / "checkpoints" / "previous.ckpt"
    last.write_bytes(b"")
    flip(previous)
    before = contents(run)
    assert main(["fit", "--run", str(run), "--resume"]) == 2
    stderr = capfd.readouterr().err
    assert stderr.startswith(
        f"seqlab fit: error: {last} is no readable checkpoint: it is empty; {previous} is no readable"
    )
    assert (
        stderr.endswith(": there is nothing to go on from; start over with --overwrite\n") and stderr.count("\n") == 1
    )
    assert contents(run) == before


def change(run: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    checkpoint = saved(run)
    change(checkpoint)
    torch.save(checkpoint, run / "checkpoints" / "last.ckpt")


def cut(checkpoint: dict[str, Any]) -> None:
    """As if the cell had come to have other parameters since."""
    weights = checkpoint["state_dict"]
    name = next(name for name in weights if "cells" in name and weights[name].ndim == 2)
    weights[name] = weights[name][:, :-1].clone()


def old(checkpoint: dict[str, Any]) -> None:
    checkpoint["seqlab"]["version"] = "0.0.1"


def refused(run: Path, capfd: pytest.CaptureFixture) -> str:
    """What a resume says that is refused, and that touches nothing."""
    before = contents(run)
    assert main(["fit", "--run", str(run), "--resume", "--trainer.max_steps", "9"]) == 2
    assert contents(run) == before
    stderr = capfd.readouterr().err
    assert "going on from" not in stderr
    return stderr


def test_a_whole_one_of_another_cell_is_no_reason_to_fall_back(run: Path, capfd: pytest.CaptureFixture) -> None:
    """By its name, and by its parameters; the other one of another seqlab, which is said as well."""
    change(run, cut)
    stderr = refused(run, capfd)
    assert re.search(
        r"last\.ckpt does not fit its own tokenizer or the configuration: \S+ is .* in it and .* here\n", stderr
    )
    change(run, old)
    stderr = refused(run, capfd)
    assert stderr.endswith(f" here (it is of seqlab 0.0.1, and this is {package.__version__})\n")

    config = run / "config.yaml"
    assert config.read_text().count("cell: gru") == 1
    config.write_text(config.read_text().replace("cell: gru", "cell: lstm"))
    assert "which this would change: model.cell: was gru, now lstm (only trainer.*, " in refused(run, capfd)


def test_a_whole_one_of_another_vocabulary_is_no_reason_to_fall_back(
    run: Path, tiny: list[str], tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    other = tmp_path / "other"
    flags = [*tiny, *SHORT, "--trainer.max_steps", "1", "--data.tokenizer.vocab_size", "57"]
    assert main(["fit", "--recipe", "translation", "--run", str(other), *flags]) == 0
    change(run, lambda checkpoint: checkpoint.update(ParallelText=saved(other)["ParallelText"]))
    capfd.readouterr()
    assert "is 60 x 16 in it and 57 x 16 here" in refused(run, capfd)
    shutil.copy(other / "checkpoints" / "last.ckpt", run / "checkpoints")
    assert "which this would change: data.tokenizer.vocab_size: was 57, now 60 (only " in refused(run, capfd)


def test_one_of_another_version_says_so_and_goes_on(run: Path, capfd: pytest.CaptureFixture) -> None:
    """With settings of checkpoint.* that are new to it."""
    change(run, old)
    more = ["--trainer.max_steps", "9", "--checkpoint.every_n_minutes", "30", "--checkpoint.every_n_steps", "4"]
    assert main(["fit", "--run", str(run), "--resume", *more]) == 0
    first = capfd.readouterr().err.splitlines()[0]
    assert first == (
        f"{run}/checkpoints/last.ckpt was saved by seqlab 0.0.1, and this is seqlab {package.__version__}: "
        "it may not end as it would have, bit for bit"
    )
    assert steps(run) == {"best": 7, "last": 9, "previous": 8}
    assert "every_n_minutes: 30.0" in (run / "config.yaml").read_text()


@pytest.mark.parametrize("command", ["translate", "evaluate", "export"])
def test_a_damaged_best_checkpoint(
    run: Path, command: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    """One line that says what to do about it; and that is true."""
    flip(run / "checkpoints" / "best.ckpt")
    monkeypatch.chdir(run.parent)
    argv = [command, "run", *(["exported"] if command == "export" else [])]
    assert main(argv) == 2
    stderr = capfd.readouterr().err
    assert stderr.startswith(f"seqlab {command}: error: run/checkpoints/best.ckpt is no readable checkpoint: ")
    assert stderr.endswith("; remove it to use run/checkpoints/last.ckpt\n") and stderr.count("\n") == 1
    (run / "checkpoints" / "best.ckpt").unlink()
    assert package.runs.Run(run).load()[1]["global_step"] == 8
    (run / "checkpoints" / "last.ckpt").unlink()
    assert package.runs.Run(run).load()[1]["global_step"] == 6
