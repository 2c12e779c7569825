"""Names of cells and recipes: how they are found, explained, contested, and what happens when a plugin is broken."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import seqlab
from seqlab import registry
from seqlab.cells.gru import GRU
from seqlab.errors import UserError
from seqlab.registry import CELLS, RECIPES

BUILT_IN = {"elman", "gru", "lstm", "rrnn"}


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Puts a distribution with entry points and files on the path, as pip would; gone after the test."""
    before = set(sys.modules)

    def install(name: str, version: str, entry_points: str, files: dict[str, str] | None = None) -> None:
        folder = tmp_path / name
        info = folder / f"{name}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(entry_points)
        for file, text in (files or {}).items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text, encoding="utf-8")
        monkeypatch.syspath_prepend(folder)

    yield install
    for module in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[module], "__file__", "")):
            del sys.modules[module]


def error(function, *arguments) -> str:
    with pytest.raises(UserError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_built_in_names():
    assert BUILT_IN.issubset(registry.names(CELLS))
    assert "translation" in registry.names(RECIPES)
    assert list(registry.names(CELLS)) == sorted(registry.names(CELLS))


@pytest.mark.parametrize(
    "kind, name, meant",
    [(CELLS, "lstmm", "lstm"), (CELLS, "rnn", "rrnn"), (RECIPES, "transaltion", "translation")],
)
def test_a_misspelt_name_is_told_the_nearest(kind, name, meant):
    message = error(registry.find, kind, name)
    assert repr(name) in message and f"did you mean {meant!r}?" in message
    assert message == error(registry.load, kind, name)


def test_an_unknown_name_is_told_all_there_are():
    message = error(registry.find, CELLS, "zzz")
    assert "did you mean" not in message
    assert all(name in message for name in BUILT_IN)


def test_recipe_path():
    path = registry.recipe_path("translation")
    assert path.name == "translation.yaml" and path.is_file()
    assert registry.recipe_path(str(path)) == path


@pytest.mark.parametrize("name", ["nowhere.yaml", "nowhere/else.yml"])
def test_missing_recipe_file(name):
    assert name in error(registry.recipe_path, name)


APPLE = '''
raise RuntimeError("imported")

class Apple:
    """Keeps the doctor away.

    More.
    """
'''
PLUGIN = {
    "orchard/__init__.py": "",
    "orchard/apple.py": APPLE,
    "orchard/pear.py": "class Pear:\n    pass\n",
    "orchard/recipes/__init__.py": "",
    "orchard/recipes/jam.yaml": "# Sweet and\n# sticky.\ntask: x\n",
    "orchard/recipes/pie.yaml": "task: x\n",
}
ENTRY_POINTS = """
[seqlab.cells]
apple = orchard.apple:Apple
pear = orchard.pear:Pear
plum = orchard.plum:Plum
[seqlab.recipes]
jam = orchard.recipes
pie = orchard.recipes
tart = orchard.recipes
"""


def test_a_plugin_is_described_without_being_imported(install):
    """From the source: a class' docstring, a recipe's comment."""
    install("orchard", "1.2", ENTRY_POINTS, PLUGIN)
    cells, recipes = registry.names(CELLS), registry.names(RECIPES)
    assert registry.origin(cells["apple"]) == "orchard 1.2"
    assert registry.describe(CELLS, cells["apple"]) == "Keeps the doctor away."
    assert registry.describe(CELLS, cells["pear"]) == ""
    assert "orchard.plum is missing" in registry.describe(CELLS, cells["plum"])
    assert registry.describe(RECIPES, recipes["jam"]) == "Sweet and sticky."
    assert registry.describe(RECIPES, recipes["pie"]) == ""
    assert "tart.yaml" in registry.describe(RECIPES, recipes["tart"])
    assert "orchard.apple" not in sys.modules and "orchard.pear" not in sys.modules
    assert "orchard" in registry.plugin_packages()


def test_a_plugin_is_loaded(install):
    install("orchard", "1.2", ENTRY_POINTS, PLUGIN)
    assert registry.load(CELLS, "pear").__module__ == "orchard.pear"
    assert registry.recipe_path("jam").read_text(encoding="utf-8").startswith("# Sweet")


@pytest.mark.parametrize("name, reason", [("apple", "imported"), ("plum", "orchard.plum")])
def test_a_plugin_that_fails_to_import_is_named(install, name, reason):
    """With its distribution, version and reason; the other names still work."""
    install("orchard", "1.2", ENTRY_POINTS, PLUGIN)
    message = error(registry.load, CELLS, name)
    assert repr(name) in message and "orchard 1.2" in message and reason in message
    assert registry.load(CELLS, "gru").__name__ == "GRU"


def test_a_recipe_that_its_distribution_lacks(install):
    install("orchard", "1.2", ENTRY_POINTS, PLUGIN)
    message = error(registry.recipe_path, "tart")
    assert "orchard 1.2" in message and "tart.yaml" in message


BROKEN = {
    "syntax": ("bad.cell:Cell", {"bad/__init__.py": "", "bad/cell.py": "class Cell(:"}),
    "not text": ("bad.cell:Cell", {"bad/__init__.py": "", "bad/cell.py": "# \0"}),
    "no module": ("my-bad:Cell", {}),
    "nothing": (":Cell", {}),
    "circle": ("bad:Cell", {"bad.py": "from bad import Cell"}),
    "exit": ("bad:Cell", {"bad.py": "raise SystemExit(3)"}),
    "no class": ("bad:Cell", {"bad.py": "class Other: pass"}),
}


@pytest.mark.parametrize("value, files", BROKEN.values(), ids=BROKEN)
def test_a_broken_plugin_is_loud_only_when_asked_for(install, value, files):
    install("bad", "1", f"[seqlab.cells]\nbad = {value}\n", files)
    assert "\n" not in registry.describe(CELLS, registry.names(CELLS)["bad"])
    assert isinstance(registry.plugin_packages(), set)
    assert registry.load(CELLS, "gru").__name__ == "GRU"
    assert error(registry.load, CELLS, "bad").startswith("cell 'bad' of bad 1 could not be imported: ")


def test_a_class_that_its_module_lacks(install):
    install("bad", "1", "[seqlab.cells]\nbad = bad:Cel\n", {"bad.py": "class Cell: pass"})
    message = error(registry.load, CELLS, "bad")
    assert message == "cell 'bad' of bad 1 could not be imported: module 'bad' has no attribute 'Cel'"


def test_a_recipe_of_a_package_that_cannot_be_searched(install):
    files = {"bad/__init__.py": "raise RuntimeError('no\\nkitchen')"}
    install("bad", "1", "[seqlab.recipes]\nsoup = bad.recipes\n", files)
    assert error(registry.recipe_path, "soup").startswith("recipe 'soup' of bad 1 is broken: ")


GARDEN = """
[seqlab.cells]
pear = garden.pear:Pear
gru = garden.gru:GRU
[seqlab.recipes]
jam = garden
translation = garden
"""


@pytest.fixture
def contested(install):
    """Two distributions that share two names, one of which takes two built-in ones as well."""
    install("orchard", "1.2", ENTRY_POINTS, PLUGIN)
    install("garden", "0.3", GARDEN, {"garden/__init__.py": "", "garden/gru.py": "class GRU: pass\n"})


@pytest.mark.parametrize(
    "kind, name, other",
    [
        (CELLS, "pear", "orchard 1.2"),
        (CELLS, "gru", f"seqlab {seqlab.__version__}"),
        (RECIPES, "jam", "orchard 1.2"),
        (RECIPES, "translation", f"seqlab {seqlab.__version__}"),
    ],
)
def test_two_distributions_with_one_name(contested, kind, name, other):
    """Neither wins, a built-in name included; who asks for it is told both, with their versions."""
    functions = [registry.find, registry.load] + ([lambda _, name: registry.recipe_path(name)] * (kind == RECIPES))
    for function in functions:
        message = error(function, kind, name)
        assert repr(name) in message and f"offered by garden 0.3 and {other}" in message
    offer = registry.names(kind)[name]
    assert registry.origin(offer) == f"garden 0.3 and {other}"
    assert "offered by both" in registry.describe(kind, offer)


def test_a_contested_name_leaves_the_others_alone(contested):
    assert registry.load(CELLS, "lstm").__name__ == "LSTM"
    assert registry.recipe_path("pie").name == "pie.yaml"
    assert {"garden", "orchard", "seqlab"}.issubset(registry.plugin_packages())


def test_three_distributions_with_one_name(contested, install):
    install("wood", "7", "[seqlab.cells]\npear = wood:Pear\n")
    assert "garden 0.3 and orchard 1.2 and wood 7" in error(registry.find, CELLS, "pear")
    assert "offered by all 3" in registry.describe(CELLS, registry.names(CELLS)["pear"])


@pytest.mark.parametrize("kind, name", [(CELLS, "pear"), (CELLS, "gru"), (RECIPES, "jam")])
def test_a_contested_name_is_listed_once(contested, tmp_path, monkeypatch, kind, name):
    """By the command itself, in a process that imports none of the plugins."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(str(tmp_path / name) for name in ("orchard", "garden")))
    code = "import sys\nfrom seqlab.cli import main\nmain(sys.argv[1:])\n"
    code += "sys.exit(any(name in sys.modules for name in ('orchard', 'garden', 'torch')))"
    done = subprocess.run([sys.executable, "-c", code, kind], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith(f"{name} ")]
    assert "garden 0.3 and " in line and "offered by both" in line


def test_the_packages_of_a_plugin(install):
    """Every one that it lists, has files of or names in an entry point, whatever else is wrong with it."""
    listed = {"listed-1.dist-info/top_level.txt": "first\nsecond\n"}
    install("listed", "1", "[seqlab.recipes]\nx = first.recipes\n", listed)
    record = "third/cell.py,,\nthird/deep/x.py,,\nfourth.py,,\nfiles-1.dist-info/METADATA,,\n../../bin/run.py,,\n"
    install("files", "1", "[seqlab.cells]\ngru = third.cell:X\n", {"files-1.dist-info/RECORD": record})
    bare = "[seqlab.cells]\nbroken = fifth.cell:Missing\n-=my-broken:X\n[console_scripts]\nrun = sixth:main\n"
    install("bare", "1", bare)
    install("stranger", "1", "[console_scripts]\nrun = seventh:main\n")
    ours = {"first", "second", "third", "fourth", "fifth", "sixth", "seventh"} & registry.plugin_packages()
    assert ours == {"first", "second", "third", "fourth", "fifth"}
    assert not any("-" in package or "." in package for package in registry.plugin_packages())


def test_credit():
    offer = registry.find(CELLS, "gru")
    assert registry.credit(offer) == f"gru of seqlab {seqlab.__version__}"
    assert registry.credit(offer, "cell") == f"cell 'gru' of seqlab {seqlab.__version__}"


def test_a_class_knows_its_offer(install):
    """The name it was asked for by, or the one that names it; none for a class of nobody."""
    install("passed", "2", "[seqlab.cells]\nnick = passed:Cell\n", {"passed.py": "from inner import Cell\n"})
    install("inner", "1", "", {"inner.py": "class Cell: pass\n"})
    offer = registry.offer_of(registry.load(CELLS, "nick"))
    assert offer is not None and registry.credit(offer) == "nick of passed 2"
    offer = registry.offer_of(GRU)
    assert offer is not None and offer.name == "gru"
    assert registry.offer_of(int) is None


@pytest.mark.parametrize(
    ("comment", "told"),
    [
        ("# One line: no more\n", "One line: no more"),
        ("# A sentence\n# of two lines. Another one.\n", "A sentence of two lines."),
        ("# By J. Doe et al. 2015; which one? That one.\n", "By J. Doe et al. 2015; which one?"),
        ("# A title\n#\n# More.\n", "A title"),
        ("task: none\n", ""),
    ],
)
def test_a_recipe_is_described_by_the_first_sentence_of_its_comment(
    comment: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.yaml").write_text(f"{comment}data: none\n")
    monkeypatch.setattr(registry, "recipe_path", lambda name: tmp_path / f"{name}.yaml")
    assert registry.describe(RECIPES, registry.Offer("mine", "package")) == told
