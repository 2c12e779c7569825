"""Hostile input: each case of the tables beside this file has its one line and exit code, and leaves nothing behind.

A case is what stands there (``given``, in bash), the command as a user types it (``run``), its exit code, and what it
says. Cases with ``process: true`` run in bash and processes of their own: signals, pipes, the environment.
"""

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from string import Template
from typing import Any

import pytest
import yaml

from seqlab.cli import main

TABLES = ("text", "files", "numbers", "runs", "plugins", "processes")
HERE = Path(__file__).parent
CASES = [case for name in TABLES for case in yaml.safe_load((HERE / f"{name}.yaml").read_text(encoding="utf-8"))]
IN_BASH = 'set -m; seqlab() { "$PYTHON" -m seqlab "$@"; }\n'
"""Job control, since bash has jobs ignore Ctrl-C without it."""


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


def run_bash(script: str, folder: Path, names: dict[str, str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a script."""
    environment = {**os.environ, **names, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(["bash", "-c", script], cwd=folder, env=environment, capture_output=True, timeout=300)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def run_here(command: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of ``seqlab ... [< FILE]`` in this process."""
    program, *words = shlex.split(command)
    assert program == "seqlab"
    stdin = b""
    if "<" in words:
        at = words.index("<")
        stdin = Path(words[at + 1]).read_bytes()
        del words[at : at + 2]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
    capfd.readouterr()
    code = main(words)
    out, err = capfd.readouterr()
    return code, out, err


def snapshot(folder: Path) -> dict[str, Any]:
    """What is in a folder, by path."""
    found: dict[str, Any] = {}
    for path in folder.rglob("*"):
        what: Any = os.readlink(path) if path.is_symlink() else path.is_file() and path.read_bytes()
        found[str(path.relative_to(folder))] = what
    return found


def test_there_are_enough() -> None:
    assert len(CASES) >= 50 and len({case["what"] for case in CASES}) == len(CASES)


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=case["what"], marks=[pytest.mark.slow] * case.get("slow", False)) for case in CASES],
)
def test_hostile_input(
    case: dict[str, Any],
    names: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture,
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    undo = case.get("after", "")
    if case.get("needs") == "mount":
        _need_mount(tmp_path)
    try:
        code, _, err = run_bash(f"set -e\n{case.get('given', '')}", folder, names)
        assert code == 0, err
        before = snapshot(folder)
        if case.get("process"):
            code, out, err = run_bash(IN_BASH + case["run"], folder, names)
        else:
            for path in folder.glob("site*"):
                monkeypatch.syspath_prepend(path)
            code, out, err = run_here(Template(case["run"]).substitute(names), monkeypatch, capfd)
        written = {name for name, what in snapshot(folder).items() if before.get(name, before) != what}
        gone = before.keys() - snapshot(folder).keys()
    finally:
        run_bash(undo, folder, names)
    assert code == case["code"], (out[-500:], err)
    assert "Traceback" not in err + out and "\x1b" not in err
    says = Template(case.get("says", "")).safe_substitute(names)
    lines = err.splitlines()
    if case["code"] == 2:
        assert re.match(r"seqlab \w+: error: ", lines[-1]) and says in lines[-1], err
        assert sum("error: " in line for line in lines) == 1
        if not re.match(r"\$FIT|seqlab fit|.*\n\$FIT", case["run"]):  # which also tells what it does
            assert len(lines) == 1, err
    else:
        assert says in (lines[-1] if lines else ""), err
    assert out.count("\n") == case.get("lines", 0), out
    allowed = case.get("writes", "")
    assert not gone and all(allowed and re.match(allowed, name) for name in written), (gone, written)


def _need_mount(folder: Path) -> None:
    point = folder / "point"
    point.mkdir()
    if (
        not shutil.which("mount")
        or subprocess.run(["mount", "-t", "tmpfs", "t", point], capture_output=True).returncode
    ):
        pytest.skip("mounting is not permitted")
    subprocess.run(["umount", point], check=True)
