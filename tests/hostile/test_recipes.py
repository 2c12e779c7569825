"""Recipes and other files of settings from elsewhere that mean harm: one line and exit code 2, and no code run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import seqlab as package
from seqlab.specs import read_yaml

RECIPE = yaml.safe_load((Path(package.__file__).parents[1] / "recipes" / "translation.yaml").read_text("utf-8"))
LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))
"""Sixty lines that unfold to 2^60 words: the billion laughs."""


def recipe(**changes: Any) -> str:
    """The translation recipe with some settings changed, given as ``group__key``."""
    values = json.loads(json.dumps(RECIPE))
    for name, value in changes.items():
        *groups, key = name.split("__")
        place = values
        for group in groups:
            place = place.setdefault(group, {})
        place[key] = value
    return yaml.safe_dump(values)


def called(function: str, **arguments: Any) -> str:
    """The recipe with a function in the place of the optimizer."""
    return recipe(model__optimizer={"class_path": function, "init_args": arguments})


LAMBDA = "lightning.pytorch.callbacks.LambdaCallback"
OUTSIDE = "is of none of the packages that a recipe may name classes of"
SHELL = ["--no-python", "--standalone", "mkdir", "harmed"]
RECIPES: dict[str, tuple[str | bytes, str]] = {
    "a tag of Python": ("task: !!python/object/apply:os.mkdir [harmed]", "could not determine a constructor for"),
    "a tag of a module": ("task: !!python/module:os", "could not determine a constructor for the tag"),
    "a tag of its own": ("task: !x y", "could not determine a constructor for the tag '!x'"),
    "a billion laughs": (LAUGHS, "is not YAML: it unfolds to over 50,000 values"),
    "one that contains itself": ("a: &a [*a]", "is not YAML: it contains itself"),
    "deep nesting": ("a: " + "[" * 100_000, "is not YAML: it is nested in more than 40 levels"),
    "deep mappings": ("".join(f"{' ' * n}a:\n" for n in range(300)), "it is nested in more than 40 levels"),
    "100 MB": (b"# " + b"x" * 100_000_000, "holds no settings: it has 100,000,002 bytes, settings at most 262,144"),
    "NUL": (b"task: \x00", "is not YAML: unacceptable character #x0000"),
    "noise": (b"\xff\xfe\x00\xd8", "is not YAML: "),
    "a key twice": ("task: a\ntask: b", "is not YAML: 'task' is there twice"),
    "a deep key twice": ("a: {b: {c: 1, c: 2}}", "is not YAML: 'c' is there twice"),
    "a key that is no text": ("model: {1: 2}", "is not YAML: the key '1' is no text: write it in quotes"),
    "a key that YAML takes for true": ("model: {on: 2}", "is not YAML: the key 'on' is no text"),
    "a key that is a list": ("? [a]\n: b", "is not YAML: the key '' is no text"),
    "month 13": ("a: 2020-13-01", "is not YAML: month must be in 1..12"),
    "a number of 5,000 digits": (f"a: {'9' * 5000}", "is not YAML: Exceeds the limit"),
    "two documents": ("a: 1\n---\nb: 2", "is not YAML: expected a single document"),
    "nothing": ("", "holds no settings"),
    "a foreign task": (recipe(task="subprocess.Popen"), "task 'subprocess.Popen' is of none of the allowed packages"),
    "a foreign task by another name": (recipe(task="torch.os.system"), "is of none of the allowed packages"),
    "a task that is none": (recipe(task="torch.nn.Linear"), "is no subclass of seqlab.tasks.base.Task"),
    "os.system": (called("os.system", command="mkdir harmed"), f"os.system {OUTSIDE}"),
    "os.system by another name": (called("torch.os.system", command="mkdir harmed"), f"torch.os.system {OUTSIDE}"),
    "os.system in an allowed package": (
        called("lightning.pytorch.callbacks.model_checkpoint.os.system", command="mkdir harmed"),
        "lightning.pytorch.callbacks.model_checkpoint.os.system is no class",
    ),
    "subprocess.Popen": (called("subprocess.Popen", args=["mkdir", "harmed"]), f"subprocess.Popen {OUTSIDE}"),
    "eval": (called("builtins.eval", source="1"), f"builtins.eval {OUTSIDE}"),
    "functools.partial": (called("functools.partial", func="os.system"), f"functools.partial {OUTSIDE}"),
    "partial by another name": (called("torch.functools.partial"), f"torch.functools.partial {OUTSIDE}"),
    "torch.load": (called("torch.load", f="x.ckpt", weights_only=False), f"torch.load {OUTSIDE}"),
    "torch.hub.load": (called("torch.hub.load", repo_or_dir="x", source="local"), f"torch.hub.load {OUTSIDE}"),
    "a process of torch": (called("torch.distributed.run.main", args=SHELL), f"torch.distributed.run.main {OUTSIDE}"),
    "a shell of torch": (called("torch.utils.collect_env.run"), f"torch.utils.collect_env.run {OUTSIDE}"),
    "a compiler": (called("torch.utils.cpp_extension.load_inline"), OUTSIDE),
    "a library": (called("torch.ops.load_library", path="x.so"), f"torch.ops.load_library {OUTSIDE}"),
    "the command itself": (called("seqlab.cli.main", argv=["cells"]), f"seqlab.cli.main {OUTSIDE}"),
    "a function of seqlab": (
        called("seqlab.data.encoding.serve"),
        "seqlab.data.encoding.serve is no class, and a file",
    ),
    "a function of torch": (called("torch.nn.init.zeros_"), "torch.nn.init.zeros_ is no class"),
    "another class": (called("torch.nn.Linear", in_features=3), "model.optimizer: "),
    "a callback that calls": (
        recipe(trainer__callbacks=[{"class_path": LAMBDA, "init_args": {"setup": "os.system"}}]),
        f"os.system {OUTSIDE}",
    ),
    "a callback that calls torch": (
        recipe(trainer__callbacks=[{"class_path": LAMBDA, "init_args": {"setup": "torch.hub.load"}}]),
        f"torch.hub.load {OUTSIDE}",
    ),
    "a callback that is none": (recipe(trainer__callbacks=[{"class_path": "os.system"}]), f"os.system {OUTSIDE}"),
    "a metric that is none": (recipe(model__metrics__bleu="os.system"), f"os.system {OUTSIDE}"),
    "a schedule that is none": (recipe(model__schedule="os.system"), f"os.system {OUTSIDE}"),
}


AS_CONFIG = ("a tag of Python", "a billion laughs", "100 MB", "a key twice", "a process of torch", "the command itself")


@pytest.mark.parametrize(
    ("what", "way"), [*((what, "--recipe") for what in RECIPES), *((what, "--config") for what in AS_CONFIG)]
)
def test_recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, way: str, refused: Callable) -> None:
    monkeypatch.chdir(tmp_path)
    content, expected = RECIPES[what]
    Path("x.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    base = ["--recipe", "translation"] if way == "--config" else []
    assert expected in refused(["fit", *base, way, "x.yaml", "--run", "run"])
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.yaml"]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("data", "x.yaml: data has settings of its own, and is not 'laughs.yaml'"),
        ("model__search", "laughs.yaml is of none of the packages"),
        ("data__tokenizer", "laughs.yaml is of none of the packages"),
    ],
)
def test_settings_in_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, expected: str, refused: Callable
) -> None:
    """The parser of flags takes the name of a file for what is in it, and reads it by itself."""
    monkeypatch.chdir(tmp_path)
    Path("laughs.yaml").write_text(LAUGHS)
    Path("x.yaml").write_text(recipe(**{setting: "laughs.yaml"}))
    assert expected in refused(["fit", "--recipe", "x.yaml", "--run", "run"])
    assert not Path("run").exists()


def test_anchors_are_no_harm(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("a: &a {b: 1, c: [1, 2]}\nd: {<<: *a, e: *a, b: 3}\n")
    own = {"b": 1, "c": [1, 2]}
    assert read_yaml(tmp_path / "x.yaml") == {"a": own, "d": {"b": 3, "c": [1, 2], "e": own}}


def test_settings_of_a_run(run: Path, refused: Callable) -> None:
    """What a run from elsewhere is configured with is read as a recipe is."""
    config = run / "config.yaml"
    settings = yaml.safe_load(config.read_text("utf-8"))
    settings["model"]["optimizer"] = {"class_path": "torch.distributed.run.main", "init_args": {"args": SHELL}}
    config.write_text(yaml.safe_dump(settings), "utf-8")
    assert f"torch.distributed.run.main {OUTSIDE}" in refused(["translate", str(run)])
    config.write_text(LAUGHS, "utf-8")
    assert "it unfolds to over" in refused(["translate", str(run)])
    assert not Path("harmed").exists()
