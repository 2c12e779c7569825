"""Several runs on the same data, as the command compares them."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import sacrebleu.metrics as sacrebleu_metrics
import torch
import yaml
from sacrebleu.significance import PairedTest

Seqlab = Callable[..., subprocess.CompletedProcess]
Here = Callable[..., tuple[int, str, str]]


def varied(copied: Path, place: Path, *, noise: float = 0.3, seed: int | None = None, **model: object) -> Path:
    """A copy of a run with other weights, and maybe other settings."""
    shutil.copytree(copied, place, ignore=shutil.ignore_patterns("scores.json", "translations"))
    for path in (place / "checkpoints").iterdir():
        checkpoint = torch.load(path, weights_only=True)
        for name, weight in checkpoint["state_dict"].items():
            draw = torch.Generator().manual_seed(3)  # the same for weights that are shared
            shift = torch.randn(weight.shape, generator=draw) * weight.std(correction=0)
            checkpoint["state_dict"][name] = weight + noise * shift
        torch.save(checkpoint, path)
    config = yaml.safe_load((place / "config.yaml").read_text())
    config["seed"] = config["seed"] if seed is None else seed
    config["model"] |= model
    (place / "config.yaml").write_text(yaml.safe_dump(config))
    return place


def sacrebleu(*argv: str | Path) -> list[dict]:
    command = [sys.executable, "-m", "sacrebleu", *map(str, argv), "-w", "12"]
    found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return found if isinstance(found, list) else [found]


def record(copied: Path, label: str = "test") -> dict:
    return json.loads((copied / "scores.json").read_text())[label]


def test_runs_are_tested_as_sacrebleu_tests_their_files(here: Here, copied: Path, tmp_path: Path) -> None:
    other, out = varied(copied, tmp_path / "other"), tmp_path / "both.json"
    code, stdout, stderr = here("evaluate", copied, other, "--beam", "1", "--name", "pair", "--out", out)
    assert code == 0, stderr
    hypotheses = [place / "translations" / "pair.hypotheses" for place in (copied, other)]
    references = copied / "translations" / "pair.references"
    _, told = sacrebleu(references, "-i", *hypotheses, "--paired-bs")  # of the others it cannot write its own JSON
    metrics = {"bleu": sacrebleu_metrics.BLEU(), "chrf": sacrebleu_metrics.CHRF(), "ter": sacrebleu_metrics.TER()}
    named = [(str(path), path.read_text().splitlines()) for path in hypotheses]
    _, tested = PairedTest(named, metrics, [references.read_text().splitlines()], test_type="bs")()
    written = json.loads(out.read_text())
    assert written["runs"] == {str(place): record(place, "pair") for place in (copied, other)}
    assert (written["baseline"], written["test"], written["seeds"]) == (str(copied), "paired bootstrap", [])
    assert told["BLEU"]["p_value"] == tested["BLEU"][1].p_value
    for name, (first, second) in zip(metrics, (tested[key] for key in ("BLEU", "chrF2", "TER")), strict=True):
        result = written["tests"][name]["runs"][str(other)]
        assert result["p_value"] == second.p_value
        assert result["difference"] == pytest.approx(second.score - first.score)
        assert f"p {result['p_value']:.4f}" in stdout
    assert "nrefs:1|bs:1000|seed:12345|" in written["tests"]["bleu"]["signature"]
    assert "bs:1000|seed:12345|per:token" in written["tests"]["perplexity"]["signature"]


def test_randomisation_and_seeds(here: Here, copied: Path, tmp_path: Path) -> None:
    """Two seeds are summed up; a run of other settings is not among them; the same outputs are not tested."""
    second, other = (
        varied(copied, tmp_path / "second", seed=7),
        varied(copied, tmp_path / "other", noise=0, validation_beam=2),
    )
    out = tmp_path / "out.json"
    code, stdout, stderr = here(
        "evaluate", copied, second, other, "--beam", "1", "--paired", "ar", "--bootstrap", "0", "--out", out
    )
    assert code == 0, stderr
    written = json.loads(out.read_text())
    (seeds,) = written["seeds"]
    assert seeds["runs"] == [str(copied), str(second)] and seeds["seeds"] == [1, 7]
    one, two = (record(place)["scores"]["perplexity"]["value"] for place in (copied, second))
    # Of two, Student's t with one degree of freedom: 12.706 s / sqrt(2), where s = |one - two| / sqrt(2).
    expected = {"mean": (one + two) / 2, "half_width": 12.7062047 * abs(one - two) / 2}
    assert seeds["scores"]["perplexity"] == pytest.approx(expected, rel=1e-6)
    assert "ar:10000|seed:12345|" in written["tests"]["bleu"]["signature"]
    assert 0 < written["tests"]["perplexity"]["runs"][str(second)]["p_value"] <= 1
    assert written["tests"]["bleu"]["runs"][str(other)] == {"difference": 0.0, "p_value": None, "why": "the same"}
    assert "mean of 2 seeds" in stdout and "the same" in stdout and "±" in stdout


def test_other_tokens_do_not_compare(here: Here, seqlab: Seqlab, copied: Path, tiny: list[str], tmp_path: Path) -> None:
    """Perplexities of another tokenizer's tokens; the scores of text do."""
    steps = ["--trainer.max_steps", "2", "--trainer.val_check_interval", "2", "--data.tokenizer.vocab_size", "55"]
    done = seqlab("fit", "--recipe", "translation", "--run", tmp_path / "other", *tiny, *steps)
    assert done.returncode == 0, done.stderr.decode()
    out = tmp_path / "out.json"
    assert here("evaluate", copied, tmp_path / "other", "--beam", "1", "--bootstrap", "0", "--out", out)[0] == 0
    tests = {name: test["runs"][str(tmp_path / "other")] for name, test in json.loads(out.read_text())["tests"].items()}
    assert tests["bleu"]["p_value"] is not None
    assert tests["perplexity"]["p_value"] is None and tests["perplexity"]["why"] == "other tokens"
