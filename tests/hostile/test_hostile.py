"""Hostile input: each case of the tables beside this file has its one line and exit code, and leaves nothing behind.

A case is what stands there (``given``, in bash), the command as a user types it (``run``), its exit code (``code``),
and what it says (``says``, in the last line of stderr). Also: ``lines``, those that it prints (``+``: any number);
``writes``, a pattern of the files that it may leave; ``needs``, which may be ``mount``; ``after``, what is to be undone
then; ``seconds``, the most that it may take; ``slow``. Cases with ``process`` run in bash and in processes of their
own: signals, pipes, the environment, and what may take all memory.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from string import Template
from typing import Any

import pytest
import yaml

TABLES = ("text", "files", "numbers", "runs", "plugins", "processes")
HERE = Path(__file__).parent
CASES = [case for name in TABLES for case in yaml.safe_load((HERE / f"{name}.yaml").read_text(encoding="utf-8"))]
KEYS = {"what", "given", "run", "code", "says", "lines", "writes", "needs", "after", "seconds", "slow", "process"}


def snapshot(folder: Path) -> dict[str, Any]:
    """What is in a folder, by path."""
    found: dict[str, Any] = {}
    for path in folder.rglob("*"):
        what: Any = os.readlink(path) if path.is_symlink() else path.is_file() and path.read_bytes()
        found[str(path.relative_to(folder))] = what
    return found


def test_the_tables() -> None:
    """Every case says what it is, once, and how it ends."""
    assert len(CASES) >= 150 and len({case["what"] for case in CASES}) == len(CASES)
    assert all(case.keys() <= KEYS and {"what", "run", "code"} <= case.keys() for case in CASES)
    assert [case["what"] for case in CASES if case["code"] == 2 and len(case.get("says", "")) < 10] == []


def test_the_docs_count_the_cases() -> None:
    docs = HERE.parents[1] / "docs"
    told = re.search(r"lists (\d+) cases", (docs / "reliability.md").read_text(encoding="utf-8"))
    rows = [line for line in (docs / "hostile-input.md").read_text(encoding="utf-8").splitlines() if line[:2] == "| "]
    assert told and int(told[1]) == len(CASES) == len(rows) - 2 * len(TABLES)


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=case["what"], marks=[pytest.mark.slow] * case.get("slow", False)) for case in CASES],
)
def test_hostile_input(
    case: dict[str, Any],
    names: dict[str, str],
    run_bash: Callable,
    run_here: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    if case.get("needs") == "mount":
        _need_mount(tmp_path)
    seconds = {"seconds": case["seconds"]} if "seconds" in case else {}
    try:
        done = run_bash(f"set -e\n{case.get('given', '')}", folder)
        assert done.code == 0, done.err
        before = snapshot(folder)
        if case.get("process"):
            done = run_bash(case["run"], folder, **seconds)
        else:
            for path in folder.glob("site*"):
                monkeypatch.syspath_prepend(path)
            done = run_here(Template(case["run"]).substitute(names), **seconds)
        after = snapshot(folder)
    finally:
        run_bash(case.get("after", ""), folder)
    _check_words(case, done.code, done.out, done.err, Template(case.get("says", "")).safe_substitute(names))
    written = {name for name, what in after.items() if before.get(name, before) != what}
    allowed = case.get("writes", "")
    assert before.keys() <= after.keys()
    assert [name for name in sorted(written) if not (allowed and re.match(allowed, name))] == []


def _check_words(case: dict[str, Any], code: int, out: str, err: str, says: str) -> None:
    assert code == case["code"], (out[-500:], err)
    assert "Traceback" not in err + out and "\x1b" not in err
    lines = err.splitlines()
    last = lines[-1] if lines else ""
    assert says in last, err
    if code == 2:
        assert re.match(r"seqlab \w+: error: ", last) and len(last) < 1000, err
        assert sum("error: " in line for line in lines) == 1
        if not re.search(r"\$FIT|seqlab fit", case["run"]):  # which also tells what it does
            assert len(lines) == 1, err
    printed = out.count("\n")
    assert printed == case.get("lines", 0) or (case.get("lines") == "+" and printed > 0), out


def _need_mount(folder: Path) -> None:
    point = folder / "point"
    point.mkdir()
    if (
        not shutil.which("mount")
        or subprocess.run(["mount", "-t", "tmpfs", "t", point], capture_output=True).returncode
    ):
        pytest.skip("mounting is not permitted")
    subprocess.run(["umount", point], check=True)
