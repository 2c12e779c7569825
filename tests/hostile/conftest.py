"""How a case of hostile input is run: within limits of time, memory and disk, so that none takes its tests with it."""

import faulthandler
import io
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from seqlab.cli import main

SECONDS = 120
"""The most that a case takes, unless it says ``seconds``."""
MEMORY = 6 << 30
"""Bytes of address space of each process in bash; of what a case in this process takes beside what there is."""
IN_BASH = f"""
ulimit -v {MEMORY >> 10}; ulimit -f $((256 * 1024)); ulimit -t 120
seqlab() {{ "$PYTHON" -m seqlab "$@"; }}
job() {{ exec env --default-signal=INT "$PYTHON" -m seqlab "$@"; }}
until_there() {{ for _ in $(seq 500); do if [ -s "$1" ]; then return; fi; sleep 0.1; done; echo "no $1" >&2; exit 99; }}
"""
"""``job ... &`` is ``seqlab ... &``, as ``$!``: bash has what it starts in the background ignore Ctrl-C."""


class Done(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def language_run(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a language model that was trained for a few steps."""
    run = tmp_path_factory.mktemp("runs") / "language"
    data = [part for split in ("train", "val") for part in (f"--data.{split}", str(corpus / f"{split}.en"))]
    sizes = ["--data.tokenizer.kind", "word", "--data.streams", "7", "--model.embedding_size", "24"]
    steps = ["--model.hidden_size", "24", "--trainer.max_steps", "4", "--trainer.val_check_interval", "4"]
    cpu = ["--trainer.accelerator", "cpu"]
    assert main(["fit", "--recipe", "language-model", "--run", str(run), *data, *sizes, *steps, *cpu]) == 0
    return run


@pytest.fixture(scope="session")
def names(trained: Path, language_run: Path, corpus: Path, tiny: list[str]) -> dict[str, str]:
    """What the tables name: runs, the corpus, and the flags of a small fit."""
    steps = "--trainer.max_steps 4 --trainer.val_check_interval 4"
    return {
        "RUN": str(trained),
        "LM": str(language_run),
        "CORPUS": str(corpus),
        "TINY": shlex.join(tiny),
        "FIT": f"seqlab fit --recipe translation --run run {shlex.join(tiny)} {steps}",
        "LONG": "x" * 300,
        "PYTHON": sys.executable,
    }


@pytest.fixture
def run_bash(names: dict[str, str], tmp_path: Path) -> Callable[..., Done]:
    """Runs a script in a session of its own, of which nothing is left when it ends or its time is up."""

    def run(script: str, folder: Path, seconds: float = SECONDS) -> Done:
        environment = {**os.environ, **names, "OMP_NUM_THREADS": "1"}
        out, err = tmp_path / "stdout", tmp_path / "stderr"  # and no pipes, which what is left would keep open
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(
                ["bash", "-c", IN_BASH + script],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
            try:
                code = process.wait(seconds)
            except subprocess.TimeoutExpired:
                pytest.fail(f"not done after {seconds} seconds: {err.read_text(errors='replace')[-500:]}")
            finally:
                end_session(process.pid)
                process.wait()
        return Done(code, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8"))

    return run


def end_session(number: int) -> None:
    """Kills every process of a session, whatever groups they are in."""
    while left := [process for process, session in _sessions() if session == number]:
        for process in left:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(number, os.WNOHANG)  # the first of them is a child of this process


def _sessions() -> Iterator[tuple[int, int]]:
    """Number and session of every process that has not ended."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            state, _, _, session = path.read_text(errors="replace").rpartition(")")[2].split()[:4]
            if state not in "ZX":
                yield int(path.parent.name), int(session)


@pytest.fixture
def run_here(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> Callable[..., Done]:
    """Runs ``seqlab ... [< FILE]`` in this process, which is quicker than another one."""

    def run(command: str, seconds: float = SECONDS) -> Done:
        program, *words = shlex.split(command)
        assert program == "seqlab"
        stdin = b""
        if "<" in words:
            at = words.index("<")
            stdin = Path(words[at + 1]).read_bytes()
            del words[at : at + 2]
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capfd.readouterr()
        with limits(seconds):
            code = main(words)
        return Done(code, *capfd.readouterr())

    return run


@contextmanager
def limits(seconds: float) -> Iterator[None]:
    """Limits what this process takes: of time, and of memory beside what it has.

    Python only hears of a signal between two of its own steps; where none comes, the process ends.
    """

    def fail(*_: Any) -> None:
        pytest.fail(f"not done after {seconds} seconds")

    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGALRM, fail)
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, hard))
    signal.setitimer(signal.ITIMER_REAL, seconds)
    faulthandler.dump_traceback_later(2 * seconds, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.fixture
def refused(capfd: pytest.CaptureFixture) -> Callable[[list[str]], str]:
    """Runs a command that is refused; returns the one line that it ends with."""

    def run(argv: list[str]) -> str:
        code = main(argv)
        out, err = capfd.readouterr()
        lines = [line for line in err.splitlines() if line.startswith("seqlab ")]
        assert code == 2 and out == "" and len(lines) == 1 and lines[0] == err.splitlines()[-1], err
        assert lines[0].startswith(f"seqlab {argv[0]}: error: ") and "Traceback" not in err
        return lines[0]

    return run


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a run with the best checkpoint alone."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    shutil.copy(trained / "config.yaml", "run")
    shutil.copy(trained / "checkpoints" / "best.ckpt", "run/checkpoints")
    return Path("run")
