"""The ways to start a fit on several devices or nodes: all train the same weights, those of one process."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

STEPS = [
    *("--recipe", "translation", "--trainer.max_steps", "4", "--trainer.val_check_interval", "2"),
    *("--trainer.precision", "64-true", "--model.dropout", "0", "--data.batch_tokens", "140"),
]
TORCHRUN = [
    *("-m", "torch.distributed.run", "--nnodes", "2", "--nproc_per_node", "1", "--rdzv_backend", "c10d"),
    *("--rdzv_id", "1", "--local_addr", "127.0.0.1"),
]


def environment(**more: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "PL_"))}
    return {**inherited, "OMP_NUM_THREADS": "1", **more}


def together(commands: list[list[str]], environments: list[dict[str, str]]) -> list[tuple[int, str, str]]:
    """Runs processes side by side: exit code, stdout and stderr of each."""
    processes = [
        subprocess.Popen(
            [sys.executable, *command], env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for command, variables in zip(commands, environments, strict=True)
    ]
    try:
        ends = [process.communicate(timeout=600) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, *end) for process, end in zip(processes, ends, strict=True)]


def by_torchrun(argv: list[str], port: int) -> list[tuple[int, str, str]]:
    # After --, since torchrun would take --run for the beginning of its own --run-path.
    command = [*TORCHRUN, "--rdzv_endpoint", f"localhost:{port}", "-m", "--", "seqlab", "fit", *argv]
    return together([command] * 2, [environment()] * 2)


def by_slurm(argv: list[str], port: int) -> list[tuple[int, str, str]]:
    """What srun does: a process for each task, with variables that say which."""
    job = {"SLURM_JOB_ID": "1234", "SLURM_JOB_NAME": "fit", "SLURM_NODELIST": "127.0.0.1", "MASTER_PORT": str(port)}
    job |= {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "1", "SLURM_NNODES": "2", "SLURM_LOCALID": "0"}
    tasks = [environment(**job, SLURM_PROCID=number, SLURM_NODEID=number) for number in "01"]
    return together([["-m", "seqlab", "fit", *argv]] * 2, tasks)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


@pytest.fixture(scope="module")
def here(seqlab: Callable, tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two processes on one machine, which the command starts itself."""
    run = tmp_path_factory.mktemp("runs") / "here"
    done = seqlab("fit", "--run", run, *tiny, *STEPS, "--trainer.devices", "2")
    assert done.returncode == 0, done.stderr.decode()
    return run


@pytest.mark.slow
def test_one_process_that_accumulates(seqlab: Callable, tiny: list[str], here: Path, tmp_path: Path) -> None:
    run = tmp_path / "one"
    # The epoch has an even number of batches, so that two devices have the same ones: none needs to be split.
    accumulated = ["--trainer.accumulate_grad_batches", "2", "--trainer.val_check_interval", "4"]
    done = seqlab("fit", "--run", run, *tiny, *STEPS, *accumulated)
    assert done.returncode == 0, done.stderr.decode()
    two, one = weights(here), weights(run)
    assert two.keys() == one.keys()
    for name in two:
        torch.testing.assert_close(two[name], one[name], rtol=1e-12, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("launch", [by_torchrun, by_slurm])
def test_two_nodes(
    tiny: list[str], here: Path, tmp_path: Path, free_port: int, launch: Callable[..., list[tuple[int, str, str]]]
) -> None:
    run = tmp_path / "nodes"
    flags = ["--run", str(run), *tiny, *STEPS, "--trainer.devices", "1", "--trainer.num_nodes", "2"]
    first, second = launch(flags, free_port)
    assert first[0] == second[0] == 0, f"{first[2]}\n{second[2]}"
    spoke, silent = (second, first) if "best checkpoint" in second[1] else (first, second)
    assert "best checkpoint" in spoke[1] and "model: Translation" in spoke[2]
    assert silent[1] == "" and "seqlab" not in silent[2] and "data:" not in silent[2]
    expected, found = weights(here), weights(run)
    assert all(torch.equal(value, found[name]) for name, value in expected.items())


@pytest.mark.slow
def test_wrong_settings_are_told_once(tiny: list[str], tmp_path: Path, free_port: int) -> None:
    """By the first process; the launcher then ends the others."""
    flags = ["--run", str(tmp_path / "wrong"), *tiny, *STEPS, "--data.train", str(tmp_path / "missing")]
    command = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--rdzv_backend", "c10d", "--rdzv_endpoint"]
    command += [f"localhost:{free_port}", "-m", "--", "seqlab", "fit", *flags, "--trainer.devices", "2"]
    ((code, _, err),) = together([command], [environment()])
    assert code != 0
    assert len([line for line in err.splitlines() if line.startswith("seqlab fit: error:")]) == 1, err
    assert not (tmp_path / "wrong").exists()
