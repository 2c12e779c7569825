"""Names of cells and recipes: how they are written, found, explained, and what happens when a plugin is broken."""

import sys

import pytest

from seqlab import registry
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


@pytest.mark.parametrize(
    "spec, name, options",
    [
        ("gru", "gru", {}),
        ("rrnn:feedback=updated", "rrnn", {"feedback": "updated"}),
        ("rrnn:feedback=updated, width=12", "rrnn", {"feedback": "updated", "width": 12}),
        ("x:whole=3,part=0.5,yes=true", "x", {"whole": 3, "part": 0.5, "yes": True}),
        ("x:nothing=null,word='3'", "x", {"nothing": None, "word": "3"}),
        ("x:expression=a=b", "x", {"expression": "a=b"}),
        ({"name": "rrnn", "feedback": "updated"}, "rrnn", {"feedback": "updated"}),
        ({"name": "lstm"}, "lstm", {}),
    ],
)
def test_parse_cell(spec, name, options):
    found = registry.parse_cell(spec)
    assert found == (name, options)
    assert {key: type(value) for key, value in found[1].items()} == {key: type(value) for key, value in options.items()}


def test_parse_cell_leaves_its_argument_as_it_is():
    spec = {"name": "rrnn", "feedback": "updated"}
    registry.parse_cell(spec)
    assert spec == {"name": "rrnn", "feedback": "updated"}


def test_parse_cell_takes_numbers_as_they_are_usually_written():
    assert registry.parse_cell("x:scale=1e-3") == ("x", {"scale": 0.001})


@pytest.mark.parametrize("spec", ["gru:reset", "rrnn:feedback=updated,relu", {"feedback": "updated"}, {"name": 3}, {}])
def test_parse_cell_errors(spec):
    assert "cell" in error(registry.parse_cell, spec)


@pytest.mark.parametrize("spec", ["x:size=[", "x:size={a"])
def test_parse_cell_with_a_value_that_is_not_yaml(spec):
    assert spec in error(registry.parse_cell, spec)


def test_parse_cell_with_a_list():
    assert registry.parse_cell("x:sizes=[1,2],width=3") == ("x", {"sizes": [1, 2], "width": 3})


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
    assert registry.describe(RECIPES, recipes["jam"]) == "Sweet and"
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


@pytest.mark.parametrize("package, cell", [("", "class Cell(:"), ("raise RuntimeError", "")], ids=["syntax", "package"])
def test_a_broken_plugin_does_not_break_the_list(install, package, cell):
    install("bad", "1", "[seqlab.cells]\nbad = bad.cell:Cell\n", {"bad/__init__.py": package, "bad/cell.py": cell})
    assert isinstance(registry.describe(CELLS, registry.names(CELLS)["bad"]), str)


def test_two_distributions_with_one_name(install):
    """Neither wins; both are named, with their versions."""
    install("orchard", "1.2", ENTRY_POINTS, PLUGIN)
    install("garden", "0.3", "[seqlab.cells]\npear = garden.pear:Pear\n")
    for function, arguments in ((registry.names, (CELLS,)), (registry.find, (CELLS, "pear"))):
        message = error(function, *arguments)
        assert "'pear'" in message and "orchard 1.2" in message and "garden 0.3" in message
    assert "jam" in registry.names(RECIPES)


def test_a_plugin_cannot_take_a_built_in_name(install):
    install("garden", "0.3", "[seqlab.cells]\ngru = garden.gru:GRU\n")
    message = error(registry.names, CELLS)
    assert "'gru'" in message and "garden 0.3" in message and "seqlab" in message
