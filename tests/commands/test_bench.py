"""``seqlab bench``: the table, the files, and what bad input gets."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import torch

from seqlab import registry
from seqlab.cli import main

TINY = ["--sizes", "2x5x3", "--rounds", "2", "--device", "cpu"]


@pytest.fixture
def bench(capfd: pytest.CaptureFixture) -> Callable[..., tuple[int, str, str]]:
    """Runs the command at a tiny size; returns exit code, stdout and stderr."""

    def run(*argv: str | Path) -> tuple[int, str, str]:
        code = main(["bench", *TINY, *map(str, argv)])
        return code, *capfd.readouterr()

    return run


def test_as_a_user_runs_it(seqlab: Callable[..., CompletedProcess], tmp_path: Path) -> None:
    sizes = ["--sizes", "2x5x3,3x7x2", "--input", "4", "--rounds", "3", "--threads", "1", "--device", "cpu"]
    done = seqlab("bench", "lstm", "rrnn:feedback=updated", *sizes, "--forward", "--out", tmp_path / "new" / "out")
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr == b""
    text = done.stdout.decode()
    assert f"threads 1, float32, torch {torch.__version__}, rounds 3\n" in text
    titles = [
        f"{size}, input 4: {work}"
        for size in ("2 rows x 5 hidden x 3 steps", "3 rows x 7 hidden x 2 steps")
        for work in ("training step", "forward")
    ]
    assert re.findall(r"^\d.* steps.*", text, re.MULTILINE) == titles
    figures = r" +[\d.]+ +\d+\.\d\d \[\d+\.\d\d, \d+\.\d\d\]  nn\.LSTM +[\d,]+ +[\d.]+ [KM]iB$"
    for row in ("lstm +plain", "lstm +deferred", r"lstm +native \*", r"rrnn:feedback=updated +deferred \*"):
        assert len(re.findall(f"^{row}{figures}", text, re.MULTILINE)) == 4, row
    assert len(re.findall(r"^nn\.LSTM +torch +[\d.]+ +1 +[\d,]+ +[\d.]+ [KM]iB$", text, re.MULTILINE)) == 4
    assert not re.search("^rrnn.*native", text, re.MULTILINE)
    assert (tmp_path / "new" / "out" / "bench.png").read_bytes().startswith(b"\x89PNG")
    assert len(list((tmp_path / "new" / "out").iterdir())) == 2


def test_the_report_holds_every_round(bench: Callable, tmp_path: Path) -> None:
    code, stdout, _ = bench(
        "gru", "--engines", "plain,native", "--rounds", "3", "--reference", "rnn", "--out", tmp_path
    )
    assert code == 0 and f"written: {tmp_path / 'bench.json'}, {tmp_path / 'bench.png'}" in stdout
    report = json.loads((tmp_path / "bench.json").read_text("utf-8"))
    assert report["settings"] == {
        "cells": ["gru"],
        "engines": ["plain", "native"],
        "sizes": [{"rows": 2, "hidden": 5, "steps": 3, "input": 5}],
        "input": None,
        "rounds": 3,
        "device": "cpu",
        "dtype": "float32",
        "threads": None,
        "reference": "rnn",
        "forward": False,
        "out": str(tmp_path),
    }
    assert report["machine"]["device"] and report["machine"]["threads"] == torch.get_num_threads()
    assert report["versions"]["torch"] == torch.__version__
    assert report["suppliers"] == {"gru": registry.origin(registry.find("cells", "gru"))}
    assert report["left_out"] == []
    results = {(result["cell"], result["engine"]): result for result in report["results"]}
    assert list(results) == [("nn.RNN", "torch"), ("gru", "plain"), ("gru", "native")]
    assert [result["chosen"] for result in results.values()] == [False, False, True]
    reference = results["nn.RNN", "torch"]["rounds"]["seconds"]
    for result in results.values():
        rounds = result["rounds"]
        assert len(rounds["seconds"]) == 3 and min(rounds["seconds"]) > 0
        assert rounds["reference_seconds"] == reference
        assert rounds["ratios"] == [own / other for own, other in zip(rounds["seconds"], reference, strict=True)]
        assert result["ratio"]["median"] == sorted(rounds["ratios"])[1]
        assert result["milliseconds"] == 1000 * sorted(rounds["seconds"])[1]
        assert result["tokens_per_second"] == pytest.approx(6 / sorted(rounds["seconds"])[1])
        assert result["peak_memory_bytes"] > 2 * 3 * 5 * 4, "at least the outputs"


def test_its_own_files_are_replaced_and_no_others(bench: Callable, tmp_path: Path) -> None:
    argv = ["gru", "--engines", "native", "--out", tmp_path]
    for name in ("bench.json", "bench.png"):
        (tmp_path / name).write_text("old")
    assert bench(*argv)[0] == 0
    assert all((tmp_path / name).read_bytes() != b"old" for name in ("bench.json", "bench.png"))
    (tmp_path / "thesis.tex").write_text("chapter 1")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    code, stdout, stderr = bench(*argv)
    assert (code, stdout) == (2, "") and "holds something else than a report, such as thesis.tex" in stderr
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_without_a_cell_all_that_load_run(bench: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = {name: registry.find("cells", name) for name in ("elman", "gru", "lstm", "rrnn")}
    offers = {**cells, "broken": registry.Offer("broken", "no_such_module:Broken")}
    monkeypatch.setattr(registry, "names", lambda kind: offers)
    code, stdout, _ = bench("--engines", "native,deferred")
    assert code == 0
    rows = re.findall(r"^([\w.]+) +(torch|native|deferred)", stdout, re.MULTILINE)
    kernels = {("nn.LSTM", "torch"), ("nn.GRU", "torch"), ("nn.RNN", "torch")}
    assert set(rows) == kernels | {(name, engine) for name in cells for engine in ("native", "deferred")} - {
        ("rrnn", "native")
    }
    left_out = [line for line in stdout.splitlines() if line.startswith("left out: ")]
    assert len(left_out) == 2
    assert left_out[0].startswith("left out: broken: ") and "no_such_module" in left_out[0]
    assert left_out[1].startswith("left out: rrnn, native: engine native cannot run RRNN here")


def test_what_no_one_asked_for_is_left_out_silently(bench: Callable) -> None:
    code, stdout, _ = bench("rrnn")
    assert code == 0 and "left out" not in stdout


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_other_types(bench: Callable, dtype: str) -> None:
    code, stdout, stderr = bench("gru", "--dtype", dtype)
    assert code == 0, stderr
    assert f", {dtype}, " in stdout and re.search(r"^gru +native \*", stdout, re.MULTILINE)


def test_a_size_that_no_memory_holds_is_told(bench: Callable) -> None:
    code, stdout, stderr = bench("gru", "--sizes", "9000000000x5x90000")
    assert (code, stdout) == (2, "") and stderr.count("\n") == 1
    assert stderr.startswith("seqlab bench: error: nothing could be measured: the inputs: RuntimeError")


WRONG = [
    (["grru"], "no cell named 'grru'; did you mean 'gru'?"),
    (["gru:size=3"], "has no option 'size'"),
    (["gru", "--engines", "fast"], "no engine named 'fast' (there are: plain, "),
    (["gru", "--engines", "nativ"], "no engine named 'nativ'; did you mean 'native'?"),
    (["rrnn", "--engines", "native"], "rrnn, native: engine native cannot run RRNN here"),
    (["rrnn", "--engines", "deferred,native"], "rrnn, native: engine native cannot run RRNN here"),
    (["gru", "rrnn", "--engines", "native"], "rrnn, native: engine native cannot run RRNN here"),
    (["--sizes", "64x512"], "size '64x512' is not ROWSxHIDDENxSTEPS, such as 64x512x35"),
    (["--sizes", "2x5x3,2x0x3"], "size '2x0x3' is not ROWSxHIDDENxSTEPS"),
    (["--sizes", "2x5x3,"], "size '' is not ROWSxHIDDENxSTEPS"),
    (["--sizes", "2x-5x3"], "size '2x-5x3' is not ROWSxHIDDENxSTEPS"),
    (["--rounds", "0"], "argument --rounds: '0' is not a positive whole number"),
    (["--rounds", "many"], "argument --rounds: 'many' is not a positive whole number"),
    (["--threads", "-1"], "argument --threads: "),
    (["--input", "0"], "argument --input: '0' is not a positive whole number"),
    (["--device", "abacus"], "argument --device: invalid choice: 'abacus'"),
    (["--dtype", "float8"], "argument --dtype: invalid choice: 'float8'"),
    (["--dtype", "tf32"], "tf32 is arithmetic of a GPU"),
    (["--engine", "plain"], "unrecognized arguments: --engine"),
]


@pytest.mark.parametrize(("argv", "expected"), WRONG, ids=lambda value: " ".join(value)[:50] if value else "")
def test_wrong_input_takes_one_line(bench: Callable, tmp_path: Path, argv: list[str], expected: str) -> None:
    code, stdout, stderr = bench(*argv, "--out", tmp_path / "out")
    assert (code, stdout) == (2, "")
    assert stderr.startswith("seqlab bench: error: ") and stderr.count("\n") == 1
    assert expected in stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(bench: Callable) -> None:
    code, stdout, stderr = bench("gru", "--device", "cuda")
    assert (code, stdout) == (2, "") and "torch finds no GPU here; take --device cpu" in stderr


def test_an_out_that_is_a_file(bench: Callable, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for out in ("file", "file/below"):
        code, stdout, stderr = bench("gru", "--out", tmp_path / out)
        assert (code, stdout) == (2, "") and stderr.count("\n") == 1 and "is no folder" in stderr
    assert (tmp_path / "file").read_text() == "mine"


def test_figures_come_from_the_clock(bench: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Times that are put in come out as the ratios of the table."""
    times = {"nn.GRU": [1.0, 2.0, 4.0], "gru": [3.0, 3.0, 5.0]}
    turns: dict[str, int] = {}

    def taken(contestant, work: str) -> float:
        turn = turns.setdefault(contestant.cell, 0)
        turns[contestant.cell] += 1
        return times[contestant.cell][turn]

    monkeypatch.setattr("seqlab.benchmarking.measuring._time", taken)
    code, stdout, _ = bench("gru", "--engines", "plain", "--rounds", "3")
    assert code == 0 and turns == {"nn.GRU": 3, "gru": 3}
    assert re.search(r"^gru +plain +3000  1\.50 \[1\.38, 2\.25\]  nn\.GRU +2  ", stdout, re.MULTILINE)
    assert re.search(r"^nn\.GRU  torch +2000 +1 +3  ", stdout, re.MULTILINE)
