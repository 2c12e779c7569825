"""What tests of whole commands share: a small parallel corpus, and the command in a process of its own."""

import io
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import pytest
import torch

from seqlab.cli import main

NOUNS = {"dog": "Hund", "cat": "Kater", "man": "Mann", "boy": "Junge", "bird": "Vogel", "horse": "Gaul", "fox": "Fuchs"}
VERBS = {"sees": "sieht", "hears": "hört", "likes": "mag", "finds": "findet", "calls": "ruft"}
TINY = [
    *("--data.source", "en", "--data.target", "de", "--data.batch_tokens", "150"),
    *("--data.tokenizer.vocab_size", "60", "--data.tokenizer.kind", "unigram"),
    *("--model.embedding_size", "16", "--model.encoder_size", "12", "--model.decoder_size", "20"),
    *("--trainer.accelerator", "cpu", "--trainer.log_every_n_steps", "5"),
]
"""Settings of the translation recipe that train in a second."""

for _number in (signal.SIGINT, signal.SIGHUP):
    # A shell ignores them for what it runs in the background, and processes that tests start would inherit that.
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL)

Seqlab = Callable[..., subprocess.CompletedProcess]
Here = Callable[..., tuple[int, str, str]]


def write_corpus(folder: Path) -> Path:
    """Writes train, val and test of 175, 40 and 30 pairs; returns the folder."""
    pairs = [
        (f"The {a} {v} the {b}.", f"Der {NOUNS[a]} {VERBS[v]} den {NOUNS[b]}.")
        for a in NOUNS
        for v in VERBS
        for b in NOUNS
    ]
    pairs = [pairs[number * 97 % len(pairs)] for number in range(len(pairs))]
    for split, rows in (("train", pairs[:175]), ("val", pairs[175:215]), ("test", pairs[215:])):
        for side, language in enumerate(("en", "de")):
            text = "".join(f"{row[side]}\n" for row in rows)
            (folder / f"{split}.{language}").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small English-German corpus."""
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def tiny(corpus: Path) -> list[str]:
    """Flags that make the translation recipe small and point it at the corpus."""
    return [*TINY, *(part for split in ("train", "val", "test") for part in (f"--data.{split}", str(corpus / split)))]


@pytest.fixture(scope="session")
def seqlab() -> Seqlab:
    """Runs the command as a user does, with one thread."""

    def run(*argv: str | Path, stdin: bytes | None = None, cwd: Path | None = None) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "seqlab", *map(str, argv)],
            input=stdin,
            cwd=cwd,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            timeout=300,
        )

    return run


def fit_here(*argv: str | Path) -> str:
    """Fits in this process, which is quicker than another one, as in another one; returns what it says on stderr."""
    threads, stderr = torch.get_num_threads(), io.StringIO()
    torch.set_num_threads(1)
    try:
        with redirect_stderr(stderr):
            code = main(["fit", *map(str, argv)])
    finally:
        torch.set_num_threads(threads)
    assert code == 0, stderr.getvalue()
    return stderr.getvalue()


@pytest.fixture(scope="session")
def trained(tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was trained for a few steps."""
    run = tmp_path_factory.mktemp("runs") / "trained"
    steps = ["--trainer.max_steps", "40", "--trainer.val_check_interval", "20", "--checkpoint.every_n_steps", "15"]
    fit_here("--recipe", "translation", "--run", run, *tiny, *steps)
    return run


@pytest.fixture(scope="session")
def fit_and_kill() -> Callable[..., dict[str, Any]]:
    """Starts a fit, kills it with -9 once its last checkpoint is of a step, and returns what that checkpoint holds."""

    def run(run: Path, *argv: str, step: int) -> dict[str, Any]:
        process = subprocess.Popen(
            [sys.executable, "-m", "seqlab", "fit", "--run", str(run), *argv],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stderr=subprocess.DEVNULL,
        )
        last = run / "checkpoints" / "last.ckpt"
        while process.poll() is None:
            if last.is_file() and torch.load(last, weights_only=True)["global_step"] >= step:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.01)
        assert process.wait() == -signal.SIGKILL
        return torch.load(last, weights_only=True)

    return run


@pytest.fixture
def one_thread() -> Iterator[None]:
    """This process computes as those of :func:`seqlab` and :func:`fit_and_kill` do: several threads may round a sum
    otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def here(capfd: pytest.CaptureFixture) -> Here:
    """Runs the command in this process; returns exit code, stdout and stderr."""

    def run(*argv: str | Path) -> tuple[int, str, str]:
        code = main(list(map(str, argv)))
        return code, *capfd.readouterr()

    return run


@pytest.fixture(scope="module")
def copied(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a module's own, that was trained for a few steps."""
    return shutil.copytree(trained, tmp_path_factory.mktemp("copied") / "run")
