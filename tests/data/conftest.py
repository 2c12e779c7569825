"""What tests of data share."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from seqlab.data.encoded_text import encode_text
from seqlab.data.language_text import LanguageText
from seqlab.data.tokenizers import TokenizerSettings

SPLITS = ("train", "val", "test")
COLOURS = ("red", "blue", "green", "grey", "pink")


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
