"""Modules are found and classes described by their files alone: importing a plugin may take seconds, or fail."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from seqlab.sources import class_summary, find_module, module_folders


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    """Puts modules on the path."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(files: dict[str, str]) -> None:
        for file, text in files.items():
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).write_text(text, encoding="utf-8")

    return write


FAIL = "raise RuntimeError('imported')\n"
CELL = f'{FAIL}class Cell:\n    """First line.\n\n    Another."""\n'


def test_the_packages_above_a_module_are_not_imported(write):
    write({"upper/__init__.py": FAIL, "upper/lower/__init__.py": FAIL, "upper/lower/cell.py": CELL})
    assert class_summary("upper.lower.cell", "Cell") == "First line."
    assert find_module("upper.lower.none") is None and find_module("upper.lower.cell.none") is None
    assert not {name for name in sys.modules if name.startswith("upper")}


def test_a_class_that_a_package_passes_on(write):
    """Through imports that are relative, absolute, and under another name."""
    files = {
        "many/__init__.py": "from .impl import Inner as Outer\nfrom many.deep.impl import Cell\nclass Bare: pass\n",
        "many/impl.py": "import os\nfrom many.deep import Inner\n",
        "many/deep/__init__.py": "from .impl import Cell as Inner\n",
        "many/deep/impl.py": CELL,
    }
    write(files)
    assert class_summary("many", "Outer") == class_summary("many", "Cell") == "First line."
    assert class_summary("many", "Bare") == class_summary("many", "Missing") == ""
    assert "many" not in sys.modules


def test_a_module_that_is_missing_or_compiled(write):
    write({"outer/__init__.py": "from .gone import Cell\n"})
    with pytest.raises(ImportError, match=r"outer\.gone is missing"):
        class_summary("outer", "Cell")
    assert class_summary("math", "Cell") == ""


def test_folders(write, tmp_path):
    """Of a package, of a module, of a folder without __init__.py in a package or beside it, and of nothing."""
    write({"package/__init__.py": "", "package/bare/x.yaml": "", "loose/inner/x.yaml": "", "module.py": FAIL})
    assert module_folders("package") == [tmp_path / "package"]
    assert module_folders("module") == [tmp_path]
    assert module_folders("package.bare") == [tmp_path / "package" / "bare"]
    assert module_folders("loose.inner") == [tmp_path / "loose" / "inner"]
    assert module_folders("nowhere") == module_folders("package.nowhere") == module_folders("sys") == []
    for name in [name for name in sys.modules if name.partition(".")[0] in ("package", "loose")]:
        del sys.modules[name]
