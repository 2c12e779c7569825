"""``seqlab generate`` on a small run, in processes and terminals of its own."""

import io
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from seqlab.cli import main
from seqlab.commands import generate
from seqlab.tasks.language_model import LanguageModel

Seqlab = Callable[..., subprocess.CompletedProcess]

COMMAND = [sys.executable, "-m", "seqlab", "generate"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "TERM": "xterm"}
ENVIRONMENT.pop("NO_COLOR", None)
ANIMALS = ("dog", "cat", "bird", "horse", "fox")
VERBS = ("sees", "hears", "likes")


def test_a_fit_ends_with_an_example(fitted: tuple[Path, str]) -> None:
    prompt, text = re.search(r"^prompt  (.*)\ntext    ((?:.+\n|\n(?= ))*)\n", fitted[1], re.MULTILINE).groups()
    assert prompt == "the odd  dog sees the fox and it hears the", "the first document with ten words"
    lines = text.rstrip("\n").split("\n")
    assert 40 < len(text.split()) < 60 and all(line.startswith(" " * 8) for line in lines[1:])
    assert lines[-2].split()[0] == "the" and lines[-2].split()[-1] == ".", "it has learned how a line begins and ends"
    assert "unknown" not in fitted[1].partition("\nprompt")[2]


def test_the_text_goes_to_stdout_with_its_prompt(seqlab: Seqlab, run: Path, model: LanguageModel) -> None:
    done = seqlab("generate", run, "--length", "30", "the dog", "--seed", "3")
    assert done.returncode == 0 and done.stderr == b""
    text = model.generate("the dog", length=30, seed=3)[0]
    assert done.stdout.decode() == f"the dog{text}\n"
    assert text.startswith(" ") and text.count("\n") > 2
    lines = f"the dog{text}".split("\n")
    assert sum(len(line.split()) == 6 for line in lines) >= len(lines) - 2


def test_several_samples_stand_one_after_the_other(seqlab: Seqlab, run: Path, model: LanguageModel) -> None:
    flags = ["--samples", "3", "--lines", "3", "--temperature", "0.8", "--top_k", "5", "--top_p", "0.9"]
    done = seqlab("generate", run, *flags, "--repetition_penalty", "1.2", stdin=b"the dog\nthe odd\r\n")
    assert done.returncode == 0, done.stderr.decode()
    texts = model.generate(
        "the dog\nthe odd", samples=3, lines=3, temperature=0.8, top_k=5, top_p=0.9, repetition_penalty=1.2
    )
    assert len(set(texts)) > 1 and {text.count("\n") for text in texts} == {2}
    expected = [f"--- sample {n} of 3 ---\nthe dog\nthe odd{text}\n" for n, text in enumerate(texts, 1)]
    assert done.stdout.decode() == "".join(expected)
    assert done.stderr.decode() == "prompt: 1 of 4 words unknown to the tokenizer, read as <unk>: 'odd'\n"


def test_generation_is_reproducible_and_leaves_the_random_state(model: LanguageModel) -> None:
    before = torch.get_rng_state()
    text = model.generate("the", samples=2)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    assert model.generate("the", samples=2) == text != model.generate("the", samples=2, seed=2)
    assert model.generate("the") == text[:1]


def test_pieces_make_the_text(model: LanguageModel) -> None:
    pieces: list[tuple[int, str]] = []
    texts = model.generate("the dog", length=9, samples=2, stream=lambda *piece: pieces.append(piece))
    assert ["".join(piece for number, piece in pieces if number == n) for n in range(2)] == texts
    assert [number for number, _ in pieces] == [0] * 10 + [1]


def test_the_likeliest_text_of_a_line(model: LanguageModel) -> None:
    (text,) = model.generate("\nthe dog", temperature=0, length=50, lines=1)
    assert re.fullmatch(rf" ({'|'.join(VERBS)}) the ({'|'.join(ANIMALS)}) \.", text)


def test_a_terminal_starts_a_text_without_asking(run: Path, model: LanguageModel) -> None:
    (text,) = model.generate(length=8)
    ours, theirs = pty.openpty()
    streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    with subprocess.Popen([*COMMAND, str(run), "--length", "8"], env=ENVIRONMENT, **streams) as process:
        os.close(theirs)
        assert shown_on(ours) == f"{text}\n"
    assert process.returncode == 0


def test_a_terminal_shows_the_prompt_in_bold_and_obeys_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    for environment, bold, normal in (
        ({}, "\033[1m", "\033[0m"),
        ({"NO_COLOR": "1"}, "", ""),
        ({"TERM": "dumb"}, "", ""),
    ):
        ours, theirs = pty.openpty()
        with monkeypatch.context() as patch, open(theirs, "w", encoding="utf-8") as screen:
            patch.setattr(os, "environ", {**ENVIRONMENT, **environment})
            patch.setattr(sys, "stdout", screen)
            writer = generate.Writer("the\033[2J\ndog", 1)
            for text in (" sees", "\tthe\r\a\n", "cat"):
                writer.write(0, text)
            writer.close()
        assert shown_on(ours) == f"{bold}the\ufffd[2J\ndog{normal} sees\tthe\ufffd\ufffd\ncat\n"


def shown_on(terminal: int) -> str:
    """All that a terminal shows until nobody writes to it."""
    shown = b""
    try:
        while part := os.read(terminal, 1000):
            shown += part
    except OSError:  # how a terminal ends
        pass
    finally:
        os.close(terminal)
    return shown.decode().replace("\r\n", "\n")


def test_text_streams_until_nobody_reads(run: Path) -> None:
    argv = [*COMMAND, str(run), "the", "--length", "1000000000"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT) as process:
        assert process.stdout and process.stderr
        assert process.stdout.readline().startswith(b"the ")
        process.stdout.close()
        assert process.wait(60) == 141
        assert process.stderr.read() == b""


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A process that was started in the background of a script ignores SIGINT, and so would those that it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupted_text_ends_its_line(run: Path, interruptible: None) -> None:
    argv = [*COMMAND, str(run), "the", "--length", "1000000000"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT) as process:
        assert process.stdout and process.stderr
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == b"seqlab generate: interrupted\n"
    assert (first + rest).endswith(b"\n")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--top_p", "0"], "top_p must be above 0 and at most 1, not 0.0"),
        (["--top_p", "1.5"], "top_p must be above 0 and at most 1, not 1.5"),
        (["--temperature", "-1"], "temperature must be 0 (the likeliest token) or above, not -1.0"),
        (["--top_k", "0"], "top_k must be at least 1, not 0"),
        (["--repetition_penalty", "0"], "repetition_penalty must be above 0 (1 for none), not 0.0"),
        (["--samples", "0"], "samples must be at least 1, not 0"),
        (["--samples", "-3"], "samples must be at least 1, not -3"),
        (["--length", "0"], "length must be at least 1, not 0"),
        (["--lines", "0"], "lines must be at least 1, not 0"),
        (["--seed", "-1"], "seed must not be negative, but is -1"),
        (["--length", "ten"], "argument --length: 'ten' is not a whole number (see seqlab generate -h)"),
        (["dog"], "unrecognized arguments: dog: a prompt of several words stands in quotes (see seqlab generate -h)"),
        (["--beams", "5"], "unrecognized arguments: --beams"),
    ],
)
def test_wrong_flags_take_one_line(
    run: Path, flags: list[str], message: str, capfdbinary: pytest.CaptureFixture
) -> None:
    assert main(["generate", str(run), "the", *flags]) == 2
    stdout, stderr = map(bytes.decode, capfdbinary.readouterr())
    assert stdout == "" and stderr.startswith(f"seqlab generate: error: {message}") and stderr.count("\n") == 1


def test_a_prompt_that_is_not_utf8(
    run: Path, capfdbinary: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"the dog\nthe dog\xe9\n")))
    argument = os.fsdecode(b"dog\xe9")  # as Python hands it over
    for argv, message in (
        ([], b"stdin, line 2: not UTF-8 (byte 8 is 0xe9); convert it"),
        ([argument], b"the prompt is not UTF-8; convert it"),
    ):
        assert main(["generate", str(run), *argv]) == 2
        stdout, stderr = capfdbinary.readouterr()
        assert stdout == b"" and stderr.startswith(b"seqlab generate: error: " + message) and stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("stdin", "prompt"),
    [
        (b"", ""),
        (b"\n", ""),
        (b"the dog", "the dog"),
        (b"the dog\n", "the dog"),
        (b"the dog\n\n", "the dog\n"),
        (b"\xef\xbb\xbfthe\r\n\r\ndog \r\n", "the\n\ndog "),
    ],
)
def test_one_line_feed_at_the_end_of_stdin_is_left_out(
    stdin: bytes, prompt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
    assert generate._read_prompt() == prompt
    monkeypatch.setattr(sys, "stdin", None)
    assert generate._read_prompt() == ""


@pytest.mark.parametrize(
    ("prompt", "texts", "expected"),
    [
        ("a", [" b"], "a b\n"),
        ("a", [" b\n"], "a b\n"),
        ("", ["b", "\n", "c"], "b\nc\n"),
        ("", [""], "\n"),
        ("a\n", [""], "a\n"),
    ],
)
def test_a_sample_ends_in_one_line_feed(
    prompt: str, texts: list[str], expected: str, capfdbinary: pytest.CaptureFixture
) -> None:
    writer = generate.Writer(prompt, 1)
    writer.close()
    for text in texts:
        writer.write(0, text)
    writer.close()
    assert capfdbinary.readouterr().out.decode() == expected
    writer = generate.Writer(prompt, 2)
    for sample in range(2):
        for text in texts:
            writer.write(sample, text)
    writer.close()
    heads = [f"--- sample {n} of 2 ---\n{expected}" for n in (1, 2)]
    assert capfdbinary.readouterr().out.decode() == "".join(heads)


def test_a_run_of_another_task_is_told_its_command(
    run: Path, trained: Path, capfdbinary: pytest.CaptureFixture
) -> None:
    for argv, task, right in (
        (["generate", trained, "the"], "generate text: its task is Translation", "translate"),
        (["translate", run], "translate: its task is LanguageModel", "generate"),
    ):
        assert main(list(map(str, argv))) == 2
        stdout, stderr = capfdbinary.readouterr()
        message = f"{argv[1]} does not {task} (seqlab {right} {argv[1]} does what it was made for)"
        assert stdout == b"" and stderr.decode() == f"seqlab {argv[0]}: error: {message}\n"
