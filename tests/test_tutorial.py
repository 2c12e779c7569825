"""The tutorial, typed as it stands: scaffold, install, check, train, score, change."""

import ast
import json
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "tutorial.md").read_text(encoding="utf-8")
Shell = Callable[[str], str]


def blocks(text: str) -> list[tuple[str, str]]:
    """Language and text of every block of a page."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Runs commands in an empty folder, where ``pip install`` reaches an environment of its own and no network."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    site = subprocess.check_output([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True)
    # What is installed here is installed there, seqlab among it.
    here = sysconfig.get_path("purelib")
    Path(site.strip(), "here.pth").write_text(f"import site; site.addsitedir({here!r})\n")
    for command in ("pip", "pytest", "seqlab"):
        script = tmp_path / "bin" / command
        script.parent.mkdir(exist_ok=True)
        script.write_text(f'#!/bin/sh\nexec "{python}" -m {command} "$@"\n')
        script.chmod(0o755)
    (tmp_path / "work").mkdir()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTEST")},
        "PATH": os.pathsep.join([str(tmp_path / "bin"), os.environ["PATH"]]),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "false",  # what the flag --no-build-isolation sets it to
    }

    def run(commands: str) -> str:
        done = subprocess.run(
            ["bash", "-euc", commands],
            cwd=tmp_path / "work",
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}"
        return done.stdout

    return run


def masked(text: str) -> list[str]:
    """Lines whose figures may differ, and with them the width of a column."""
    return [re.sub(r"\d[\d.,]*(e[+-]\d+)?", "#", " ".join(line.split())) for line in text.splitlines() if line.strip()]


def in_order(lines: list[str], among: list[str]) -> bool:
    """Whether lines occur in this order among others."""
    rest = iter(among)
    return all(line in rest for line in lines)


@pytest.mark.slow
def test_every_command_of_the_tutorial(shell: Shell, tmp_path: Path) -> None:
    told, untold = PAGE.split("## Put it on PyPI")
    module, output = tmp_path / "work" / "my-cell" / "src" / "my_cell.py", ""
    for language, text in blocks(told):
        if language == "sh":
            output = shell(text)
        elif language == "text":
            shown = [line for line in masked(text) if line != "..."]
            assert in_order(shown, masked(output)), output
        elif text.startswith("class "):
            assert in_order(masked(text), masked(module.read_text()))
        else:
            (line,) = re.findall(r"let `(.*?)`", told)
            before = module.read_text()
            changed = re.sub(r"n = .*", line, before.replace("    def update", f"{text}\n    def update"))
            assert changed.count(line) == 1 and changed.count("def __init__") == 1
            module.write_text(changed)
    assert "15 passed, 0 failed" in output, "the cell with its option is checked last"
    assert "expected bool, not 'perhaps'" in shell("! seqlab check my-cell:reset=perhaps")
    assert "1 passed" in shell("pytest my-cell -k equations")
    run = tmp_path / "work" / "runs" / "smoke"
    config = (run / "config.yaml").read_text()
    assert "cell: my-cell" in config and "max_steps: 30" in config
    assert "encoder my-cell of my-cell 0.1.0" in untold
    assert json.loads((run / "scores.json").read_text())["test"]["versions"]["my-cell"] == "0.1.0"
    shell("pip uninstall --yes my-cell")
    missing = shell("! seqlab evaluate runs/smoke")
    assert "pip install my-cell==0.1.0" in missing and "pip install my-cell==0.1.0" in untold


def test_the_cell_of_the_tutorial_has_15_lines() -> None:
    (cell,) = [text for language, text in blocks(PAGE) if language == "python" and text.startswith("class ")]
    assert ast.parse(cell)
    assert len([line for line in cell.splitlines() if line.strip()]) <= 15
