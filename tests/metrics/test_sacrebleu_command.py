"""The command ``sacrebleu``, given the same texts as files, prints the same digits and the same signatures."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from seqlab.metrics import BLEU, CHRF, TER, BrevityPenalty, LengthRatio, Metric
from seqlab.metrics.bootstrap import interval, text_units, unit_statistics
from seqlab.metrics.significance import compare

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
ENVIRONMENT.pop("SACREBLEU_SEED", None)
KEYS = ("BLEU", "chrF2++", "TER")
NUMBER = re.compile(r"\d+\.\d+")
# Of a paired bootstrap its table in JSON ends at a TypeError, for values of float32.
LATEX = ("--format", "latex")

RANK = """
import json, os, sys
import torch
from seqlab.metrics import BLEU, CHRF, TER
from seqlab.metrics.bootstrap import interval, text_units, unit_statistics

folder, child = sys.argv[1], os.fork()
rank = 0 if child else 1
torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
hypotheses, references = json.load(open(f"{folder}/corpus.json"))
mine = slice(rank, None, 2)
found = {}
for name, metric in (("bleu", BLEU("intl")), ("chrf", CHRF()), ("ter", TER())):
    metric.update(hypotheses[mine], references[mine])
    found[name] = [float(metric.compute()), metric.signature()]
    if rank == 0:  # alone, without waiting for the other
        around = interval(metric, unit_statistics(metric, text_units(hypotheses, references)), 100)
        found[name] += [around.mean, around.half_width]
with open(f"{folder}/scores{rank}.json", "w") as file:
    json.dump(found, file)
if child:
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.fixture(autouse=True)
def no_seed_of_the_environment(monkeypatch):
    monkeypatch.delenv("SACREBLEU_SEED", raising=False)


def write(folder: Path, name: str, lines: list[str]) -> str:
    path = folder / name
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(path)


def sacrebleu(*flags: str) -> str:
    """What the command prints."""
    argv = [sys.executable, "-m", "sacrebleu", *flags, "--width", "14"]
    done = subprocess.run(argv, capture_output=True, text=True, env=ENVIRONMENT, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def digits(value: float) -> str:
    return f"{value:.14f}"


def mine(tokenize: str) -> list[Metric]:
    return [BLEU(tokenize=tokenize), CHRF(word_order=2), TER()]


@pytest.mark.parametrize("references", [1, 2])
@pytest.mark.parametrize("tokenize", ["13a", "intl", "char", "zh"])
def test_scores_intervals_and_signatures(make, tmp_path, tokenize, references):
    corpus = make(6, references, 40)
    files = [write(tmp_path, f"ref{number}", stream) for number, stream in enumerate(corpus.streams)]
    hypotheses = write(tmp_path, "hyp", corpus.hypotheses)
    flags = ["-m", "bleu", "chrf", "ter", "--tokenize", tokenize, "--chrf-word-order", "2", "--confidence"]
    printed = json.loads(sacrebleu(*files, "-i", hypotheses, *flags, "--format", "json"))
    assert [score["name"] for score in printed] == list(KEYS)
    for metric, theirs in zip(mine(tokenize), printed, strict=True):
        metric.update(*corpus)
        statistics = unit_statistics(metric, text_units(*corpus))
        found = interval(metric, statistics)
        assert digits(float(metric.compute())) == digits(theirs["score"])
        # The interval is printed as text, to the digit.
        assert theirs["confidence"] == f"μ = {digits(found.mean)} ± {digits(found.half_width)}"
        assert metric.signature_of(statistics.sum(0), **found.resampling) == theirs["signature"]
        if isinstance(metric, BLEU):  # its line ends with both, to three decimals
            for lengths, label in ((BrevityPenalty(tokenize), "BP"), (LengthRatio(tokenize), "ratio")):
                lengths.update(*corpus)
                assert f"{label} = {float(lengths.compute()):.3f} " in theirs["verbose_score"]


@pytest.mark.parametrize("test, flags", [("bs", ["--paired-bs"]), ("ar", ["--paired-ar", "--paired-ar-n", "1500"])])
@pytest.mark.parametrize("references", [1, 2])
def test_paired_tests(make, tmp_path, test, flags, references):
    """Of three systems against the first one."""
    base = make(6, references, 40)
    systems = [make(6, references, 40, system).hypotheses for system in (0, 1, 2)]
    files = [write(tmp_path, f"ref{number}", stream) for number, stream in enumerate(base.streams)]
    paths = [write(tmp_path, f"system{number}", lines) for number, lines in enumerate(systems)]
    printed = sacrebleu(*files, "-i", *paths, "-m", "bleu", "chrf", "ter", "--chrf-word-order", "2", *flags, *LATEX)
    rows = [line.rstrip("\\ ").split("&") for line in printed.splitlines() if line.count("&") == 3]
    signatures = dict(line.split()[1:] for line in printed.splitlines() if line.startswith(" - ") and "nrefs" in line)
    p_values = set()
    for column, metric in enumerate(mine("13a"), start=1):
        key = rows[0][column].split()[0]
        statistics = {
            path: unit_statistics(metric, text_units(lines, base.references))
            for path, lines in zip(paths, systems, strict=True)
        }
        found = compare(metric, statistics, test, 1500 if test == "ar" else None)
        assert list(found.results) == paths
        assert found.signature == signatures[key]
        for result, theirs in zip(found.results.values(), rows[1:], strict=True):
            score, p_value, mean, half_width = result
            expected = [digits(value) for value in (score, mean, half_width) if value is not None]
            expected += [f"{p_value:.4f}"] if p_value is not None else []
            assert NUMBER.findall(theirs[column]) == expected
            p_values.add(p_value)
    assert len(p_values) > 4


def test_two_processes(make, tmp_path):
    """Each has every other sentence, one of them one more; one resamples while the other has gone on."""
    corpus = make(9, 2, 21)
    (tmp_path / "corpus.json").write_text(json.dumps(corpus), encoding="utf-8")
    subprocess.run([sys.executable, "-c", RANK, str(tmp_path)], check=True, env=ENVIRONMENT, timeout=240)
    found = [json.loads((tmp_path / f"scores{rank}.json").read_text()) for rank in (0, 1)]
    for name, metric in (("bleu", BLEU("intl")), ("chrf", CHRF()), ("ter", TER())):
        metric.update(*corpus)
        expected = [float(metric.compute()), metric.signature()]
        around = interval(metric, unit_statistics(metric, text_units(*corpus)), 100)
        assert found[1][name] == expected
        assert found[0][name] == [*expected, around.mean, around.half_width]
