"""Runs as a list of commands and as a job array, which a shell can run."""

import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

from seqlab.comparing.jobs import write_jobs
from seqlab.comparing.runs import Entry
from seqlab.runs import Run


@pytest.fixture
def todo(tmp_path: Path) -> list[Entry]:
    """Three runs, with characters that a shell would take for its own."""
    flags = ("--model.optimizer", "{class_path: SGD, init_args: {lr: 0.1}}", "--data.train", "it's $HOME")
    return [
        Entry(
            cell,
            seed,
            Run(tmp_path / "a comparison" / "runs" / cell / f"seed-{seed}"),
            (*flags, "--seed", str(seed)),
            "r",
        )
        for seed in (1, 2)
        for cell in ("gru", "lstm")
    ][:3]


def test_a_command_a_line(tmp_path: Path, todo: list[Entry]) -> None:
    path = write_jobs("commands", todo, tmp_path)
    lines = [shlex.split(line) for line in path.read_text().splitlines()]
    assert lines == [["seqlab", *entry.arguments()] for entry in todo]


def test_a_job_array(tmp_path: Path, todo: list[Entry]) -> None:
    """Each job runs the fit of its number, word for word, and leaves its log beside the run."""
    script = write_jobs("slurm", todo, tmp_path)
    text = script.read_text()
    assert "#SBATCH --array=0-2\n" in text and "#SBATCH --signal=B:TERM@120\n" in text
    program = tmp_path / "bin" / "seqlab"
    program.parent.mkdir()
    program.write_text('#!/bin/bash\nprintf "%s\\n" "$@"\necho told >&2\nexit 5\n')
    program.chmod(0o755)
    for number, entry in enumerate(todo):
        environment = {
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "SLURM_ARRAY_TASK_ID": str(number),
            "HOME": "/",
        }
        done = subprocess.run(["bash", str(script)], env=environment, capture_output=True)
        assert done.returncode == 5 and not done.stdout and not done.stderr
        assert entry.log.read_text().splitlines() == [*entry.arguments(), "told"]


def test_the_signal_of_slurm_comes_to_the_fit(tmp_path: Path, todo: list[Entry]) -> None:
    """The fit has become the process of the batch shell, which B:TERM goes to."""
    script = write_jobs("slurm", todo[:1], tmp_path)
    program = tmp_path / "bin" / "seqlab"
    program.parent.mkdir()
    program.write_text("#!/bin/bash\ntrap 'echo asked; exit 143' TERM\necho begun\nwhile sleep 0.05; do :; done\n")
    program.chmod(0o755)
    environment = {"PATH": f"{program.parent}:{os.environ['PATH']}", "SLURM_ARRAY_TASK_ID": "0"}
    with subprocess.Popen(["bash", str(script)], env=environment) as process:
        try:
            while process.poll() is None and not (todo[0].log.is_file() and todo[0].log.read_text()):
                time.sleep(0.02)
            os.kill(process.pid, signal.SIGTERM)
            assert process.wait(20) == 143
        finally:
            process.kill()
    assert todo[0].log.read_text() == "begun\nasked\n"


@pytest.mark.parametrize("name, typed", [("out", "{out}/jobs.sh"), ("a b", "'{out}/jobs.sh'")])
def test_the_command_that_is_told_can_be_copied(tmp_path: Path, todo: list[Entry], name: str, typed: str) -> None:
    out = tmp_path / name
    out.mkdir()
    assert f"then: sbatch {typed.format(out=out)}\n" in write_jobs("slurm", todo, out).read_text()
