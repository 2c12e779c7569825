"""Checkpoints name what plugins supplied, and a run is not loaded without it."""

import os
import shutil
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
import torch
from torch import nn

import seqlab as package
from seqlab import RecurrentCell, UserError, registry
from seqlab.cells.gru import GRU
from seqlab.cli import main
from seqlab.runs import Run
from seqlab.suppliers import check_suppliers, find_suppliers

CELL = """
from seqlab import RecurrentCell

class Leaky(RecurrentCell):
    def update(self, gx, gh, state):
        return (0.5 * state[0] + 0.5 * (gx + gh).tanh(),)
"""
HITS = """
from seqlab.metrics import Accuracy

class Hits(Accuracy):
    pass
"""
STEPS = ["--trainer.val_check_interval", "3", "--checkpoint.every_n_steps", "3", "--trainer.max_steps"]
LEAKY, HIT, SMALL = "cell leaky", "my_bench.scores.Hits", "recipe small"


def install(site: Path, name: str, version: str, entry_points: str, files: dict[str, str]) -> Path:
    """Writes a distribution as pip would into a folder; returns the folder."""
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(entry_points)
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    for file, text in files.items():
        (site / file).parent.mkdir(parents=True, exist_ok=True)
        (site / file).write_text(text, encoding="utf-8")
    return site


def install_cells(site: Path, version: str) -> Path:
    return install(site, "my-cells", version, "[seqlab.cells]\nleaky = my_cells:Leaky\n", {"my_cells.py": CELL})


@pytest.fixture(scope="module")
def cells(tmp_path_factory) -> Path:
    """A site with the distribution my-cells 1.2."""
    return install_cells(tmp_path_factory.mktemp("sites") / "cells", "1.2")


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Path:
    """A site with the distribution my-bench 0.3: a metric, and a recipe that names it and the cell."""
    recipe = registry.recipe_path("translation").read_text(encoding="utf-8")
    recipe = recipe.replace("accuracy: Accuracy", f"hits: {HIT}").replace("cell: gru", "cell: leaky")
    assert "hits" in recipe and "leaky" in recipe
    files = {"my_bench/__init__.py": "", "my_bench/scores.py": HITS, "my_bench/recipes/small.yaml": recipe}
    points = "[seqlab.recipes]\nsmall = my_bench.recipes\n"
    return install(tmp_path_factory.mktemp("sites") / "bench", "my-bench", "0.3", points, files)


@pytest.fixture(scope="module")
def plugged(cells, bench, seqlab, tiny, tmp_path_factory) -> Path:
    """A run that was trained with both."""
    run = tmp_path_factory.mktemp("runs") / "plugged"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, (cells, bench))))
        done = seqlab("fit", "--recipe", "small", "--run", run, *tiny, *STEPS, "6")
    assert done.returncode == 0, done.stderr.decode()
    return run


@pytest.fixture
def use(monkeypatch) -> Callable[..., None]:
    """Puts sites on the path of this process, in which nothing else is registered."""
    monkeypatch.setattr(registry, "_registered", {})

    def use(*sites: Path) -> None:
        for site in sites:
            monkeypatch.syspath_prepend(site)

    return use


def suppliers(run: Path) -> dict[str, list[str]]:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["seqlab"]["suppliers"]


def test_a_checkpoint_names_what_plugins_supplied(plugged, trained):
    """And nothing that is seqlab's own or torch's."""
    assert suppliers(plugged) == {LEAKY: ["my-cells", "1.2"], HIT: ["my-bench", "0.3"], SMALL: ["my-bench", "0.3"]}
    record = torch.load(plugged / "checkpoints" / "best.ckpt", weights_only=True)["seqlab"]
    assert record["cells"] == {side: "leaky of my-cells 1.2" for side in ("encoder", "decoder")}
    assert suppliers(trained) == {}


def test_without_the_distribution(plugged, bench, seqlab, monkeypatch):
    """In a process of its own: one line that says what to install."""
    monkeypatch.setenv("PYTHONPATH", str(bench))
    done = seqlab("translate", plugged, stdin=b"The dog sees the cat.\n")
    assert (done.returncode, done.stdout) == (2, b"")
    reason = f"{plugged} needs cell 'leaky' of my-cells 1.2: pip install my-cells==1.2"
    assert done.stderr.decode() == f"seqlab translate: error: {reason}\n"


def test_another_version(plugged, bench, seqlab, monkeypatch, tmp_path):
    """A warning, and it goes on."""
    site = install_cells(tmp_path / "newer", "1.3")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (site, bench))))
    done = seqlab("translate", plugged, stdin=b"The dog sees the cat.\n")
    assert done.returncode == 0 and done.stdout.count(b"\n") == 1
    assert done.stderr.decode() == f"{plugged} was trained with my-cells 1.2, installed is 1.3\n"


def test_every_door_is_closed_without_them(plugged, use, capfd):
    """To load, evaluate and go on with a run; the recipe's distribution is not asked for on its account alone."""
    reason = (
        f"{plugged} needs cell 'leaky' of my-cells 1.2, {HIT} of my-bench 0.3: pip install my-cells==1.2 my-bench==0.3"
    )
    before = sorted(path for path in plugged.rglob("*"))
    use()
    with pytest.raises(UserError) as caught:
        package.load(plugged)
    assert str(caught.value) == reason
    for command in (["evaluate", str(plugged)], ["fit", "--run", str(plugged), "--resume"]):
        assert main(command) == 2
        shown = capfd.readouterr().err
        assert f"error: {reason}\n" in shown and shown.count("\n") == 1
    assert sorted(path for path in plugged.rglob("*")) == before


def test_a_resume_keeps_the_recipe_and_notes_the_new_version(plugged, bench, seqlab, monkeypatch, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(plugged, run)
    site = install_cells(tmp_path / "newer", "1.3")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (site, bench))))
    done = seqlab("fit", "--run", run, "--resume", "--trainer.max_steps", "9")
    shown = done.stderr.decode()
    assert done.returncode == 0, shown
    assert shown.count(f"{run} was trained with my-cells 1.2, installed is 1.3\n") == 1
    assert suppliers(run) == {LEAKY: ["my-cells", "1.3"], HIT: ["my-bench", "0.3"], SMALL: ["my-bench", "0.3"]}


def test_a_run_that_was_killed_before_its_first_checkpoint(plugged, use, tmp_path, capfd):
    """There is nothing to check yet."""
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(plugged / "config.yaml", run)
    use()
    assert main(["fit", "--run", str(run), "--resume"]) == 2
    assert "has no checkpoint to resume from; start over with --overwrite" in capfd.readouterr().err
    assert main(["translate", str(run)]) == 2
    assert "has no checkpoint yet" in capfd.readouterr().err


class Noted(RecurrentCell):
    def update(self, gx, gh, state):
        return ((gx + gh).tanh(),)


def test_a_cell_of_a_notebook(use, tiny, tmp_path, monkeypatch, caplog):
    use()
    package.register_cell("noted", Noted)
    run = tmp_path / "run"
    flags = [*tiny, "--model.cell", "noted", "--run", str(run), *STEPS, "3"]
    assert main(["fit", "--recipe", "translation", *flags]) == 0
    assert suppliers(run) == {"cell noted": ["", __name__]}
    assert isinstance(package.load(run).network.decoder.layers.cells[0], Noted)
    monkeypatch.setattr(registry, "_registered", {})
    with pytest.raises(UserError) as caught:
        package.load(run)
    assert str(caught.value) == (
        f"{run} needs cell 'noted', which was registered in its process (module {__name__}): "
        "register it with seqlab.register_cell first"
    )


def test_a_cell_that_now_comes_from_elsewhere(cells, use):
    """From a notebook to a package or back: by intent, so a note is enough."""
    use(cells)
    assert check_suppliers("run", {LEAKY: ["", "__main__"]}) == [
        "run was trained with cell 'leaky' registered in its process (module __main__), "
        "here is cell 'leaky' of my-cells 1.2"
    ]
    package.register_cell("noted", Noted)
    assert check_suppliers("run", {"cell noted": ["gone", "7"]}) == [
        f"run was trained with cell 'noted' of gone 7, "
        f"here is cell 'noted' registered in this process (module {__name__})"
    ]


def test_lines_are_not_repeated(cells, use):
    """Neither a note nor what to install, however much one distribution supplied."""
    use(cells)
    old = {LEAKY: ["my-cells", "1.1"], "my_cells.Other": ["my-cells", "1.1"], SMALL: ["gone", "7"]}
    assert check_suppliers("run", old) == ["run was trained with my-cells 1.1, installed is 1.2"]
    with pytest.raises(UserError) as caught:
        check_suppliers("run", {"cell x": ["gone", "7"], "gone.A": ["gone", "7"]})
    assert str(caught.value) == "run needs cell 'x' and gone.A of gone 7: pip install gone==7"


def test_distributions_that_share_a_package(use, tmp_path):
    """The one with the file of the module is named; text that only looks like a class is not."""
    for name in ("first", "second"):
        points = f"[seqlab.recipes]\n{name} = shared.{name}\n"
        use(install(tmp_path / name, name, "1", points, {f"shared/{name}/__init__.py": "class Task: pass\n"}))
        import_module(f"shared.{name}")
    config = "{task: shared.first.Task, model: {parts: [{class_path: shared.second.Task}]}, data: {train: shared.txt}}"
    found = find_suppliers(nn.ModuleList([GRU(3, 5)]), config)
    for name in [name for name in sys.modules if name.startswith("shared")]:
        del sys.modules[name]
    assert found == {"shared.first.Task": ["first", "1"], "shared.second.Task": ["second", "1"]}


def test_an_older_checkpoint_says_nothing_of_suppliers(trained, use, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    for path in (run / "checkpoints").iterdir():
        checkpoint = torch.load(path, weights_only=True)
        del checkpoint["seqlab"]["suppliers"]
        torch.save(checkpoint, path)
    assert Run(run).settings().config.model.cell == "gru"
