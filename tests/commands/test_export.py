"""``seqlab export``: what it writes is the model, whole, and works without the run."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
import yaml
from safetensors import safe_open

import seqlab as package
from seqlab.cli import main
from seqlab.errors import UserError
from seqlab.runs import Run
from seqlab.score_text import score_text
from seqlab.training.checkpoints import load_checkpoint
from seqlab.training.exports import read_export, write_export

LINES = ["The dog sees the cat.", "", "A fox likes horses ."]


@pytest.fixture(scope="module")
def runs(tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A translation run with tied and averaged weights and scores, and a language model's, with their exports; the
    runs themselves are gone, what they gave is left.
    """
    folder = tmp_path_factory.mktemp("runs")
    translation = [
        *("--recipe", "translation", *tiny, "--model.tying", "three-way", "--model.cell", "rrnn:feedback=updated"),
        *("--model.encoder_size", "16", "--model.decoder_size", "16", "--data.tokenizer.lowercase", "true"),
        *("--data.tokenizer.vocab_size", "50"),
        *("--model.average", "EMA", "--model.average.decay", "0.7"),
    ]
    text = folder / "text.txt"
    text.write_text("".join(f"{'the dog sees the cat .' if n % 3 else 'a fox likes it .'}\n" for n in range(90)))
    language = [
        *("--recipe", "language-model", "--data.train", str(text), "--data.val", str(text), "--data.test", str(text)),
        *("--data.tokenizer.kind", "word", "--data.tokenizer.vocab_size", "30", "--data.tokenizer.lossless", "false"),
        *("--data.streams", "3", "--model.embedding_size", "16", "--model.hidden_size", "16"),
        *("--trainer.accelerator", "cpu", "--model.tying", "true"),
    ]
    steps = ["--trainer.max_steps", "6", "--trainer.val_check_interval", "3"]
    for name, flags in (("translation", translation), ("language", language)):
        assert main(["fit", "--run", str(folder / name), *flags, *steps]) == 0
    assert main(["evaluate", str(folder / "translation"), "--bootstrap", "0", "--name", "new-text"]) == 0
    for name in ("translation", "language"):
        assert main(["export", str(folder / name), str(folder / f"{name}-model")]) == 0
    return {path.name: path for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["translation", "language"])
def test_weights_and_outputs_are_those_of_the_run(runs: dict[str, Path], name: str, tmp_path: Path) -> None:
    task: Any = package.load(runs[name], "cpu")
    alone = shutil.copytree(runs[f"{name}-model"], tmp_path / "elsewhere" / "model")
    other: Any = package.load(alone, "cpu")
    own, found = task.state_dict(), other.state_dict()
    assert list(own) == list(found) and all(torch.equal(own[key], found[key]) for key in own)
    assert len(list(task.parameters())) == len(list(other.parameters())) and not other.training
    if name == "translation":
        assert task.translate(LINES) == other.translate(LINES)
        raw = load_checkpoint(runs[name] / "checkpoints" / "best.ckpt")["state_dict"]
        assert any(not torch.equal(raw[key], found[key]) for key in raw)  # the averages differ from them
    else:
        assert task.generate("the dog", length=9) == other.generate("the dog", length=9)


def test_every_weight_is_there_once(runs: dict[str, Path]) -> None:
    path = runs["translation-model"] / "model.safetensors"
    task = package.load(runs["translation"], "cpu")
    with safe_open(path, "pt") as file:
        names, metadata = set(file.keys()), file.metadata()
    shared = json.loads(metadata["seqlab"])["shared"]
    assert names == {name for name, _ in task.named_parameters()} | {name for name, _ in task.named_buffers()}
    assert set(shared) == set(task.state_dict()) - names and len(shared) == 2 and set(shared.values()) <= names
    assert list(metadata) == ["seqlab"]


def test_the_commands_take_an_export(
    runs: dict[str, Path], corpus: Path, tmp_path: Path, seqlab: Callable, capfd: pytest.CaptureFixture
) -> None:
    """Two of them in processes of their own, as if there had never been a run."""
    model, language = shutil.copytree(runs["translation-model"], tmp_path / "model"), runs["language-model"]
    done = seqlab("translate", model, stdin="".join(f"{line}\n" for line in LINES).encode())
    task: Any = package.load(runs["translation"], "cpu")
    assert done.stdout.decode().splitlines() == task.translate(LINES)
    lines = tmp_path / "lines"
    lines.write_text("the dog sees\n")
    done = seqlab("score", language, "--lines", lines)
    assert (done.returncode, done.stdout.count(b"\n")) == (0, 1)
    assert main(["generate", str(language), "the dog", "--length", "3"]) == 0
    assert main(["evaluate", str(model), "--bootstrap", "0"]) == 0
    record = json.loads((model / "scores.json").read_text("utf-8"))
    own = record["test"]["checkpoint"]
    step = load_checkpoint(runs["translation"] / "checkpoints" / "best.ckpt")["global_step"]
    assert (own["file"], own["step"], own["weights"]) == ("model.safetensors", step, "averaged")
    assert record["test"]["scores"] == record["new-text"]["scores"]
    assert main(["fit", "--run", str(model), "--resume"]) == 2
    assert "has no checkpoint to resume from" in capfd.readouterr().err


def test_files(runs: dict[str, Path]) -> None:
    folder, run = runs["translation-model"], runs["translation"]
    assert {path.name for path in folder.iterdir()} == {
        *("model.safetensors", "config.yaml", "tokenizer.json", "tokenizer.model", "scores.json", "README.md"),
    }
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {(folder / "README.md").stat().st_mode & 0o777}
    assert (folder / "config.yaml").read_text("utf-8") == (run / "config.yaml").read_text("utf-8")
    assert (folder / "scores.json").read_bytes() == (run / "scores.json").read_bytes()
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    assert pieces.get_piece_size() == 50
    assert json.loads((runs["language-model"] / "tokenizer.json").read_text("utf-8"))["kind"] == "word"
    assert (runs["language-model"] / "config.yaml").is_file() and not (runs["language-model"] / "scores.json").exists()


def test_the_card(runs: dict[str, Path]) -> None:
    card = (runs["translation-model"] / "README.md").read_text("utf-8")
    records = json.loads((runs["translation"] / "scores.json").read_text("utf-8"))
    parameters = sum(weight.numel() for weight in package.load(runs["translation"], "cpu").parameters())
    assert card.startswith(f"# translation-model\n\nTranslation, {parameters:,} parameters, ")
    assert "rrnn of seqlab" in card and "The averaged weights of step " in card
    assert "seqlab translate translation-model < in.txt > out.txt" in card and "seqlab generate" not in card
    for name, score in records["new-text"]["scores"].items():
        assert f"| new-text/{name} | {score_text(score['value'])} | " in card
        assert score["signature"].replace("|", "\\|") in card
    other = (runs["language-model"] / "README.md").read_text("utf-8")
    assert "## Scores" not in other and 'task.generate("...")' in other and "The weights of step " in other


def test_an_export_of_an_export_is_the_same(runs: dict[str, Path], tmp_path: Path) -> None:
    empty = tmp_path / "again"
    empty.mkdir()  # which may be there
    assert main(["export", str(runs["translation-model"]), str(empty)]) == 0
    for name in ("model.safetensors", "config.yaml", "tokenizer.json", "tokenizer.model"):
        assert (empty / name).read_bytes() == (runs["translation-model"] / name).read_bytes()


def test_a_start_from_an_export(runs: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    settings = yaml.safe_load((runs["language-model"] / "config.yaml").read_text("utf-8"))
    settings["training"]["init_from"] = str(runs["language-model"])
    settings["trainer"]["max_steps"] = 3
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(settings), "utf-8")
    assert main(["fit", "--recipe", str(tmp_path / "recipe.yaml"), "--run", str(tmp_path / "run")]) == 0
    assert f"taken over from {runs['language-model']} (step " in capfd.readouterr().err


def occupied(folder: Path) -> None:
    folder.mkdir()
    (folder / "mine").write_text("kept")


WRONG: dict[str, tuple[Callable[[Path], Any], str]] = {
    "occupied": (occupied, "is not empty; it was left as it is: take another DIR"),
    "a file": (lambda folder: folder.write_text("kept"), "is no folder: an export is one of its own; take another DIR"),
    "a link": (lambda folder: folder.symlink_to("nowhere"), "is no folder: an export is one of its own"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_there_stays(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, capfd: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    make, expected = WRONG[what]
    make(Path("model"))
    before = [(path, path.read_bytes() if path.is_file() else b"") for path in sorted(tmp_path.rglob("*"))]
    assert main(["export", str(trained), "model"]) == 2
    out, err = capfd.readouterr()
    assert (out, err) == ("", f"seqlab export: error: model {expected}{err.partition(expected)[2]}")
    assert [(path, path.read_bytes() if path.is_file() else b"") for path in sorted(tmp_path.rglob("*"))] == before


def test_wrong_places(trained: Path, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    assert main(["export", str(trained), str(tmp_path / "a" / "b")]) == 2
    assert f"there is no folder {tmp_path / 'a'} to write b into" in capfd.readouterr().err
    assert main(["export", str(tmp_path / "nothing"), str(tmp_path / "b")]) == 2
    assert "is not a run (no config.yaml)" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("failing", ["write_export", "model_card"])
def test_nothing_is_left_of_one_that_failed(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str, capfd: pytest.CaptureFixture
) -> None:
    def full(*arguments: Any) -> Any:
        if failing == "write_export":
            (arguments[0] / "model.safetensors").write_bytes(b"half")
        raise OSError(28, os.strerror(28))

    places = {"write_export": "seqlab.training.exports", "model_card": "seqlab.evaluation.cards"}
    monkeypatch.setattr(f"{places[failing]}.{failing}", full)
    assert main(["export", str(trained), str(tmp_path / "model")]) == 2
    assert capfd.readouterr().err.endswith(f"error: cannot write {tmp_path / 'model'}: No space left on device\n")
    assert list(tmp_path.iterdir()) == []


def test_state_of_every_kind_comes_back(trained: Path, tmp_path: Path) -> None:
    """A data module of others may keep what it likes, as tensors, numbers, text or bytes."""
    checkpoint = load_checkpoint(Run(trained).checkpoint())
    state = {
        "numbers": [1, 2.5, None, True, "x"],
        "pair": (3, "y"),
        "vectors": {"a": torch.arange(5.0), "b": [torch.tensor(7)]},
        "tokenizers": {"one": b"\x00\xff", "two": b'{"kind": "byte"}'},
        "nested": {"dict": {"file": "x"}},
    }
    write_export(tmp_path, {**checkpoint, "Data": state}, "task: x\n", "Data")
    found = read_export(tmp_path / "model.safetensors")
    vectors, given = found["Data"].pop("vectors"), state.pop("vectors")
    assert found["Data"] == state and isinstance(found["Data"]["pair"], tuple)
    assert torch.equal(vectors["a"], given["a"]) and torch.equal(vectors["b"][0], given["b"][0])
    assert set(found["state_dict"]) == set(checkpoint["state_dict"])
    assert {path.name for path in tmp_path.iterdir()} == {
        *("model.safetensors", "config.yaml", "tokenizers.one.model", "tokenizers.two.json"),
    }
    with pytest.raises(UserError, match=r"cannot be exported: data\.x is of type set"):
        write_export(tmp_path, {**checkpoint, "Data": {"x": {1}}}, "task: x\n", "Data")


def test_averages_in_another_precision(trained: Path, tmp_path: Path) -> None:
    """Averages are kept in single precision at least; the weights of an export have the model's own."""
    checkpoint = load_checkpoint(Run(trained).checkpoint())
    weights = {name: value.to(torch.bfloat16) for name, value in checkpoint["state_dict"].items()}
    averaged = {name: value.float() * 1.01 for name, value in weights.items()}
    made = {**checkpoint, "state_dict": weights, "averaged": averaged}
    write_export(tmp_path, made, "task: x\n", "ParallelText")
    found = read_export(tmp_path / "model.safetensors")["state_dict"]
    assert all(torch.equal(found[name], averaged[name].to(torch.bfloat16)) for name in weights)


def test_other_versions_are_told(runs: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As of a run: what supplied a cell may have changed since."""
    checkpoint = load_checkpoint(runs["language"] / "checkpoints" / "best.ckpt")
    checkpoint["seqlab"] |= {"suppliers": {"optimizer.X": ["torch", "1.0"]}}
    config = (runs["language"] / "config.yaml").read_text("utf-8")
    write_export(tmp_path, checkpoint, config, "LanguageText")
    package.load(tmp_path, "cpu")
    assert f"{tmp_path} was trained with torch 1.0, installed is {torch.__version__}" in caplog.text
