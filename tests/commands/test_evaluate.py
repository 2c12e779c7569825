"""Scores of a run on the command line, beside sacreBLEU's own, and what they leave."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from seqlab.score_text import score_text

Seqlab = Callable[..., subprocess.CompletedProcess]
Here = Callable[..., tuple[int, str, str]]

TOKENIZERS = ("13a", "intl", "char", "zh")


@pytest.fixture(scope="module")
def references(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second reference of each test sentence: other words, some Chinese, some with marks that tokenizers part."""
    folder = tmp_path_factory.mktemp("references")
    lines = (corpus / "test.de").read_text(encoding="utf-8").splitlines()
    changed = [
        line if number % 3 == 0 else line.replace("Der", "„Ein“") if number % 3 == 1 else f"{line} 狗看见猫。"
        for number, line in enumerate(lines)
    ]
    (folder / "second.de").write_text("".join(f"{line}\n" for line in changed), encoding="utf-8")
    return folder / "second.de"


def sacrebleu(*argv: str | Path) -> list[dict]:
    command = [sys.executable, "-m", "sacrebleu", *map(str, argv), "-w", "12"]
    found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return found if isinstance(found, list) else [found]


def record(copied: Path, label: str = "test") -> dict:
    return json.loads((copied / "scores.json").read_text())[label]


def digits(value: float) -> float:
    return float(f"{value:.12f}")


# ---------------------------------------------------------------------------------------------------- sacreBLEU's own


@pytest.mark.parametrize("count", [1, 2])
def test_sacrebleu_on_the_files_gives_the_same_to_the_last_digit(
    seqlab: Seqlab, copied: Path, corpus: Path, references: Path, count: int
) -> None:
    """Scores, intervals and signatures, for four tokenizers and one and two references; the cheap ones as flags."""
    files = [corpus / "test.en", corpus / "test.de", references][: count + 1]
    bleus = [
        part
        for name in TOKENIZERS
        for part in (f"--model.metrics.{name}", json.dumps({"class_path": "BLEU", "init_args": {"tokenize": name}}))
    ]
    label = f"refs-{count}"
    done = seqlab("evaluate", copied, "--data.test", ",".join(map(str, files)), "--name", label, "--beam", "2", *bleus)
    assert done.returncode == 0, done.stderr.decode()
    scores = record(copied, label)["scores"]
    names = [f"{label}.references", f"{label}.references.2"][:count]
    written = [
        *(copied / "translations" / name for name in names),
        "-i",
        copied / "translations" / f"{label}.hypotheses",
    ]
    assert [path.read_bytes() for path in written[:count]] == [path.read_bytes() for path in files[1:]]
    told = {name: sacrebleu(*written, "-tok", name, "--confidence")[0] for name in TOKENIZERS}
    chrf, ter = sacrebleu(*written, "-m", "chrf", "ter", "--confidence")
    (plus,) = sacrebleu(*written, "-m", "chrf", "--chrf-word-order", "2", "--confidence")
    told |= {"bleu": told["13a"], "chrf": chrf, "chrf++": plus, "ter": ter}
    assert len({told[name]["score"] for name in TOKENIZERS}) > 1, "it matters which tokenizer it is"
    for name, expected in told.items():
        found, interval = scores[name], scores[name]["interval"]
        assert digits(found["value"]) == expected["score"]
        assert (digits(interval["mean"]), digits(interval["half_width"])) == (
            expected["confidence_mean"],
            expected["confidence_var"],
        )
        resampling, signature = "bs:1000|seed:12345|", expected["signature"]
        assert signature.replace(resampling, "") == found["signature"] and f"nrefs:{count}" in signature
        assert interval["signature"] == f"{resampling}unit:sentence"
        shown = score_text(found["value"], interval["half_width"])
        assert f"{label}/{name}" in done.stdout.decode() and f" {shown} " in done.stdout.decode()
    assert not (copied / "translations" / f"{label}.references.{count + 1}").exists()


def test_unequal_numbers_of_references(here: Here, copied: Path, corpus: Path, tmp_path: Path) -> None:
    """Files have equally many on each line; sacreBLEU scores them as evaluate scores the lists."""
    sources, targets = ((corpus / f"test.{side}").read_text(encoding="utf-8").splitlines() for side in ("en", "de"))
    rows = [
        {"en": source, "de": [target, "Der Hund .", "Nein, der Gaul!"][: 1 + number % 3]}
        for number, (source, target) in enumerate(zip(sources, targets, strict=True))
    ]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    code, _, stderr = here(
        "evaluate", copied, "--data.test", tmp_path / "test.jsonl", "--name", "unequal", "--beam", "1"
    )
    assert code == 0, stderr
    files = sorted((copied / "translations").glob("unequal.references*"))
    assert len(files) == 6 and all("\n\n" not in file.read_text() for file in files)
    told = sacrebleu(*files, "-i", copied / "translations" / "unequal.hypotheses", "-m", "bleu", "chrf", "ter")
    scores = record(copied, "unequal")["scores"]
    for name, expected in zip(("bleu", "chrf", "ter"), told, strict=True):
        assert digits(scores[name]["value"]) == expected["score"]
        assert scores[name]["signature"] == expected["signature"].replace("nrefs:6", "nrefs:var")


def test_sentences_have_the_scores_of_sacrebleu(here: Here, copied: Path, corpus: Path) -> None:
    assert here("evaluate", copied, "--tokenize", "char", "--lowercase", "--beam", "1", "--name", "sentences")[0] == 0
    header, *rows = (copied / "translations" / "sentences.sentences.tsv").read_text().splitlines()
    columns = dict(zip(header.split("\t"), zip(*(row.split("\t") for row in rows), strict=True), strict=True))
    assert columns["line"] == tuple(map(str, range(1, 31)))
    texts = [copied / "translations" / "sentences.references", "-i", copied / "translations" / "sentences.hypotheses"]
    for name, flags in (("bleu", ["-tok", "char", "-lc"]), ("chrf", ["-m", "chrf", "--chrf-lowercase"])):
        command = [sys.executable, "-m", "sacrebleu", *map(str, texts), "-sl", "-b", "-w", "4", *flags]
        told = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split()
        assert list(columns[name]) == told
    total, tokens = sum(map(float, columns["log_probability"])), sum(map(int, columns["tokens"]))
    perplexity = record(copied, "sentences")["scores"]["perplexity"]["value"]
    assert torch.tensor(-total / tokens).exp().item() == pytest.approx(perplexity, rel=1e-5)
    assert float(columns["log_probability_per_token"][4]) == pytest.approx(
        float(columns["log_probability"][4]) / int(columns["tokens"][4]), abs=1e-6
    )
    assert (copied / "translations" / "sentences.sources").read_bytes() == (corpus / "test.en").read_bytes()


# ------------------------------------------------------------------------------------------------------- what is left


def test_a_record_says_all_and_keeps_others(here: Here, copied: Path) -> None:
    code, stdout, stderr = here(
        "evaluate", copied, "--beam", "3", "--length_penalty", "0.5", "--name", "narrow", "--bootstrap", "20"
    )
    assert code == 0, stderr
    assert here("evaluate", copied, "--name", "wide", "--beam", "4", "--bootstrap", "0")[0] == 0
    narrow, wide = record(copied, "narrow"), record(copied, "wide")
    assert narrow["decoding"].items() >= {"beam": 3, "length_penalty": 0.5, "length_normalization": "average"}.items()
    assert narrow["decoding"].keys() >= {"coverage_penalty", "no_repeat_ngram_size", "min_length", "max_length"}
    assert wide["decoding"]["beam"] == 4
    assert narrow["scores"]["bleu"]["interval"]["signature"] == "bs:20|seed:12345|unit:sentence"
    assert all(set(score) == {"value", "signature"} for score in wide["scores"].values())
    assert narrow["data"].items() >= {"split": "test", "pairs": 30, "languages": ["en", "de"]}.items()
    assert narrow["versions"].keys() == {"seqlab", "torch", "sacrebleu"}
    assert len(narrow["checkpoint"]["sha256"]) == len(narrow["tokenizer"]["sha256"]) == 64
    assert all(len(line) <= 100 for line in stdout.splitlines() if str(copied) not in line)
    assert "narrow/sequence_accuracy" in stdout and ", beam 3, length penalty 0.5\n" in stdout


def test_it_is_the_same_again(here: Here, copied: Path) -> None:
    written = []
    for _ in range(2):
        assert here("evaluate", copied, "--beam", "1", "--name", "again")[0] == 0
        files = sorted((copied / "translations").glob("again.*"))
        written.append([(copied / "scores.json").read_bytes(), *(path.read_bytes() for path in files)])
    assert written[0] == written[1] and len(written[0]) == 5


def test_metrics_of_the_run_keep_their_names_and_settings(here: Here, copied: Path) -> None:
    flags = ["--model.metrics.chrf", '{"class_path": "CHRF", "init_args": {"char_order": 4}}', "--lowercase"]
    assert here("evaluate", copied, *flags, "--beam", "1", "--name", "own", "--bootstrap", "0")[0] == 0
    signatures = {name: score["signature"] for name, score in record(copied, "own")["scores"].items()}
    assert "case:mixed" in signatures["chrf"] and "nc:4" in signatures["chrf"], "what is named is as it is told"
    assert "case:lc" in signatures["bleu"] and "nc:6|nw:2" in signatures["chrf++"]
