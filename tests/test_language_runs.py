"""Language models as a user has them: fitted, killed, resumed, evaluated, and wrongly set."""

import json
import math
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import seqlab as package
from seqlab.cli import main
from seqlab.data.words import Words

from .logs import rows

Seqlab = Callable[..., subprocess.CompletedProcess]
Here = Callable[..., tuple[int, str, str]]
ANIMALS, VERBS = ("dog", "cat", "bird", "horse", "fox"), ("sees", "hears", "likes")
LINES = [f"the {a} {verb} the {b} ." for a in ANIMALS for verb in VERBS for b in ANIMALS]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train.txt, val.txt and test.txt; the last has a word that the first has not."""
    folder = tmp_path_factory.mktemp("text")
    for name, first, count in (("train", 0, 400), ("val", 7, 40), ("test", 11, 40)):
        lines = [LINES[(first + number * 31) % 75] for number in range(count)]
        (folder / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    with (folder / "test.txt").open("a", encoding="utf-8") as file:
        file.write("the emu sees the emu .\n")
    return folder


@pytest.fixture(scope="module")
def small(text: Path) -> list[str]:
    """Flags that make the recipe language-model small and point it at the text."""
    return [
        *("--recipe", "language-model", "--data.tokenizer.kind", "word", "--data.tokenizer.vocab_size", "60"),
        *(part for split in ("train", "val", "test") for part in (f"--data.{split}", str(text / f"{split}.txt"))),
        *("--data.streams", "5", "--data.window", "9", "--model.embedding_size", "12", "--model.hidden_size", "14"),
        *("--model.layers", "2", "--trainer.accelerator", "cpu", "--trainer.log_every_n_steps", "5"),
    ]


KINDS = {
    "streams": ["--data.random_window", "true", "--model.zoneout", "0.1"],
    "documents": ["--data.stateful", "false", "--data.batch_tokens", "60"],
}


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_run_resumes_exactly(
    seqlab: Seqlab, fit_and_kill: Callable, small: list[str], tmp_path: Path, kind: str
) -> None:
    """With the state that it carried: weights, optimizer, log and best checkpoint, bit for bit."""
    steps = ["--trainer.max_steps", "80", "--trainer.val_check_interval", "25", "--checkpoint.every_n_steps", "10"]
    common, whole, killed = [*small, *steps, *KINDS[kind]], tmp_path / "whole", tmp_path / "killed"
    assert main(["fit", "--run", str(whole), *common]) == 0
    saved = fit_and_kill(killed, *common, step=20)
    assert saved["global_step"] < 80 and ("carried" in saved) == (kind == "streams")
    done = seqlab("fit", "--run", killed, "--resume")
    assert done.returncode == 0, done.stderr.decode()
    expected, found = (torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in (whole, killed))
    assert all(torch.equal(value, found["state_dict"][name]) for name, value in expected["state_dict"].items())
    assert rows(whole) == rows(killed)
    best = [torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"] for run in (whole, killed)]
    assert all(torch.equal(value, best[1][name]) for name, value in best[0].items())


@pytest.mark.slow
def test_two_processes_take_up_the_state_of_their_own_streams(seqlab: Seqlab, small: list[str], tmp_path: Path) -> None:
    """A run of two devices that was interrupted ends as one that was not: each takes its rows of the saved state."""
    devices = ["--trainer.devices", "2", "--trainer.strategy", "ddp", "--trainer.val_check_interval", "5"]
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    for run, *steps in ((whole, 30), (resumed, 10), (resumed, 30)):
        flags = ["--resume"] if (run / "config.yaml").is_file() else [*small, *devices]
        done = seqlab("fit", "--run", run, *flags, "--trainer.max_steps", *steps)
        assert done.returncode == 0, done.stderr.decode()
    expected, found = (torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in (whole, resumed))
    assert [len(part) for cell in found["carried"] for part in cell] == [10] * 4  # five streams each
    first, second = expected["carried"][0][0].chunk(2)
    assert not torch.equal(first, second)
    assert all(torch.equal(value, found["state_dict"][name]) for name, value in expected["state_dict"].items())
    assert rows(whole) == rows(resumed)


@pytest.fixture(scope="module")
def fitted(seqlab: Seqlab, small: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "language"
    steps = ["--trainer.max_steps", "120", "--trainer.val_check_interval", "60"]
    dropouts = ("input_dropout", "dropout", "embedding_dropout", "weight_drop")
    quick = [
        "--data.validation_streams",
        "3",
        "--model.optimizer.lr",
        "0.02",
        *(part for name in dropouts for part in (f"--model.{name}", "0")),
    ]
    done = seqlab("fit", "--run", run, *small, *steps, *quick, "--model.metrics.words", "WordPerplexity")
    assert done.returncode == 0, done.stderr.decode()
    assert "prompt  the" in done.stderr.decode()
    return run


def test_it_has_learned(fitted: Path) -> None:
    """Less perplexed than by choosing among the words that may come: about 5 ** (2 / 7) x 3 ** (1 / 7) = 1.85."""
    summary = json.loads((fitted / "summary.json").read_text())
    assert summary["scores"]["val/perplexity"] < 3
    assert summary["signatures"]["perplexity"] == "per:token|eos:yes|smoothing:no|streams:3"


def test_evaluate_reads_one_stream_and_says_so(seqlab: Seqlab, fitted: Path) -> None:
    done = seqlab("evaluate", fitted)
    assert done.returncode == 0, done.stderr.decode()
    report = json.loads((fitted / "scores.json").read_text())["test"]
    scores, data = report["scores"], report["data"]
    assert (data["tokens"], data["words"], data["unknown"]) == (41 * 7, 41 * 7, 2)
    assert scores["perplexity"]["signature"].endswith("|streams:1")
    assert "unknown:2|compares:no" in scores["words"]["signature"]
    assert scores["words"]["value"] == pytest.approx(scores["perplexity"]["value"], rel=1e-12)
    model = package.load(fitted, "cpu")
    expected = total = 0.0
    state = model.network.start(1)
    token = torch.tensor([3])  # the end of a line comes first
    for line in Path(data["name"]).read_text(encoding="utf-8").splitlines():
        for target in (*model.tokenizer.encode(line), 3):
            with torch.no_grad():
                log_probs, state = model.network.step(token, state)
            expected -= float(log_probs[0, target])
            token, total = torch.tensor([target]), total + 1
    assert scores["perplexity"]["value"] == pytest.approx(math.exp(expected / total), rel=1e-5)


def test_more_streams_are_another_signature(here: Here, fitted: Path) -> None:
    assert here("evaluate", fitted, "--data.test_streams", "4")[0] == 0
    report = json.loads((fitted / "scores.json").read_text())["test"]
    assert report["scores"]["perplexity"]["signature"].endswith("|streams:4")


def test_scores_of_an_adapting_model_stand_beside_the_plain_ones(here: Here, fitted: Path) -> None:
    assert here("evaluate", fitted)[0] == 0
    plain = json.loads((fitted / "scores.json").read_text())["test"]["scores"]
    code, shown, _ = here("evaluate", fitted, "--cache", "30", "--cache_weight", "0.2", "--dynamic", "0.1")
    scores = json.loads((fitted / "scores.json").read_text())["test"]["scores"]
    assert {name: scores[name] for name in plain} == plain
    cached, dynamic = scores["perplexity+cache"], scores["perplexity+dynamic"]
    assert cached["signature"] == plain["perplexity"]["signature"] + "|cache:30|theta:0.3|weight:0.2"
    assert dynamic["signature"] == plain["perplexity"]["signature"] + "|dynamic:sgd|rate:0.1|decay:0|window:20"
    assert len({cached["value"], dynamic["value"], plain["perplexity"]["value"]}) == 3
    assert code == 0 and "test/perplexity+cache" in shown


def test_they_are_for_language_models_that_read_streams(
    trained: Path, fitted: Path, capfd: pytest.CaptureFixture
) -> None:
    assert main(["evaluate", str(trained), "--cache", "5"]) == 2
    assert "--cache is for language models, not for Translation" in capfd.readouterr().err
    assert main(["evaluate", str(fitted), "--dynamic", "0.1", "--data.stateful", "false"]) == 2
    assert "set --data.stateful true" in capfd.readouterr().err
    assert main(["evaluate", str(fitted), "--cache_weight", "0.2"]) == 2
    assert "--cache_weight has no effect without --cache" in capfd.readouterr().err


def test_a_tokenizer_that_does_not_fit_the_checkpoint(
    fitted: Path, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    """As where a checkpoint was put together from two runs: no text comes out of words that mean others."""
    run = tmp_path / "run"
    shutil.copytree(fitted, run)
    checkpoint = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    fewer = Words(Words.split("the dog sees a cat"))
    checkpoint["LanguageText"]["tokenizer"] = fewer.model
    torch.save(checkpoint, run / "checkpoints" / "best.ckpt")
    assert main(["generate", str(run), "the"]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "best.ckpt does not fit its own tokenizer" in line
    assert "network.embedding.weight is 14 x 12 in it and 9 x 12 here" in line


WRONG = [
    (["--data.train", "missing.txt"], "missing.txt"),
    (["--data.streams", "4000"], "2,800 tokens, less than one window in each row: 4000 rows"),
    (["--data.window", "0"], "data.window must be between 1 and 1,000,000,000, not 0"),
    (["--model.cutoffs", "[4, 9]"], "tying shares the embedding matrix"),
    (["--model.embedding_dropout", "1.5"], "embedding_dropout must be at least 0 and below 1"),
    (["--model.activation_penalty", "-1"], "must not be negative"),
    (["--model.embedding_init", "zeros"], "embedding_init must be one of scaled, uniform"),
    (["--model.metrics.bleu", "BLEU"], "BLEU scores an output 'text', which LanguageModel does not give"),
]


@pytest.mark.parametrize(("argv", "expected"), WRONG, ids=lambda value: " ".join(value)[:40] if value else "")
def test_wrong_settings(
    small: list[str], tmp_path: Path, capfd: pytest.CaptureFixture, argv: list[str], expected: str
) -> None:
    steps = ["--trainer.max_steps", "2", "--trainer.val_check_interval", "1"]
    code = main(["fit", "--run", str(tmp_path / "run"), *small, *steps, *argv])
    stderr = capfd.readouterr().err
    assert code == 2 and "Traceback" not in stderr
    assert stderr.splitlines()[-1].startswith("seqlab fit: error: ") and expected in stderr.splitlines()[-1]
