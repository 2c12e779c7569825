"""``seqlab translate`` as it is used: n-best lists, prefixes, samples, ensembles, attention, and what is refused."""

import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

import seqlab as package
from seqlab.cli import main
from seqlab.commands import SEARCH, translate
from seqlab.decoding.search import Search
from seqlab.tasks.translator import Translator

from ..conftest import fit_here

Translate = Callable[..., tuple[int, list[str], str]]
LINES = ["The dog sees the cat.", "", "A fox calls.", "The bird hears the man and the boy.", "Ünknown ☃"]


@pytest.fixture
def run(capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Translate:
    """Runs the command here, in an empty folder; returns exit code, lines of stdout, and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*argv: str | Path, lines: list[str] = LINES) -> tuple[int, list[str], str]:
        text = "".join(f"{line}\n" for line in lines).encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
        code = main(["translate", *map(str, argv)])
        out, err = capfd.readouterr()
        return code, out.splitlines(), err

    return call


@pytest.fixture
def fit(run: Translate, tiny: list[str], capfd: pytest.CaptureFixture) -> Callable[..., None]:
    """Fits a run for two steps, in the same folder."""

    def call(name: str, *argv: str) -> None:
        steps = ["--trainer.max_steps", "2", "--trainer.val_check_interval", "2"]
        assert main(["fit", "--recipe", "translation", "--run", name, *tiny, *steps, *argv]) == 0
        capfd.readouterr()

    return call


@pytest.fixture(scope="session")
def other(trained: Path, tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of other weights with the same tokenizer."""
    path = tmp_path_factory.mktemp("runs") / "other"
    settings = ["--data.tokenizer.file", trained / "checkpoints" / "best.ckpt", "--seed", "2"]
    steps = ["--trainer.max_steps", "4", "--trainer.val_check_interval", "4"]
    fit_here("--recipe", "translation", "--run", path, *tiny, *settings, *steps)
    return path


def test_the_flags_are_the_settings_of_a_search() -> None:
    assert {*SEARCH, "n_best"} == {field.name for field in fields(Search)}


def test_n_best_lists(run: Translate, trained: Path) -> None:
    code, lines, _ = run(trained, "--n_best", "3", "--beam", "4")
    assert code == 0
    expected = Translator([package.load(trained, "cpu")]).decode(LINES, beam=4, n_best=3)
    assert [len(candidates) for candidates in expected] == [3, 0, 3, 3, 3]
    rows = [line.split(" ||| ") for line in lines]
    assert [int(row[0]) for row in rows] == [0, 0, 0, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]
    assert lines[3] == "1 |||  ||| log_probability= 0.000000 ||| 0.000000"
    flat = [candidate for candidates in expected for candidate in candidates]
    for row, candidate in zip([row for row in rows if row[0] != "1"], flat, strict=True):
        assert row[1:] == [
            candidate.text,
            f"log_probability= {candidate.log_probability:.6f}",
            f"{candidate.score:.6f}",
        ]
    best = [line for number, line in enumerate(lines) if number in (0, 3, 4, 7, 10)]
    assert run(trained, "--scores", "--beam", "4")[1] == best
    assert [line.split(" ||| ")[1] for line in best] == run(trained, "--beam", "4")[1]


def test_settings_of_the_search_reach_it(run: Translate, trained: Path) -> None:
    task = package.load(trained, "cpu")
    settings = {"beam": 3, "length_penalty": 0.3, "length_normalization": "wu", "coverage_penalty": 0.4}
    settings |= {"no_repeat_ngram_size": 2, "min_length": 4, "max_length": 9}
    code, lines, _ = run(trained, *(part for name, value in settings.items() for part in (f"--{name}", value)))
    assert code == 0 and lines == task.translate(LINES, **settings) != task.translate(LINES)


def test_prefixes_in_chunks(run: Translate, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translate, "CHUNK", 2)
    prefixes = ["Die Katze", "", "", "Zoë mag", "☃ der"]
    Path("prefixes.txt").write_text("\n".join(prefixes), encoding="utf-8")
    code, lines, _ = run(trained, "--prefix", "prefixes.txt")
    assert code == 0 and lines == package.load(trained, "cpu").translate(LINES, prefixes=prefixes)
    assert all(line.startswith(prefix) for line, prefix in zip(lines, prefixes, strict=True))
    assert lines[1] == "" and lines[2] == run(trained)[1][2]


def test_samples_do_not_depend_on_chunks(run: Translate, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = [trained, "--sample", "--temperature", "1.5", "--top_k", "9", "--top_p", "0.95", "--max_length", "12"]
    code, lines, _ = run(*settings)
    assert code == 0 and lines[1] == ""
    assert run(*settings, "--seed", "2")[1] != lines == run(*settings, "--seed", "1")[1]
    monkeypatch.setattr(translate, "CHUNK", 2)
    assert run(*settings)[1] == lines
    assert run(trained, "--sample", "--temperature", "0")[1][0] == run(trained, "--beam", "1")[1][0]


def test_ensembles(run: Translate, trained: Path, other: Path) -> None:
    assert run(trained, trained)[1] == run(trained)[1]
    tasks = [package.load(path, "cpu") for path in (trained, other)]
    for mean in ("probabilities", "log-probabilities"):
        code, lines, _ = run(trained, other, "--ensemble", mean)
        assert code == 0 and lines == Translator(tasks, mean=mean).translate(LINES) != run(trained)[1]
    assert run(trained, other)[1] == Translator(tasks).translate(LINES)


def test_attention(run: Translate, trained: Path) -> None:
    code, lines, err = run(trained, "--attention", "maps/new")
    assert code == 0 and lines == run(trained)[1]
    assert err == (
        "written: 4 heatmaps into maps/new, 000001.png to 000005.png, with the numbers of each in a .json beside it\n"
    )
    maps = sorted(Path("maps/new").iterdir())
    assert [path.name for path in maps] == [f"{n:06d}.{suffix}" for n in (1, 3, 4, 5) for suffix in ("json", "png")]
    found = json.loads((Path("maps/new") / "000003.json").read_text(encoding="utf-8"))
    assert (found["sentence"], found["source_text"], found["text"]) == (3, LINES[2], lines[2])
    assert found["source"][-1] == found["target"][-1] == "<eos>"
    assert [len(row) for row in found["weights"]] == [len(found["source"])] * len(found["target"])
    code, _, err = run(trained, "--attention", "maps/new")
    assert (
        code == 2 and err == "seqlab translate: error: maps/new is not empty: --attention takes a folder of its own\n"
    )
    for name, lines, told in (
        ("one", LINES[:2], "written: one/000001.png and .json, where the translation looked\n"),
        ("none", ["", ""], "written: nothing into none, since no line has a translation\n"),
    ):
        assert run(trained, "--attention", name, lines=lines)[2] == told


def test_a_model_without_attention_has_no_maps(run: Translate, fit: Callable) -> None:
    fit("blind", "--model.attention", "none")
    for argv, expected in (
        (["--attention", "maps"], "blind has no attention to show (model.attention none)"),
        (["--coverage_penalty", "0.1"], "coverage_penalty needs a model with attention"),
    ):
        code, lines, err = run("blind", *argv)
        assert (code, lines) == (2, []) and expected in err and err.count("\n") == 1
    assert not Path("maps").exists()


WRONG = [
    (["--n_best", "6"], "n_best 6 is more than a beam of 5 finds; take --beam 6 or wider"),
    (["--n_best", "3", "--beam", "2"], "n_best 3 is more than a beam of 2 finds"),
    (["--n_best", "0"], "n_best must be at least 1, not 0"),
    (["--beam", "0"], "beam must be at least 1, not 0"),
    (["--beam", "two"], "argument --beam: 'two' is not a whole number"),
    (["--length_normalization", "mean"], "argument --length_normalization: invalid choice: 'mean'"),
    (["--min_length", "5", "--max_length", "4"], "min_length 5 is above max_length 4"),
    (["--top_p", "0.9"], "--top_p has no effect without --sample"),
    (["--seed", "2"], "--seed has no effect without --sample"),
    (["--sample", "--beam", "5"], "--sample and --beam contradict"),
    (["--sample", "--n_best", "2"], "--sample and --n_best contradict"),
    (["--sample", "--top_p", "1.5"], "top_p must be above 0 and at most 1, not 1.5"),
    (["--sample", "--seed", "-2"], "seed must not be negative, but is -2"),
    (["--ensemble", "probabilities"], "--ensemble has no effect on one run"),
    (["--prefix", "nowhere.txt"], "no file nowhere.txt with prefixes"),
    (["--prefix", "three.txt"], "three.txt has 3 lines but stdin has more: each needs one, empty where it is free"),
    (["--prefix", "seven.txt"], "seven.txt has more than 5 lines but stdin has 5: each needs one"),
    (["--prefix", "latin.txt"], "latin.txt, line 2: not UTF-8"),
    (["--prefix", "five.txt", "--max_length", "1"], "the prefix of line 4 has"),
    (["--attention", "five.txt"], "five.txt is a file: --attention takes a folder of its own"),
    (["--attention", "full"], "full is not empty: --attention takes a folder of its own"),
    (["--attention", "five.txt/maps"], "cannot make the folder five.txt/maps: Not a directory"),
]


@pytest.mark.parametrize(("argv", "expected"), WRONG, ids=lambda value: " ".join(value) if value else "")
def test_wrong_flags(run: Translate, trained: Path, argv: list[str], expected: str) -> None:
    """One line, and nothing on stdout or in the folder."""
    Path("three.txt").write_text("a\n\nb\n")
    Path("five.txt").write_text("\n\n\nDer Hund sieht den Hund.\n\n")
    Path("seven.txt").write_text("\n" * 7)
    Path("latin.txt").write_bytes(b"\nf\xfcr\n\n\n\n")
    Path("full").mkdir()
    Path("full/thesis.tex").write_text("chapter 1")
    before = {path: path.is_dir() or path.read_bytes() for path in Path().rglob("*")}
    code, lines, err = run(trained, *argv)
    assert (code, lines) == (2, [])
    assert err.startswith("seqlab translate: error: ") and expected in err and err.count("\n") == 1
    assert {path: path.is_dir() or path.read_bytes() for path in Path().rglob("*")} == before


def test_runs_that_do_not_go_together(run: Translate, trained: Path, fit: Callable) -> None:
    fit("smaller", "--data.tokenizer.vocab_size", "59")
    code, lines, err = run(trained, "smaller")
    assert (code, lines) == (2, []) and err.count("\n") == 1
    assert f"{trained} and smaller have different source vocabularies: an ensemble needs runs of the same" in err


def test_a_run_without_a_checkpoint_says_how_far_it_got(run: Translate, trained: Path) -> None:
    shutil.copytree(trained, "killed", ignore=shutil.ignore_patterns("*.ckpt"))
    for argv in (["killed"], [trained, "killed"]):
        code, _, err = run(*argv)
        assert code == 2 and re.search(r"killed has no checkpoint yet: .* step 40", err) and err.count("\n") == 1


def test_a_reader_that_leaves_is_no_error(trained: Path) -> None:
    command = f"yes 'The dog.' | head -5000 | {sys.executable} -m seqlab translate {trained} --beam 1 --max_length 2"
    done = subprocess.run(["bash", "-c", f"{command} | head -1"], capture_output=True, text=True, timeout=300)
    assert done.stdout.count("\n") == 1 and "Traceback" not in done.stderr
