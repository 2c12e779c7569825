"""The whole length as a user walks it: fit, evaluate, translate, resume after a kill."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import seqlab as package
from seqlab.cli import main

from .logs import rows

Seqlab = Callable[..., subprocess.CompletedProcess]
Here = Callable[..., tuple[int, str, str]]


def weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["state_dict"]


def test_a_run_holds_what_it_promises(trained: Path) -> None:
    names = {
        "config.yaml",
        "summary.json",
        "curves.png",
        "logs/metrics.csv",
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
    }
    assert {name for name in names if not (trained / name).is_file()} == set()
    summary = json.loads((trained / "summary.json").read_text())
    validated = [row for row in rows(trained) if row["val/bleu"]]
    assert [row["step"] for row in validated] == ["20", "40"]
    assert summary["steps"] == 40
    assert summary["scores"]["val/bleu"] == max(float(row["val/bleu"]) for row in validated)
    assert summary["signatures"]["bleu"].startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")


def test_a_checkpoint_says_what_it_is(trained: Path) -> None:
    checkpoint = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)
    record = checkpoint["seqlab"]
    assert record["version"] == package.__version__
    assert record["cells"] == {side: f"gru of seqlab {package.__version__}" for side in ("encoder", "decoder")}
    assert record["config"] == (trained / "config.yaml").read_text()
    assert checkpoint["global_step"] == 40, "the last step is saved though 15 does not divide it"


def test_fit_evaluate_and_sacrebleu_agree_to_the_last_digit(seqlab: Seqlab, trained: Path, corpus: Path) -> None:
    summary = json.loads((trained / "summary.json").read_text())
    done = seqlab("evaluate", trained, "--split", "val", "--beam", "1")
    assert done.returncode == 0, done.stderr.decode()
    scores = json.loads((trained / "scores.json").read_text())["val"]
    assert scores["scores"]["bleu"]["value"] == summary["scores"]["val/bleu"]
    assert scores["scores"]["bleu"]["signature"] == summary["signatures"]["bleu"]
    command = [
        sys.executable,
        "-m",
        "sacrebleu",
        str(corpus / "val.de"),
        "-i",
        str(trained / "translations/val.hypotheses"),
    ]
    sacrebleu = json.loads(subprocess.run([*command, "-w", "12"], capture_output=True, check=True).stdout)
    assert sacrebleu["score"] == round(scores["scores"]["bleu"]["value"], 12)
    assert sacrebleu["signature"] == scores["scores"]["bleu"]["signature"]
    assert (trained / "translations/val.references").read_text() == (corpus / "val.de").read_text()


def test_evaluate_takes_another_test_set(here: Here, trained: Path, corpus: Path) -> None:
    assert here("evaluate", trained)[0] == 0
    own = json.loads((trained / "scores.json").read_text())["test"]
    assert (own["split"], own["data"]["pairs"], own["decoding"]["beam"]) == ("test", 30, 5)
    chars = '{"class_path": "BLEU", "init_args": {"tokenize": "char"}}'
    assert here("evaluate", trained, "--data.test", corpus / "val", "--model.metrics.chars", chars)[0] == 0
    other = json.loads((trained / "scores.json").read_text())["test"]
    assert other["data"]["pairs"] == 40
    assert other["data"]["sha256"] != own["data"]["sha256"]
    assert "tok:char" in other["scores"]["chars"]["signature"]


def test_translate_keeps_lines_in_place(seqlab: Seqlab, trained: Path, corpus: Path) -> None:
    source = [
        "The dog sees the cat.",
        "",
        "   ",
        "The fox calls the bird.",
        "Ünknown wörds ☃ 12",
        "The dog sees the cat.",
    ]
    done = seqlab("translate", trained, stdin="\r\n".join(source).encode())
    assert done.returncode == 0, done.stderr.decode()
    lines = done.stdout.decode().split("\n")
    assert lines.pop() == "" and len(lines) == len(source)
    assert lines[1] == lines[2] == "" and lines[0] == lines[5] != ""
    assert lines == package.load(trained, "cpu").translate(source)


@pytest.mark.parametrize(
    ("stdin", "code", "message"),
    [
        (b"", 0, ""),
        (
            b"fine\nb\xe4d\n",
            2,
            "seqlab translate: error: stdin, line 2: not UTF-8 (byte 2 is 0xe4); convert it, for example with iconv -t "
            "utf-8\n",
        ),
    ],
)
def test_translate_takes_no_line_and_names_one_that_is_not_utf8(
    here: Here, trained: Path, monkeypatch: pytest.MonkeyPatch, stdin: bytes, code: int, message: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
    assert here("translate", trained) == (code, "", message)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_killed_run_resumes_exactly(
    seqlab: Seqlab, fit_and_kill: Callable, tiny: list[str], tmp_path: Path, accumulate: int
) -> None:
    """kill -9 in mid-epoch; the resumed run ends with the same weights, optimizer and scores, bit for bit."""
    common = [
        *("--recipe", "translation", *tiny, "--model.dropout", "0.3", "--trainer.max_steps", "70"),
        *("--trainer.val_check_interval", "17", "--checkpoint.every_n_steps", "10"),
        *("--trainer.accumulate_grad_batches", str(accumulate)),
    ]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert main(["fit", "--run", str(whole), *common]) == 0

    saved = fit_and_kill(killed, *common, step=20)
    assert saved["global_step"] < 70
    position = saved["ParallelText"]["position"]
    assert position["taken"] > 0, "the kill came in mid-epoch"

    done = seqlab("fit", "--run", killed, "--resume")
    assert done.returncode == 0, done.stderr.decode()
    expected, found = (torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in (whole, killed))
    assert all(torch.equal(value, found["state_dict"][name]) for name, value in expected["state_dict"].items())
    for before, after in zip(
        expected["optimizer_states"][0]["state"].values(), found["optimizer_states"][0]["state"].values(), strict=True
    ):
        assert all(torch.equal(before[name], after[name]) for name in before)
    assert expected["lr_schedulers"] == found["lr_schedulers"]
    best = [weights(run / "checkpoints" / "best.ckpt") for run in (whole, killed)]
    assert all(torch.equal(value, best[1][name]) for name, value in best[0].items())
    assert rows(whole) == rows(killed)
