"""``seqlab score`` on small runs: what is printed, from where, and what bad input gets."""

import itertools
import json
import math
import os
import pty
import re
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest

import seqlab as package
from seqlab import runs
from seqlab.commands import score

from .conftest import fit_language_model, write_lines

Seqlab = Callable[..., subprocess.CompletedProcess]
Score = Callable[..., tuple[int, list[str], list[str]]]

ANIMALS, VERBS = ("dog", "cat", "bird", "horse", "cow"), ("see", "hear", "like")
SENTENCES = list(itertools.product(ANIMALS, VERBS, ANIMALS))
HELD_OUT = [("cat", "hear"), ("cow", "like")]
"""Subjects and verbs that never meet in training."""
SOURCES = ["The dog sees the cat.", "", "The man", "the fox."]
TARGETS = ["Der Hund sieht den Kater.", "", "Der Mann hört", ""]


def minimal_pairs(a: str, verb: str, b: str) -> list[tuple[str, str]]:
    """A sentence whose verb agrees with its subject, and one whose does not: of one subject, and of several."""
    one, several = (f"the {a} {verb}s the {b} .", f"the {a} {verb} the {b} ."), (f"the {a}s {verb} the {b} .",)
    return [one, (*several, f"the {a}s {verb}s the {b} .")]


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a language model of lines such as "the dog sees the cat ." and "the dogs see the cat ."."""
    folder = tmp_path_factory.mktemp("language")
    lines = [right for a, verb, b in SENTENCES for right, _ in minimal_pairs(a, verb, b) if (a, verb) not in HELD_OUT]
    (folder / "train.txt").write_text("".join(f"{lines[n * 37 % len(lines)]}\n" for n in range(900)), encoding="utf-8")
    (folder / "val.txt").write_text("".join(f"{lines[n * 41 % len(lines)]}\n" for n in range(20)) + "the odd dog\n\n")
    fit_language_model(folder, steps=90, streams=1)
    return folder / "run"


def test_pairs_from_stdin_and_from_files(seqlab: Seqlab, run_score: Score, trained: Path, tmp_path: Path) -> None:
    sources, targets = write_lines(tmp_path / "source", SOURCES), write_lines(tmp_path / "target", TARGETS)
    expected = package.load(trained, "cpu").log_probabilities(SOURCES, TARGETS)
    lines = [f"{one.log_probability:.6f}\t{len(one.tokens)}\t{one.perplexity:.6f}" for one in expected]
    stdin = "".join(f"{source}\t{target}\r\n" for source, target in zip(SOURCES, TARGETS, strict=True))
    done = seqlab("score", trained, stdin=b"\xef\xbb\xbf" + stdin.encode())
    assert done.returncode == 0 and done.stdout.decode().splitlines() == lines
    total, tokens = math.fsum(one.log_probability for one in expected), sum(len(one.tokens) for one in expected)
    summary = [
        f"log-probability {total:.6f}, perplexity {math.exp(-total / tokens):.6f}",
        f"lines 4, tokens {tokens}, unknown 0",
    ]
    assert done.stderr.decode().splitlines() == summary
    assert run_score(trained, "--source", sources, "--target", targets) == (0, lines, summary)
    assert run_score(trained, "--source", "-", "--target", targets, stdin=sources.read_bytes())[:2] == (0, lines)
    code, stdout, _ = run_score(trained, "--source", sources, "--target", targets, "--header")
    assert code == 0 and stdout == ["log_probability\ttokens\tperplexity", *lines]


def test_tokens_in_columns_and_in_json(run_score: Score, trained: Path) -> None:
    stdin = "The dog\tDer § Hund\n"
    (expected,) = package.load(trained, "cpu").log_probabilities(["The dog"], ["Der § Hund"])
    assert expected.unknown == 1
    code, (head, line), stderr = run_score(trained, "--tokens", "--header", stdin=stdin)
    columns = dict(zip(head.split("\t"), line.split("\t"), strict=True))
    pieces = columns["pieces"].split(" ")
    assert code == 0 and pieces[-1] == "<eos>" and "<unk>" in pieces
    assert "".join(pieces[:-1]).replace("▁", " ").replace("<unk>", "§").strip() == "Der § Hund"
    numbers = [float(number) for number in columns["log_probabilities"].split(" ")]
    assert numbers == pytest.approx(expected.log_probabilities, abs=1e-6) and len(numbers) == len(pieces)
    share = f"{100 / len(pieces):.2g}"
    assert stderr[1] == f"lines 1, tokens {len(pieces)}, unknown 1 ({share} %, scored as <unk>)"
    code, (line,), _ = run_score(trained, "--tokens", "--format", "jsonl", stdin=stdin)
    assert json.loads(line) == {
        "log_probability": expected.log_probability,
        "tokens": len(pieces),
        "perplexity": expected.perplexity,
        "log_probabilities": expected.log_probabilities,
        "pieces": pieces,
        "unknown": 1,
    }
    code, (line,), _ = run_score(trained, "--format", "jsonl", stdin=stdin)
    assert code == 0 and list(json.loads(line)) == ["log_probability", "tokens", "perplexity", "unknown"]


def test_columns_stay_columns_whatever_the_pieces() -> None:
    assert [score.BLANK.sub(score._visible, piece) for piece in (" ", "a\tb", "▁é", "\n")] == [
        "▁",
        "a<0x09>b",
        "▁é",
        "<0x0A>",
    ]


def test_an_n_best_list_is_printed_with_its_new_score(
    run_score: Score, trained: Path, language: Path, tmp_path: Path
) -> None:
    sources = write_lines(tmp_path / "source", ["The dog sees the cat.", "A fox."])
    lines = ["0 ||| Der Hund. ||| -1.5", "0 ||| Der Kater.", "1 |||  ||| F= 2 3 ||| -7 ||| 0-0"]
    listed = write_lines(tmp_path / "listed", lines)
    model = package.load(trained, "cpu")
    sides = [["The dog sees the cat."] * 2 + ["A fox."], ["Der Hund.", "Der Kater.", ""]]
    expected = [
        f"{line} ||| {one.log_probability:.6f}"
        for line, one in zip(lines, model.log_probabilities(*sides), strict=True)
    ]
    assert run_score(trained, "--source", sources, "--n_best", listed)[:2] == (0, expected)
    assert run_score(trained, "--source", sources, "--n_best", "-", stdin=listed.read_bytes())[:2] == (0, expected)
    code, stdout, _ = run_score(language, "--n_best", write_lines(listed, ["7 ||| the dog sees ||| -1"]))
    (alone,) = package.load(language, "cpu").log_probabilities(["the dog sees"])
    assert (code, stdout) == (0, [f"7 ||| the dog sees ||| -1 ||| {alone.log_probability:.6f}"])


def test_lines_of_a_language_model(run_score: Score, language: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In chunks; a stream has the perplexity that an evaluation in one stream finds for the same text."""
    path = language.parent / "val.txt"
    lines = path.read_text(encoding="utf-8").splitlines()
    task, data, _ = runs.restore(runs.Run(language))
    for _ in task.score(data.evaluation_batches("val")):
        pass
    evaluated = task.compute_metrics()["perplexity"].item()
    monkeypatch.setattr(score, "CHUNK", 5)
    for flags, stream in (([], False), (["--stream"], True)):
        expected = task.log_probabilities(lines, stream=stream)
        printed = [(round(one.log_probability, 4), len(one.tokens)) for one in expected]
        for argv, stdin in ((["--lines", path], b""), ([], path.read_bytes())):
            code, stdout, stderr = run_score(language, *flags, *argv, stdin=stdin)
            columns = [line.split("\t") for line in stdout]
            assert code == 0
            assert [(round(float(total), 4), int(tokens)) for total, tokens, _ in columns] == printed
            assert stderr[-1] == "lines 22, tokens 145, unknown 1 (0.69 %, scored as <unk>)"
            perplexity = float(stderr[-2].rpartition(" ")[2])
            assert (perplexity == pytest.approx(evaluated, rel=1e-5)) == stream


def test_a_model_prefers_the_grammatical_one_of_a_minimal_pair(run_score: Score, language: Path) -> None:
    """Of subjects and verbs that it has not seen together."""
    pairs = [pair for a, verb, b in SENTENCES if (a, verb) in HELD_OUT for pair in minimal_pairs(a, verb, b)]
    code, stdout, _ = run_score(language, stdin="".join(f"{line}\n" for pair in pairs for line in pair))
    scores = [float(line.split("\t")[0]) for line in stdout]
    assert code == 0 and len(scores) == 2 * len(pairs) == 40
    assert all(right > wrong for right, wrong in zip(scores[::2], scores[1::2], strict=True))


def test_a_text_without_a_source_is_scored_and_told(run_score: Score, trained: Path) -> None:
    code, stdout, stderr = run_score(trained, stdin="The dog\tDer Hund\n\tDer Hund\n\t\n \tDer\n")
    assert code == 0 and len(stdout) == 4 and float(stdout[1].split("\t")[0]) < float(stdout[0].split("\t")[0])
    assert stderr[0] == "line 2 has a text but no source; it is scored as what translates nothing"
    assert stderr[-1] == "2 lines have a text but no source"


def test_unknown_tokens_of_sources_are_told(run_score: Score, trained: Path) -> None:
    assert run_score(trained, stdin="The § dog\tDer Hund\n")[2][-1] == "unknown tokens of the sources 1"


def test_a_terminal_shows_progress_and_whole_lines(trained: Path) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    argv = [sys.executable, "-m", "seqlab", "score", str(trained)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TERM": "xterm"}
    with subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.write(ours, b"The dog\tDer Hund\n\x04")
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 1000):
                shown += part
        except OSError:  # how a terminal ends
            os.close(ours)
    (forced,) = package.load(trained, "cpu").log_probabilities(["The dog"], ["Der Hund"])
    line = f"{forced.log_probability:.6f}\t{len(forced.tokens)}\t{forced.perplexity:.6f}\r\n"
    assert process.returncode == 0
    assert b"type source, tab and target, then Ctrl-D\r\n" in shown and b"\rscoring: " in shown
    assert re.search(rf"[\r\n]{re.escape(line)}", shown.decode()), "the bar makes room for it"


def test_flags_of_the_other_task(run_score: Score, trained: Path, language: Path) -> None:
    pairs, lines = "which translates: give --source and --target", "which is a language model: give --lines"
    for argv, message in (
        ([trained, "--stream"], f"--stream is not for {trained}, {pairs}, or text on stdin"),
        ([trained, "--lines", "a"], f"--lines is not for {trained}, {pairs}, or text on stdin"),
        (
            [trained, "--n_best", "a"],
            f"--n_best needs --source FILE, what its texts translate, since {trained} translates",
        ),
        (
            [language, "--max_input_length", "9"],
            f"--max_input_length has no effect on {language}, a language model, which reads lines of any length",
        ),
        ([language, "--source", "a", "--target", "b"], f"--source is not for {language}, {lines}, or text on stdin"),
    ):
        assert run_score(*argv) == (2, [], [f"seqlab score: error: {message}"])
