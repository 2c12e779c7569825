"""``seqlab score`` and bad input: each gets one line, and nothing is printed."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from seqlab import runs

from .conftest import write_lines

Score = Callable[..., tuple[int, list[str], list[str]]]

FLAGS = [
    (["--source", "a"], "--source needs --target FILE or --n_best FILE, which is scored"),
    (["--target", "a"], "--target needs --source FILE, what it translates"),
    (["--lines", "a", "--source", "b"], "--lines and --source contradict: each says what to score"),
    (["--source", "a", "--target", "b", "--n_best", "c"], "--target and --n_best contradict: each says what to score"),
    (["--source", "a", "--n_best", "b", "--tokens"], "--tokens does not go with --n_best, which prints its own list"),
    (["--n_best", "b", "--format", "jsonl"], "--format jsonl does not go with --n_best, which prints its own list"),
    (
        ["--format", "jsonl", "--header"],
        "--header does not go with --format jsonl, each of whose lines names its values",
    ),
    (["--max_input_length", "0"], "max_input_length must be between 1 and 1,000,000,000, not 0"),
    (["--format", "xml"], "argument --format: invalid choice: 'xml'"),
    (["--beam", "5"], "unrecognized arguments: --beam 5"),
]


@pytest.mark.parametrize(
    ("flags", "message"), FLAGS, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_flags_that_do_not_go_together(run_score: Score, trained: Path, flags: list[str], message: str) -> None:
    code, stdout, stderr = run_score(trained, *flags)
    assert code == 2 and stdout == [] and len(stderr) == 1
    assert stderr[0].startswith(f"seqlab score: error: {message}")


def test_a_task_that_scores_no_text(run_score: Score, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "load", lambda path: object())
    message = f"seqlab score: error: {trained} does not score text: its task is object"
    assert run_score(trained) == (2, [], [message])


@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        (b"", "stdin is empty: there is nothing to score"),
        (b"\xef\xbb\xbf", "stdin is empty: there is nothing to score"),
        (b"The dog\tDer Hund\nThe dog\n", "stdin, line 2: no tab, which separates source and target"),
        (b"The dog\tDer Hund\tDer Kater\n", "stdin, line 1: 2 tabs, but one separates source and target"),
        (b"The dog\tDer Hund\nThe dog\tDer \xfc\n", "stdin, line 2: not UTF-8 (byte 13 is 0xfc); convert it"),
    ],
)
def test_wrong_text_on_stdin(run_score: Score, trained: Path, stdin: bytes, message: str) -> None:
    code, stdout, stderr = run_score(trained, stdin=stdin)
    assert code == 2 and stdout == [] and len(stderr) == 1
    assert stderr[0].startswith(f"seqlab score: error: {message}")


@pytest.mark.parametrize(
    ("target", "flag", "message"),
    [
        (b"Der Hund\n", "--target", "source has 2 lines but target has 1: they must match line for line"),
        (b"", "--target", "target is empty: there is nothing to score"),
        (b"Der Hund\nDer \xfc\n", "--target", "target, line 2: not UTF-8 (byte 5 is 0xfc); convert it"),
        (None, "--target", "cannot read target: No such file or directory"),
        (b"0 ||| Der Hund\nDer Hund\n", "--n_best", "target, line 2: not NUMBER ||| TEXT, as lines of an n-best list"),
        (b"one ||| Der Hund\n", "--n_best", "target, line 1: not NUMBER ||| TEXT, as lines of an n-best list"),
        (b"2 ||| Der Hund\n", "--n_best", "target, line 1: number 2, but source has 2 lines (the first is 0)"),
    ],
)
def test_wrong_files(
    run_score: Score,
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    target: bytes | None,
    flag: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_lines(Path("source"), ["The dog", "The cat"])
    if target is not None:
        Path("target").write_bytes(target)
    code, stdout, stderr = run_score(trained, "--source", "source", flag, "target")
    assert code == 2 and stdout == [] and len(stderr) == 1
    assert stderr[0].startswith(f"seqlab score: error: {message}")


@pytest.mark.parametrize(
    ("stdin", "most", "message"),
    [
        (
            f"The dog\tDer Hund\n{'The dog. ' * 1200}\tDer Hund.\n",
            None,
            "line 2: the source has {}, and 5,000 are the most",
        ),
        ("The dog\tDer Hund\nA\tDer Hund sieht den Kater.\n", 7, "line 2: the target has {}, and 7 are the most"),
    ],
)
def test_a_pair_that_is_too_long_is_refused_before_any_is_scored(
    run_score: Score, trained: Path, tmp_path: Path, stdin: str, most: int | None, message: str
) -> None:
    """Of stdin, of two files, and of an n-best list; also where lines before it would have been printed by then."""
    sides = [[line.split("\t")[side] for line in stdin.splitlines()] for side in (0, 1)]
    source, target = (write_lines(tmp_path / name, lines) for name, lines in zip("st", sides, strict=True))
    listed = write_lines(tmp_path / "n", [f"{number} ||| {line}" for number, line in enumerate(sides[1])])
    flags = [] if most is None else ["--max_input_length", str(most)]
    longest = 0 if most is None else 1
    task = runs.load(trained, "cpu")
    tokens = len((task.source_tokenizer, task.target_tokenizer)[longest].encode(sides[longest][1]))
    for argv, given in (
        ([], stdin),
        (["--source", source, "--target", target], ""),
        (["--source", source, "--n_best", listed], ""),
    ):
        code, stdout, stderr = run_score(trained, *argv, *flags, stdin=given)
        line = f"seqlab score: error: {message.format(f'{tokens:,} tokens')} (--max_input_length); split it"
        assert (code, stdout, stderr) == (2, [], [line])
    assert run_score(trained, "--max_input_length", "8000", stdin=stdin)[0] == 0


def test_runs_that_cannot_score(run_score: Score, trained: Path, tmp_path: Path) -> None:
    assert "is not a run" in run_score(tmp_path / "nowhere")[2][0]
    run = shutil.copytree(trained, tmp_path / "run")
    shutil.rmtree(run / "checkpoints")
    code, stdout, stderr = run_score(run, stdin="The dog\tDer Hund\n")
    assert code == 2 and stdout == [] and len(stderr) == 1 and f"{run} has no checkpoint yet" in stderr[0]
