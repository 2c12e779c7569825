"""The short form of the stress script, and that what it compares by sees every difference."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

SCRIPT = Path(__file__).with_name("kill_and_resume.py")


@pytest.fixture(scope="module")
def comparing() -> ModuleType:
    specification = importlib.util.spec_from_file_location("comparing", SCRIPT.with_name("comparing.py"))
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes what there is to compare of a run, of which a few values may be others."""

    def run(name: str, *, weight=0.5, moment=0.25, taken=3, score=1.5, summary=9, last="2,0,5.5,0.75,,8.5\n") -> Path:
        folder = tmp_path / name
        (folder / "checkpoints").mkdir(parents=True)
        (folder / "logs").mkdir()
        text = "step,epoch,seconds,train/loss,val/bleu,tokens/s\n1,0,2.5,0.5,,7\n1,0,3.5,,3.5,\n"
        (folder / "logs" / "metrics.csv").write_text(text + last)
        (folder / "summary.json").write_text(json.dumps({"steps": summary, "wall_seconds": len(name)}))
        best = str(folder / "checkpoints" / "best.ckpt")
        checkpoint = {
            "state_dict": {"w": torch.tensor([weight, float("nan")])},
            "optimizer_states": [{"state": {0: {"exp_avg": torch.tensor([moment])}}}],
            "callbacks": {"SaveBest": {"best": score, "path": best}, "Throughput": {"seconds": len(name)}},
            "Data": {"position": {"epoch": 0, "taken": taken}},
        }
        for file in ("best.ckpt", "last.ckpt"):
            torch.save(checkpoint, folder / "checkpoints" / file)
        return folder

    return run


def test_times_and_places_make_no_difference(comparing: ModuleType, write: Callable[..., Path]) -> None:
    assert comparing.differences(write("one"), write("another", last="2,0,7.5,0.75,,4.25\n")) == []


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"weight": 0.5 + 2**-24}, "state_dict.w"),
        ({"moment": -0.25}, "optimizer_states[0].state.0.exp_avg"),
        ({"taken": 4}, "Data.position.taken"),
        ({"score": 1.5 + 2**-52}, "callbacks.SaveBest.best"),
        ({"summary": 8}, "summary.json.steps"),
        ({"last": ""}, "metrics.csv: 3 rows are now 2"),
        ({"last": "2,0,5.5,0.7500001,,8\n"}, "metrics.csv, line 4, train/loss"),
        ({"last": "2,0,5,0.75,,8\n2,0,6,0.75,,8\n"}, "metrics.csv: step 2 is there twice"),
    ],
)
def test_a_difference_is_named(comparing: ModuleType, write: Callable[..., Path], change: dict, where: str) -> None:
    told = comparing.differences(write("one"), write("other", **change))
    assert any(where in text for text in told), told


def test_zero_has_a_sign(comparing: ModuleType) -> None:
    assert comparing.same_bits(*(torch.tensor([float("nan"), 0.0]) for _ in range(2)))
    assert not comparing.same_bits(torch.tensor([0.0]), torch.tensor([-0.0]))
    assert not comparing.same_bits(torch.tensor(1.0), torch.tensor(1))


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "names"), [(1, ["workers", "documents"]), (2, ["epochs-ntasgd", "two"])])
def test_killed_runs_end_as_others(seed: int, names: list[str]) -> None:
    """Two kill points each; the long form has more of everything."""
    command = [sys.executable, str(SCRIPT), "--points", "2", "--seed", str(seed), "--only", *names]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert done.stdout.count("| bit-equal |") == 2 and "2 of 2 runs are bit-equal" in done.stdout
