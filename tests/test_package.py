"""The package as it is shipped: the wheel's contents, and the lists that pyproject.toml keeps by hand."""

import ast
import configparser
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
RECIPES = "seqlab.recipes"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy of the sources, since a build leaves a build/ folder beside them."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    tree.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    for name in ("seqlab", "recipes"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    build = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    assert build.returncode == 0, build.stdout + build.stderr
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def entry_points(wheel):
    """(group, name, value) of every entry point of the wheel."""
    (path,) = (name for name in wheel.namelist() if name.endswith(".dist-info/entry_points.txt"))
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # names keep their case
    parser.read_string(wheel.read(path).decode())
    return [(group, name, value) for group in parser.sections() for name, value in parser.items(group)]


def module_path(wheel, module):
    """The file of a module in the wheel, None if there is none."""
    stem = module.replace(".", "/")
    return next((path for path in (f"{stem}.py", f"{stem}/__init__.py") if path in wheel.namelist()), None)


def names_bound_in(source):
    """The names that a module's top level defines or imports."""
    names = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update(alias.asname or alias.name for alias in node.names)
    return names


def test_wheel_holds_the_sources_and_nothing_else(wheel):
    expected = {path.relative_to(ROOT).as_posix() for path in (ROOT / "seqlab").rglob("*.py")}
    expected |= {f"seqlab/recipes/{path.name}" for path in (ROOT / "recipes").glob("*.yaml")}
    expected |= {"seqlab/recipes/__init__.py", "seqlab/py.typed"}
    templates = (path for path in (ROOT / "seqlab" / "templates").rglob("*") if path.is_file())
    expected |= {path.relative_to(ROOT).as_posix() for path in templates}
    metadata = f"seqlab-{PROJECT['project']['version']}.dist-info/"
    assert {name for name in wheel.namelist() if not name.startswith(metadata)} == expected


def test_every_folder_with_sources_is_a_listed_package():
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / "seqlab").rglob("*.py")}
    listed = PROJECT["tool"]["setuptools"]["packages"]
    assert sorted(listed) == sorted({".".join(folder.parts) for folder in folders} | {RECIPES})


def test_entry_points_name_what_the_wheel_holds(wheel):
    points = entry_points(wheel)
    assert {group for group, _, _ in points} == {"console_scripts", "seqlab.cells", "seqlab.recipes"}
    for group, name, value in points:
        module, _, attribute = value.partition(":")
        path = module_path(wheel, module)
        assert path, f"{group}: {name} = {value}: the wheel has no module {module}"
        if attribute:
            assert attribute in names_bound_in(wheel.read(path)), f"{group}: {name} = {value}: no {attribute} in {path}"


def test_every_recipe_is_an_entry_point(wheel):
    found = {name for group, name, value in entry_points(wheel) if (group, value) == ("seqlab.recipes", RECIPES)}
    assert found == {path.stem for path in (ROOT / "recipes").glob("*.yaml")}
