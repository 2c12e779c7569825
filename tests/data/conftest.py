"""What tests of data share."""

import itertools
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from seqlab.data.encoded_text import encode_text
from seqlab.data.language_text import LanguageText
from seqlab.data.parallel_text import ParallelText
from seqlab.data.tokenizers import TokenizerSettings

SPLITS = ("train", "val", "test")
COLOURS = ("red", "blue", "green", "grey", "pink")
WORDS = ("red", "blue", "old", "new", "big", "small", "tall", "low", "wet", "dry", "hot", "cold", "far", "near")


@pytest.fixture
def messages() -> Iterator[list[str]]:
    """What seqlab logs, whether or not a command has set up its logging in this process."""
    found: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: found.append(record.getMessage())
    log = logging.getLogger("seqlab")
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    yield found
    log.removeHandler(handler)
    log.setLevel(level)


@pytest.fixture
def lines_of() -> Callable[[int], list[str]]:
    """Different lines of two to six words, the second of which says which line it is."""
    return lambda count: [
        " ".join([COLOURS[number % 5], str(number), *COLOURS[: number % 7]]) for number in range(count)
    ]


@pytest.fixture
def write_lines(tmp_path: Path) -> Callable[[str, list[str]], str]:
    """Writes a text file of the given lines; returns its path."""

    def write(name: str, lines: list[str]) -> str:
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return str(tmp_path / name)

    return write


@pytest.fixture
def files(write_lines, lines_of) -> dict[str, str]:
    """A training text of 100 lines, a validation text of 20, a test text of 10."""
    return {
        name: write_lines(f"{name}.txt", lines_of(count)) for name, count in zip(SPLITS, (100, 20, 10), strict=True)
    }


@pytest.fixture
def language_text() -> Callable[..., LanguageText]:
    """Makes a data module of words, in few rows and short windows."""
    words = TokenizerSettings("word", 200)
    return lambda train="pydocs", **options: LanguageText(
        train, **{"tokenizer": words, "streams": 3, "window": 7, "validation_streams": 2, **options}
    )


@pytest.fixture
def stream_of() -> Callable[[LanguageText, str], list[int]]:
    """All tokens of a split."""
    return lambda data, split: [
        token for text in data.text(split)["text"] for token in encode_text(text, data.tokenizer)
    ]


@pytest.fixture
def sentences() -> Callable[[int], list[str]]:
    """So many different sentences of three different words."""
    return lambda count: [" ".join(words) for words in itertools.islice(itertools.permutations(WORDS, 3), count)]


@pytest.fixture
def corpus(write_lines) -> Callable[[str, list[str]], str]:
    """Writes a parallel corpus whose target side is the source side in capitals; returns its path prefix."""

    def write(name: str, lines: list[str]) -> str:
        write_lines(f"{name}.de", [line.upper() for line in lines])
        return write_lines(f"{name}.en", lines).removesuffix(".en")

    return write


@pytest.fixture
def text_module() -> Callable[..., ParallelText]:
    """Makes a data module of a parallel corpus, of words, in small batches."""
    words = TokenizerSettings("word", 100)
    return lambda train, **options: ParallelText(**{"train": train, "tokenizer": words, "batch_tokens": 40, **options})


TOGETHER = """
import sys
print("ready", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def together() -> Callable[..., tuple[set[str], list[str]]]:
    """Runs a program in three processes, which all begin at the same time; returns what they print on stdout, and on
    stderr."""

    def run(program: str, *arguments: str, setup: str = "") -> tuple[set[str], list[str]]:
        pipes = {name: subprocess.PIPE for name in ("stdin", "stdout", "stderr")}
        command = [sys.executable, "-c", setup + TOGETHER + program, *arguments]
        processes = [subprocess.Popen(command, text=True, **pipes) for _ in range(3)]
        assert [process.stdout.readline() for process in processes] == ["ready\n"] * 3
        for process in processes:
            process.stdin.write("\n")
            process.stdin.flush()
        printed = [process.communicate(timeout=60) for process in processes]
        assert [process.returncode for process in processes] == [0] * 3, printed
        return {out for out, _ in printed}, [err for _, err in printed]

    return run
