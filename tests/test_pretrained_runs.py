"""Whole runs whose embeddings start from files of word vectors, and with the options of states and normalisation."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import seqlab as package
from seqlab.cli import main
from seqlab.data.words import Words
from seqlab.tasks import LanguageModel


def vectors_of(corpus: Path, language: str, path: Path, width: int = 16) -> Path:
    """A file of a vector for each word of the training text."""
    words = sorted(set((corpus / f"train.{language}").read_text(encoding="utf-8").replace(".", "").split()))
    rows = np.random.default_rng(1).standard_normal((len(words), width))
    lines = [" ".join([word, *map(str, row)]) for word, row in zip(words, rows, strict=True)]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_a_run_needs_its_vectors_only_to_begin(
    tiny: list[str], corpus: Path, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    """Once begun it is translated with, evaluated and resumed without them, and a resume does not set them anew."""
    source, target = (vectors_of(corpus, language, tmp_path / f"{language}.vec") for language in ("en", "de"))
    run, steps = tmp_path / "run", ["--trainer.val_check_interval", "1", "--model.optimizer.lr", "0"]
    frozen = [*tiny, *steps, "--data.tokenizer.kind", "word", "--model.tying", "two-way"]
    files = ["--model.source_embeddings", str(source), "--model.target_embeddings", str(target)]
    begin = ["fit", "--recipe", "translation", "--run", str(run), *frozen, *files]
    assert main([*begin, "--trainer.max_steps", "1"]) == 0
    said = capfd.readouterr().err
    assert "model.source_embeddings: " in said and "model.target_embeddings: " in said
    task = package.load(run)
    for tokenizer, path, side in (
        (task.source_tokenizer, source, task.network.encoder),
        (task.target_tokenizer, target, task.network.decoder),
    ):
        rows = dict(line.split(" ", 1) for line in path.read_text(encoding="utf-8").splitlines())
        pieces = tokenizer.pieces()
        for word in [word for word in rows if word in pieces][:3]:
            expected_E = torch.tensor([float(number) for number in rows[word].split()])
            found_E = side.embedding.weight[pieces.index(word)]
            assert torch.cosine_similarity(found_E, expected_E, dim=0).item() == pytest.approx(1, abs=1e-6)
    source.unlink()
    target.write_text("no vectors")
    assert package.load(run).translate(["The dog sees the cat."])
    assert main(["fit", "--run", str(run), "--resume", "--trainer.max_steps", "2"]) == 0
    resumed = package.load(run)
    assert torch.equal(resumed.network.encoder.embedding.weight, task.network.encoder.embedding.weight)
    whole = ["--recipe", str(run / "config.yaml"), "--training.init_from", str(run), "--run", str(tmp_path / "next")]
    assert main(["fit", *whole]) == 0, "a run that takes all of it over does not read them either"
    taken = package.load(tmp_path / "next")
    assert torch.equal(taken.network.encoder.embedding.weight, task.network.encoder.embedding.weight)


def test_a_language_model_starts_from_vectors_too(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("a 1 2 -2\nc 3 0 0\n")
    task = LanguageModel(
        *(Words(["a", "b", "c"]), "gru"),
        metrics={},
        optimizer=torch.optim.SGD,
        embeddings=str(path),
        embedding_size=3,
        hidden_size=4,
        layers=1,
    )
    before = task.network.embedding.weight.detach().clone()
    task.initialise()
    found, rows = task.network.embedding.weight, torch.tensor([[1.0, 2.0, -2.0], [3.0, 0.0, 0.0]])
    torch.testing.assert_close(found[[4, 6]], rows / 3)  # mean square 18 / 6, made 1 / E
    assert torch.equal(found[:4], before[:4]) and torch.equal(found[5], before[5])


DEVICES = ("--trainer.devices", "2", "--trainer.strategy", "ddp")
WRONG = [
    (
        ["--model.source_embeddings", "en.vec", "--model.target_embeddings", "en.vec"],
        "tying three-way has one embedding",
    ),
    (["--model.source_embeddings", "gone.vec"], "cannot read embeddings from gone.vec: No such file or directory"),
    (["--model.target_embeddings", "en.vec", "--model.embedding_size", "20"], "en.vec has vectors 16 wide, but"),
    (["--model.bridge", "first"], "bridge must be one of mean, last, zero, learned, not 'first'"),
    (
        ["--model.bridge", "zero", "--model.attention", "none"],
        "bridge zero and attention none leave the decoder nothing",
    ),
    (["--model.initial_state", "ones"], "initial_state must be one of zero, random, learned, not 'ones'"),
    (
        ["--model.normalization", "batch", *DEVICES, "--trainer.sync_batchnorm", "true"],
        "trainer.sync_batchnorm needs GPUs: torch does not synchronise batch normalisation on CPUs",
    ),
    (["--model.normalization", "group"], "normalization must be one of none, layer, batch, not 'group'"),
]


@pytest.mark.parametrize(
    ("argv", "expected"), WRONG, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_wrong_settings_leave_nothing_behind(
    tiny: list[str],
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture,
    argv: list[str],
    expected: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    vectors_of(corpus, "en", tmp_path / "en.vec")
    code = main(["fit", "--recipe", "translation", "--run", "run", *tiny, "--trainer.max_steps", "2", *argv])
    stderr = capfd.readouterr().err
    last = stderr.splitlines()[-1]
    assert code == 2 and last.startswith("seqlab fit: error: ") and expected in last
    assert "Traceback" not in stderr and not (tmp_path / "run").exists()


def test_every_new_option_trains_and_resumes_exactly(tiny: list[str], tmp_path: Path) -> None:
    """Statistics, noise and learned states: a run that was interrupted has the weights of one that was not."""
    options = ["--model.bridge", "last", "--model.initial_state", "random", "--model.normalization", "batch"]
    options += ["--model.encoder_layers", "2", "--model.decoder_layers", "2", "--trainer.val_check_interval", "2"]
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    begin = ["fit", "--recipe", "translation", *tiny, *options, "--model.schedule", "Constant"]
    assert main([*begin, "--run", str(whole), "--trainer.max_steps", "4"]) == 0
    assert main([*begin, "--run", str(resumed), "--trainer.max_steps", "2"]) == 0
    shutil.move(resumed, tmp_path / "moved")
    assert main(["fit", "--run", str(tmp_path / "moved"), "--resume", "--trainer.max_steps", "4"]) == 0
    expected, found = (
        torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for run in (whole, tmp_path / "moved")
    )
    assert any(name.endswith("running_var") for name in expected)
    for name, value in expected.items():
        assert torch.equal(value, found[name]), name
