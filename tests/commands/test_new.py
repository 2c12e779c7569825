"""The project that ``seqlab new cell`` writes: complete, installable, passing its own tests; or nothing at all."""

import ast
import configparser
import errno
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import seqlab
from seqlab.cli import main
from seqlab.commands.new import KINDS

CELL = {".gitignore", "README.md", "pyproject.toml", "src/my_cell.py", "tests/test_my_cell.py"}
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")} | {"OMP_NUM_THREADS": "1"}


def python(*argv: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    call = [sys.executable, *map(str, argv)]
    return subprocess.run(call, cwd=cwd, env=CLEAN | environment, capture_output=True, text=True, timeout=300)


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture):
    """Runs the command in an empty folder; returns exit code, stdout and stderr."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)

    def run(*argv: str) -> tuple[int, str, str]:
        return main(["new", *argv]), *capfd.readouterr()

    return run


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project as written, by a process that imports no torch."""
    folder = tmp_path_factory.mktemp("new")
    code = "import sys; from seqlab.cli import main; sys.exit(main(sys.argv[1:]) or 'torch' in sys.modules)"
    done = python("-c", code, "new", "cell", "my-cell", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in folder.iterdir()] == ["my-cell"]
    return folder / "my-cell"


@pytest.fixture(scope="module")
def site(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of installed packages with the project in it."""
    site = tmp_path_factory.mktemp("site")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", site]
    done = python("-m", "pip", "install", *options, ".", cwd=project)
    assert done.returncode == 0, done.stderr
    return site


def own_tests(project: Path, site: Path, *argv: str) -> subprocess.CompletedProcess:
    return python("-m", "pytest", "-q", "-p", "no:cacheprovider", *argv, cwd=project, PYTHONPATH=str(site))


def test_it_passes_its_own_tests(project: Path, site: Path) -> None:
    done = own_tests(project, site)
    assert done.returncode == 0 and "2 passed" in done.stdout, done.stdout


def test_its_own_tests_can_fail(project: Path, site: Path) -> None:
    """Both of them, where the rows of a batch see each other."""
    module = site / "my_cell.py"
    before = module.read_text()
    wrong = before.replace("return ((1 - f) * h ", "return ((1 - f) * h.mean(0) ")
    assert wrong != before
    module.write_text(wrong)
    try:
        done = own_tests(project, site)
    finally:
        module.write_text(before)
    assert done.returncode == 1 and "2 failed" in done.stdout, done.stdout
    assert re.search(r"rows do not see each other .* FAILED", done.stdout)


def test_it_is_listed_by_its_docstring(site: Path, tmp_path: Path) -> None:
    done = python("-m", "seqlab", "cells", cwd=tmp_path, PYTHONPATH=str(site))
    assert re.search(r"^my-cell +my-cell 0\.1\.0 +Minimal gated unit: one gate", done.stdout, re.MULTILINE)


def test_what_is_published(project: Path, tmp_path: Path) -> None:
    """Source archive and wheel, built as the README says; setuptools refuses a license that is no SPDX expression."""
    done = python("-m", "build", "--no-isolation", "--outdir", tmp_path, cwd=project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "my_cell-0.1.0.tar.gz").is_file()
    with zipfile.ZipFile(tmp_path / "my_cell-0.1.0-py3-none-any.whl") as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        metadata = Parser().parsestr(wheel.read("my_cell-0.1.0.dist-info/METADATA").decode())
        points = configparser.ConfigParser()
        points.read_string(wheel.read("my_cell-0.1.0.dist-info/entry_points.txt").decode())
    assert names == {"my_cell.py"}
    assert metadata["License-Expression"].startswith("LicenseRef-")
    assert metadata.get_all("Requires-Dist")[:2] == [f"seqlab>={seqlab.__version__}", "torch"]
    assert {section: dict(points[section]) for section in points.sections()} == {
        "seqlab.cells": {"my-cell": "my_cell:MyCell"}
    }


def test_what_is_written(run) -> None:
    """As anyone's files, named on stdout with the commands to type next."""
    code, stdout, stderr = run("cell", "my-cell")
    assert (code, stderr) == (0, "")
    assert files(Path("my-cell")) == CELL and os.listdir() == ["my-cell"]
    assert all(f"my-cell/{file}" in stdout.splitlines()[0] for file in CELL)
    assert stdout.splitlines()[1:] == [
        "next:",
        "  pip install --editable './my-cell[test]'",
        "  seqlab check my-cell",
        "  seqlab fit --recipe translation --model.cell my-cell",
    ]
    Path("mode").mkdir()
    assert Path("my-cell").stat().st_mode == Path("mode").stat().st_mode
    assert not any("$" in path.read_text() for path in Path("my-cell").rglob("*") if path.is_file())


@pytest.mark.parametrize("name", ["t", "recurrent-cell", "tensor", "a2-3d", "setup", "tests"])
def test_any_name_gives_a_module_and_a_class(run, name: str) -> None:
    assert run("cell", name)[0] == 0
    (source,) = Path(name, "src").iterdir()
    project = tomllib.loads(Path(name, "pyproject.toml").read_text())["project"]
    module, _, cell = project["entry-points"]["seqlab.cells"][name].partition(":")
    assert project["name"] == name and module == source.stem
    assert [node.name for node in ast.parse(source.read_text()).body if isinstance(node, ast.ClassDef)] == [cell]
    assert f"from {module} import {cell}" in Path(name, "tests", f"test_{module}.py").read_text()


def test_into_another_folder(run) -> None:
    Path("my projects").mkdir()
    code, stdout, _ = run("cell", "my-cell", "--into", "my projects")
    assert code == 0 and files(Path("my projects/my-cell")) == CELL
    assert "  pip install --editable 'my projects/my-cell[test]'" in stdout.splitlines()


NO_NAMES = {
    "My-Cell": "such as my-cell",
    "my_cell": "such as my-cell",
    "my--cell": "such as my-cell",
    "../my-cell": "such as my-cell",
    "3d": "such as my-cell",
    "zelle-ü": "such as zelle",
    "": "such as my-cell",
    "lambda": "is a word of Python",
    "none": "is a word of Python",
    "lstm": f"is taken: it is a cell of seqlab {seqlab.__version__}",
    "seqlab": f"is taken: seqlab {seqlab.__version__} is installed",
    "pyyaml": "is taken: pyyaml ",
    "json": "is taken: there is a module json (",
    "sys": "is taken: there is a module sys (",
}


@pytest.mark.parametrize(("name", "reason"), NO_NAMES.items())
def test_a_name_that_cannot_be_one(run, name: str, reason: str) -> None:
    code, stdout, stderr = run("cell", name)
    assert (code, stdout) == (2, "")
    assert stderr.startswith(f"seqlab new: error: {name!r} is ") and reason in stderr and stderr.count("\n") == 1
    assert not os.listdir() and os.listdir("..") == ["here"]


def test_a_name_that_an_installed_plugin_offers(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "here" / "orchard-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: orchard\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[seqlab.cells]\napple = orchard:Apple\n")
    monkeypatch.syspath_prepend(info.parent)
    assert run("cell", "apple")[2] == (
        "seqlab new: error: 'apple' is taken: it is a cell of orchard 1.2; take another name\n"
    )
    assert "orchard 1.2 is installed" in run("cell", "orchard")[2]


@pytest.mark.parametrize("kind", ["folder", "empty folder", "file", "broken link"])
def test_what_is_there_is_left_alone(run, kind: str) -> None:
    there = Path("my-cell")
    if kind.endswith("folder"):
        there.mkdir()
        if kind == "folder":
            (there / "README.md").write_text("mine")
    elif kind == "file":
        there.write_text("mine")
    else:
        there.symlink_to("nowhere")
    before = (files(there), there.lstat().st_mtime_ns)
    assert run("cell", "my-cell") == (2, "", "seqlab new: error: my-cell exists; it was left as it is\n")
    assert (files(there), there.lstat().st_mtime_ns) == before and os.listdir() == ["my-cell"]


@pytest.mark.parametrize("end", [".gitignore", "test_my_cell.py"])
def test_nothing_is_half_written(run, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    """The disk is full at the first file or the last."""
    write_text = Path.write_text

    def full(path: Path, *arguments, **options) -> int:
        if path.name == end:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write_text(path, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", full)
    assert run("cell", "my-cell") == (2, "", "seqlab new: error: cannot write my-cell: No space left on device\n")
    assert not os.listdir()


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        ((), "KIND (see seqlab new -h)"),
        (("recipe", "mine"), "invalid choice: 'recipe'"),
        (("cell",), "NAME (see seqlab new cell -h)"),
        (("cell", "my-cell", "--into", "nowhere"), "--into nowhere is no folder"),
        (("cell", "a" * 300), "cannot write "),
    ],
)
def test_wrong_arguments(run, argv: tuple[str, ...], reason: str) -> None:
    code, stdout, stderr = run(*argv)
    assert (code, stdout) == (2, "") and reason in stderr and stderr.count("\n") == 1
    assert not os.listdir()


def test_help_lists_the_kinds(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as end:
        main(["new", "-h"])
    assert not end.value.code
    stdout = " ".join(capsys.readouterr().out.split())
    assert all(f"{kind} {about.summary}" in stdout for kind, about in KINDS.items())
