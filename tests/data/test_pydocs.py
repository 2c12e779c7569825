"""The built-in corpus of text: splits that share nothing, the same each time, whole."""

import hashlib
import os
import subprocess
import sys
from pydoc_data.topics import topics

import pytest

from seqlab.data.pydocs import HELD_OUT, pydocs
from seqlab.errors import UserError

SPLITS = ("train", "val", "test")

FRESH_PROCESS = """
import hashlib
from seqlab.data.pydocs import pydocs
print(hashlib.sha256(repr([pydocs(split) for split in ("train", "val", "test")]).encode()).hexdigest())
"""


def whole(split: str) -> str:
    return "\n".join(pydocs(split))


def test_sizes():
    """All of the reference but what stands in it twice, about a tenth of it in each held-out split."""
    sizes = {split: len(whole(split)) for split in SPLITS}
    assert sizes["train"] > 250_000
    for split in ("val", "test"):
        assert 0.07 < sizes[split] / sum(sizes.values()) < 0.12
        assert len(pydocs(split)) == len(HELD_OUT[split]), "every topic named is one of this Python"


def test_splits_share_no_document_and_hardly_a_line():
    """Topics that are parts of others are left out; else a third of some splits would stand in the training text."""
    documents = [document for split in SPLITS for document in pydocs(split)]
    assert len(set(documents)) == len(documents)
    lines = {split: {line for line in whole(split).split("\n") if len(line) > 30} for split in SPLITS}
    for split in ("val", "test"):
        assert len(lines[split]) > 300
        assert len(lines[split] & lines["train"]) < 0.02 * len(lines[split])
    assert len(lines["val"] & lines["test"]) < 0.02 * len(lines["val"])


def test_what_is_left_out_stands_in_a_topic_that_is_there():
    text = "\n".join(map(whole, SPLITS))
    assert "Basic customization" in topics["customization"] and "Basic customization" in topics["specialnames"]
    assert text.count("Basic customization\n***") + text.count("Basic customization\n===") == 1
    kept = sum(len(pydocs(split)) for split in SPLITS)
    assert 40 <= kept < len(topics)


def test_only_spaces_at_ends_of_lines_are_cleaned():
    (document,) = (document for document in pydocs("test") if document.startswith("Execution model"))
    lines = topics["execmodel"].strip("\n").split("\n")
    assert document.split("\n") == [line.rstrip() for line in lines]
    assert any(line.startswith("   ") for line in document.split("\n")), "indents stay"


def test_the_same_in_every_process():
    expected = hashlib.sha256(repr([pydocs(split) for split in SPLITS]).encode()).hexdigest()
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", FRESH_PROCESS],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
        )
        assert done.stdout.strip() == expected, done.stderr


def test_a_python_without_the_topics(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(UserError, match=r"comes without pydoc_data\.topics"):
        pydocs("train")
