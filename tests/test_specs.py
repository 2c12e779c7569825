"""How a cell is written, and files that are no recipe."""

import pytest

from seqlab import specs
from seqlab.errors import UserError


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
    found = specs.parse_cell(spec)
    assert found == (name, options)
    assert {key: type(value) for key, value in found[1].items()} == {key: type(value) for key, value in options.items()}


def test_parse_cell_leaves_its_argument_as_it_is():
    spec = {"name": "rrnn", "feedback": "updated"}
    specs.parse_cell(spec)
    assert spec == {"name": "rrnn", "feedback": "updated"}


def test_parse_cell_takes_numbers_as_they_are_usually_written():
    assert specs.parse_cell("x:scale=1e-3") == ("x", {"scale": 0.001})


@pytest.mark.parametrize("spec", ["gru:reset", "rrnn:feedback=updated,relu", {"feedback": "updated"}, {"name": 3}, {}])
def test_parse_cell_errors(spec):
    assert "cell" in error(specs.parse_cell, spec)


@pytest.mark.parametrize("spec", ["x:size=[", "x:size={a"])
def test_parse_cell_with_a_value_that_is_not_yaml(spec):
    assert spec in error(specs.parse_cell, spec)


def test_parse_cell_with_a_list():
    assert specs.parse_cell("x:sizes=[1,2],width=3") == ("x", {"sizes": [1, 2], "width": 3})


@pytest.mark.parametrize(
    "text, reason",
    [
        ("task: [", "is not YAML"),
        ("- task", "holds no settings"),
        ("task: a.B", "names no class as 'data_module'"),
        ("task: 3\ndata_module: a.B", "names no class as 'task'"),
    ],
)
def test_a_file_that_is_no_recipe(tmp_path, text, reason):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    message = error(specs.read_recipe, path)
    assert str(path) in message and reason in message


@pytest.mark.parametrize("left", [0, 1, 2, 3])
def test_settings_that_were_cut_at_the_end_of_a_line(tmp_path, left):
    """What is left is YAML, and defaults would stand for the rest."""
    path = tmp_path / "config.yaml"
    path.write_text(specs.whole("task: a.B\ndata_module: c.D\nmodel:\n  size: 3\n"))
    values = {"task": "a.B", "data_module": "c.D", "model": {"size": 3}}
    assert specs.read_yaml(path) == values
    lines = path.read_text().splitlines()
    path.write_text("\r\n".join([*lines[:3], "seed: 4", *lines[3:], "trainer: {}"]))  # edited by hand, on any system
    assert specs.read_yaml(path) == {**values, "seed": 4, "trainer": {}}
    path.write_text("\n".join(lines[1:-1]))  # as older versions wrote it
    assert specs.read_yaml(path) == values
    path.write_text("".join(f"{line}\n" for line in lines[: 2 + left]))
    assert error(specs.read_yaml, path) == (
        f"{path} is cut short: it lacks the last line, '# end'; take it from a copy, or remove its first line if "
        "nothing else is missing"
    )
    path.write_text("".join(f"{line}\n" for line in lines[1 : 2 + left]))
    assert specs.read_yaml(path)["task"] == "a.B"


def test_a_recipe_that_cannot_be_read(tmp_path):
    assert "cannot read" in error(specs.read_recipe, tmp_path / "missing.yaml")
    (tmp_path / "latin.yaml").write_bytes("task: Übersetzung".encode("latin-1"))
    assert "latin.yaml is not YAML" in error(specs.read_recipe, tmp_path / "latin.yaml")
