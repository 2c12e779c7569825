"""Files from elsewhere that mean harm: one line and exit code 2, no code of theirs run, no memory taken for it."""

import ast
import json
import os
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import seqlab as package
from seqlab.cli import main
from seqlab.specs import read_yaml
from seqlab.training import exports

RECIPE = yaml.safe_load((Path(package.__file__).parents[1] / "recipes" / "translation.yaml").read_text("utf-8"))
HUGE = 10**13


class Code:
    """Pickles as a call; the marker is what the call would leave behind."""

    def __init__(self, function: Callable, *arguments: Any):
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def refused(argv: list[str], capfd: pytest.CaptureFixture) -> str:
    """The one line that a command ends with, with exit code 2."""
    code = main(argv)
    out, err = capfd.readouterr()
    lines = [line for line in err.splitlines() if line.startswith("seqlab ")]
    assert code == 2 and out == "" and len(lines) == 1 and lines[0] == err.splitlines()[-1], err
    assert lines[0].startswith(f"seqlab {argv[0]}: error: ") and "Traceback" not in err
    return lines[0]


# ---------------------------------------------------------------------------------------------------------- checkpoints


def edited(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """What changes the contents of a checkpoint."""

    def edit(path: Path) -> None:
        checkpoint = torch.load(path, weights_only=True)
        change(checkpoint)
        torch.save(checkpoint, path)

    return edit


def put(value: Any, *keys: str) -> Callable[[Path], None]:
    """What puts a value into a checkpoint."""

    def change(checkpoint: dict[str, Any]) -> None:
        for key in keys[:-1]:
            checkpoint = checkpoint[key]
        checkpoint[keys[-1]] = value

    return edited(change)


def weight(value: Any) -> Callable[[Path], None]:
    """What puts a value in the place of the first weight."""

    def change(checkpoint: dict[str, Any]) -> None:
        checkpoint["state_dict"][next(iter(checkpoint["state_dict"]))] = value()

    return edited(change)


def bomb(path: Path) -> None:
    """An archive that unpacks to a thousand times what it is."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, 2))
        archive.writestr("archive/data/0", bytes(1 << 26))


def legacy(path: Path) -> None:
    torch.save(Code(os.mkdir, "harmed"), path, _use_new_zipfile_serialization=False)


def tar_or_text(path: Path) -> None:
    path.write_text("weights\n")


def linked(target: str) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        path.unlink()
        path.symlink_to(target)

    return edit


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def longer_storage(path: Path) -> None:
    """A storage that says that it has many more numbers than it has bytes for."""
    with zipfile.ZipFile(path) as archive:
        parts = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    (name,) = (name for name in parts if name.endswith("data.pkl"))
    first = torch.load(path, weights_only=True)["state_dict"]
    size = next(iter(first.values())).numel()
    short, long = b"M" + struct.pack("<H", size), b"\x8a\x06" + HUGE.to_bytes(6, "little")
    assert short in parts[name]
    parts[name] = parts[name].replace(short, long, 1)
    with zipfile.ZipFile(path, "w") as archive:
        for part, content in parts.items():
            archive.writestr(part, content)


LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))
"""Sixty lines that unfold to 2^60 words: the billion laughs."""

CHECKPOINTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "a call": (put(Code(os.mkdir, "harmed"), "extra"), "it names posix.mkdir, and a checkpoint is of tensors"),
    "a call in seqlab": (put(Code(main, ["fit"]), "extra"), "it names seqlab.cli.main, and a checkpoint is of"),
    "a call of eval": (put(Code(eval, "1"), "extra"), "it names __builtin__.eval, and a checkpoint is of"),
    "an object": (put(Path("x"), "extra"), "it names pathlib.PosixPath, and a checkpoint is of"),
    "a buffer of any size": (put(Code(bytearray, HUGE), "extra"), "it names __builtin__.bytearray, and"),
    "a tensor of any size": (put(Code(torch.Tensor, HUGE), "extra"), "it names torch.Tensor, and"),
    "a whole module": (put(torch.nn.Linear(3, 5), "extra"), "it names torch.nn.modules.linear.Linear, and"),
    "the old format, with a call": (legacy, "is no readable checkpoint: it is cut short, damaged, or something else"),
    "a pickle": (lambda path: path.write_bytes(pickle.dumps(Code(os.mkdir, "harmed"))), "is no readable checkpoint"),
    "a zip bomb": (bomb, "is refused: it unpacks to more than it is"),
    "a storage of any size": (longer_storage, "is no readable checkpoint"),
    "text": (tar_or_text, "is no readable checkpoint: it is cut short, damaged, or something else"),
    "nothing": (lambda path: path.write_bytes(b""), "is no readable checkpoint: it is empty"),
    "zeros": (lambda path: path.write_bytes(bytes(100_000)), "is no readable checkpoint: it is cut short"),
    "the first half": (
        lambda path: os.truncate(path, path.stat().st_size // 2),
        "is no readable checkpoint: it is cut",
    ),
    "all but the last byte": (lambda path: os.truncate(path, path.stat().st_size - 1), "is no readable checkpoint"),
    "a list": (lambda path: torch.save([1, 2], path), "is not a checkpoint of seqlab"),
    "no weights": (edited(lambda checkpoint: checkpoint.pop("state_dict")), "it holds no 'state_dict'"),
    "no step": (edited(lambda checkpoint: checkpoint.pop("ParallelText")), "it holds no 'ParallelText'"),
    "a folder": (folder, "has no checkpoint yet"),
    "a link to nothing": (linked("nowhere"), "has no checkpoint yet"),
    "a link to itself": (linked("best.ckpt"), "has no checkpoint yet"),
    "a link without end": (linked("/dev/zero"), "has no checkpoint yet"),
    "a pipe": (fifo, "has no checkpoint yet"),
    "a weight without memory": (weight(lambda: torch.zeros(1).expand(HUGE)), "its state_dict is not what"),
    "a weight nowhere": (
        weight(lambda: torch.empty(HUGE, device="meta")),
        "it names torch._utils._rebuild_meta_tensor",
    ),
    "a sparse weight": (weight(lambda: torch.eye(3).to_sparse()), "it names torch._utils._rebuild_sparse_tensor"),
    "another weight": (weight(lambda: torch.zeros(3)), "does not fit its own tokenizer or the configuration"),
    "a weight of text": (weight(lambda: "x"), "its state_dict is not what a checkpoint has there"),
    "a list of weights": (put([1], "state_dict"), "its state_dict is not what a checkpoint has there"),
    "averages of text": (put("x", "averaged"), "its averaged is not what a checkpoint has there"),
    "a foreign average": (put({"x": torch.zeros(3)}, "averaged"), "it has an average of 'x', which is no weight"),
    "a step of text": (put("7", "global_step"), "its global_step is not what a checkpoint has there"),
    "a list of itself": (put([1], "seqlab"), "is not a checkpoint of seqlab"),
    "a number for suppliers": (put(7, "seqlab", "suppliers"), "its seqlab.suppliers is not what a checkpoint has"),
    "a supplier that steers": (
        put({"cell x": ["\x1b[2J;rm -rf ~", "1\n2"]}, "seqlab", "suppliers"),
        "needs cell 'x' of ?[2J;rm -rf ~ 1 2: pip install",
    ),
    "a number for settings": (put(7, "seqlab", "config"), "its seqlab.config is not what a checkpoint has there"),
    "settings that unfold": (put(LAUGHS, "seqlab", "config"), "its configuration is not YAML: it unfolds to over"),
    "no tokenizer": (put({"position": {"epoch": 1, "taken": 1}}, "ParallelText"), "it holds no 'tokenizer'"),
    "a number for a tokenizer": (put(7, "ParallelText", "tokenizer"), "what it saved of the data cannot be read"),
    "noise for a tokenizer": (put(b"\xff" * 99, "ParallelText", "tokenizer"), "what it saved of the data cannot be"),
    "JSON for a tokenizer": (put(b"{}", "ParallelText", "tokenizer"), "does not fit the configuration"),
    "brackets for a tokenizer": (
        put(b'{"kind":' + b"[" * 100_000, "ParallelText", "tokenizer"),
        "what it saved of the data cannot be read",
    ),
    "a list for the data": (put([1], "ParallelText"), "what it saved of the data cannot be read"),
}


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a run with the best checkpoint alone."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    shutil.copy(trained / "config.yaml", "run")
    shutil.copy(trained / "checkpoints" / "best.ckpt", "run/checkpoints")
    return Path("run")


@pytest.mark.parametrize("what", CHECKPOINTS)
def test_checkpoints(run: Path, what: str, capfd: pytest.CaptureFixture) -> None:
    edit, expected = CHECKPOINTS[what]
    edit(run / "checkpoints" / "best.ckpt")
    assert expected in refused(["translate", str(run)], capfd)
    assert not Path("harmed").exists()


SIZES = {
    "model.encoder_size": 10**9,
    "model.embedding_size": 10**12,
    "model.encoder_layers": 10**9,
    "model.decoder_layers": 10**9,
}


@pytest.mark.parametrize("name", SIZES)
def test_settings_of_a_model_of_any_size(run: Path, name: str, capfd: pytest.CaptureFixture) -> None:
    settings = yaml.safe_load((run / "config.yaml").read_text("utf-8"))
    group, _, key = name.partition(".")
    settings[group][key] = SIZES[name]
    (run / "config.yaml").write_text(yaml.safe_dump(settings), "utf-8")
    assert "is of a model many times as large as its weights" in refused(["translate", str(run)], capfd)


# -------------------------------------------------------------------------------------------------------------- exports


def header(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Changes what a safetensors file says of itself."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    values = json.loads(content[8 : 8 + length])
    change(values)
    text = json.dumps(values).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])


def says(**changes: Any) -> Callable[[Path], None]:
    """What changes the record in the weights of an export."""

    def edit(path: Path) -> None:
        def change(values: dict[str, Any]) -> None:
            record = json.loads(values["__metadata__"]["seqlab"]) | changes
            values["__metadata__"]["seqlab"] = json.dumps(record)

        header(path, change)

    return edit


def first_tensor(**changes: Any) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        header(path, lambda values: next(v for k, v in values.items() if k != "__metadata__").update(changes))

    return edit


def other_file(name: str) -> dict[str, Any]:
    return {"ParallelText": {"dict": {"tokenizer": {"file": name}, "position": {"dict": {}}}}}


EXPORTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a header of any size": (
        lambda path: path.write_bytes(struct.pack("<Q", 1 << 62) + b"{}"),
        "is no readable checkpoint",
    ),
    "nothing": (lambda path: path.write_bytes(b""), "is no readable checkpoint"),
    "the first half": (lambda path: os.truncate(path, path.stat().st_size // 2), "is no readable checkpoint"),
    "a weight of any size": (first_tensor(shape=[HUGE, HUGE]), "is no readable checkpoint"),
    "a weight from elsewhere": (first_tensor(data_offsets=[0, HUGE]), "is no readable checkpoint"),
    "none of seqlab": (
        lambda path: header(path, lambda values: values.pop("__metadata__")),
        "is not an export of seqlab: its metadata have no seqlab",
    ),
    "a newer format": (says(format=2), "is an export of format 2, this seqlab reads 1"),
    "a record of brackets": (
        lambda path: header(path, lambda values: values["__metadata__"].update(seqlab="[" * 100_000)),
        "is no readable export: what it says of itself is damaged",
    ),
    "a tie to nothing": (says(shared={"x": "y"}), "is no readable export: what it says of itself is damaged"),
    "a file from elsewhere": (says(data=other_file("../../secret")), "it names a file that is not its own"),
    "a file by its whole path": (says(data=other_file("/etc/hostname")), "it names a file that is not its own"),
    "no such file": (says(data=other_file("x.model")), "is not whole: it has no file x.model"),
    "a folder for a file": (says(data=other_file(".")), "it names a file that is not its own"),
    "a list for suppliers": (says(suppliers=[1]), "its seqlab.suppliers is not what a checkpoint has there"),
    "a plugin that is not here": (
        says(suppliers={"cell x": ["no-such-plugin", "1.2"]}),
        "needs cell 'x' of no-such-plugin 1.2: pip install no-such-plugin==1.2",
    ),
    "a tokenizer that is a link": (
        lambda path: [(path.parent / "tokenizer.model").unlink(), (path.parent / "tokenizer.model").symlink_to("/etc")],
        "it names a file that is not its own",
    ),
}


@pytest.fixture(scope="module")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports") / "model"
    assert main(["export", str(trained), str(folder)]) == 0
    return folder


@pytest.mark.parametrize("what", EXPORTS)
def test_exports(exported: Path, tmp_path: Path, what: str, capfd: pytest.CaptureFixture) -> None:
    copy = shutil.copytree(exported, tmp_path / "model")
    edit, expected = EXPORTS[what]
    edit(copy / exports.WEIGHTS)
    assert expected in refused(["translate", str(copy)], capfd)


# -------------------------------------------------------------------------------------------------------------- recipes


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
def test_recipes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, way: str, capfd: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    content, expected = RECIPES[what]
    Path("x.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    base = ["--recipe", "translation"] if way == "--config" else []
    assert expected in refused(["fit", *base, way, "x.yaml", "--run", "run"], capfd)
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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, expected: str, capfd: pytest.CaptureFixture
) -> None:
    """The parser of flags takes the name of a file for what is in it, and reads it by itself."""
    monkeypatch.chdir(tmp_path)
    Path("laughs.yaml").write_text(LAUGHS)
    Path("x.yaml").write_text(recipe(**{setting: "laughs.yaml"}))
    assert expected in refused(["fit", "--recipe", "x.yaml", "--run", "run"], capfd)
    assert not Path("run").exists()


def test_anchors_are_no_harm(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("a: &a {b: 1, c: [1, 2]}\nd: {<<: *a, e: *a, b: 3}\n")
    own = {"b": 1, "c": [1, 2]}
    assert read_yaml(tmp_path / "x.yaml") == {"a": own, "d": {"b": 3, "c": [1, 2], "e": own}}


def test_a_tokenizer_of_a_checkpoint(run: Path, tiny: list[str], capfd: pytest.CaptureFixture) -> None:
    path = run / "checkpoints" / "best.ckpt"
    put(Code(os.mkdir, "harmed"), "extra")(path)
    argv = ["fit", "--recipe", "translation", *tiny, "--data.tokenizer.file", str(path), "--run", "other"]
    assert "it names posix.mkdir, and a checkpoint is of" in refused(argv, capfd)
    assert not Path("harmed").exists() and not Path("other").exists()


def test_settings_of_a_run(run: Path, capfd: pytest.CaptureFixture) -> None:
    """What a run from elsewhere is configured with is read as a recipe is."""
    config = run / "config.yaml"
    settings = yaml.safe_load(config.read_text("utf-8"))
    settings["model"]["optimizer"] = {"class_path": "torch.distributed.run.main", "init_args": {"args": SHELL}}
    config.write_text(yaml.safe_dump(settings), "utf-8")
    assert f"torch.distributed.run.main {OUTSIDE}" in refused(["translate", str(run)], capfd)
    config.write_text(LAUGHS, "utf-8")
    assert "it unfolds to over" in refused(["translate", str(run)], capfd)
    assert not Path("harmed").exists()


# -------------------------------------------------------------------------------------------- the sources and the data

CALLS = {"eval", "exec", "compile", "__import__", "breakpoint", "input"}
ATTRIBUTES = {"system", "popen", "getoutput", "unsafe_load", "full_load", "load_inline", "load_library"}
PICKLES = {"data/encoding.py"}
"""Reads pickles of a process that it started itself, from a pipe."""


def complaints(source: str, name: str) -> list[str]:
    """What in a source would run code or a shell that a file or a user could choose."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        function, given = node.func, {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        path = ast.unparse(function)
        wrong = (
            (isinstance(function, ast.Name) and function.id in CALLS)
            or (isinstance(function, ast.Attribute) and function.attr in ATTRIBUTES)
            or path.startswith(
                ("os.exec", "os.spawn", "torch.hub.", "torch.jit.load", "yaml.load", "marshal.", "dill.")
            )
            or "shell" in given
            or given.get("trust_remote_code") not in (None, "False")
            or (path.startswith("pickle.load") and name not in PICKLES)
            or (path == "torch.load" and given.get("weights_only") != "True")
            or (path == "np.load" and given.get("allow_pickle") != "False")
        )
        if wrong:
            found.append(f"{name}, line {node.lineno}: {ast.unparse(node)}")
    return found


def test_no_source_runs_a_shell_or_text() -> None:
    root = Path(package.__file__).parent
    sources = sorted(root.rglob("*.py"))
    assert len(sources) > 100
    assert [line for path in sources for line in complaints(path.read_text("utf-8"), str(path.relative_to(root)))] == []


@pytest.mark.parametrize(
    "source",
    [
        "eval('1')",
        "os.system('x')",
        "subprocess.run('x', shell=True)",
        "pickle.loads(x)",
        "torch.load(x)",
        "torch.load(x, weights_only=False)",
        "np.load(x, allow_pickle=True)",
        "yaml.load(x, Loader=yaml.Loader)",
        "load_dataset(x, trust_remote_code=True)",
    ],
)
def test_the_search_of_the_sources_can_fail(source: str) -> None:
    assert len(complaints(source, "x.py")) == 1


def test_a_data_set_with_a_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    """Code that comes with a data set is not run, whatever it is called."""
    monkeypatch.chdir(tmp_path)
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for name in ("corpus", "dataset", "__init__", "conftest"):
        (corpus / f"{name}.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'harmed')!r})\n")
    line = refused(["fit", "--recipe", "translation", "--data.train", f"hub:{corpus}", "--run", "run"], capfd)
    assert f"cannot load hub:{corpus} from the folder {corpus}: " in line
    assert not (tmp_path / "harmed").exists() and not (tmp_path / "run").exists()
