"""Encoding by several processes: the same tokens as by one, in order, also where a process is lost."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from seqlab.data import encoding
from seqlab.data.encoding import (
    DocumentEncoder,
    DroppingLineEncoder,
    LineEncoder,
    encoded_chunks,
    helpful_processes,
    idle_cores,
)
from seqlab.data.tokenizers import TokenizerSettings, make_tokenizer

TEXTS = [f"line {number} of {'many ' * (number % 7)}words\nand {number % 11}" for number in range(2000)]
WORDS = make_tokenizer((line for text in TEXTS for line in text.split("\n")), TokenizerSettings("word", 900))
BPE = make_tokenizer(TEXTS, TokenizerSettings("bpe", 60))


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(encoding, "CHUNK", 5000)


def flat(chunks) -> tuple[list[int], list[int]]:
    tokens, lengths = zip(*chunks, strict=True)
    assert all(part.dtype == np.int32 for part in tokens)
    return np.concatenate(tokens).tolist(), np.concatenate(lengths).tolist()


@pytest.mark.parametrize(
    "encoder", [LineEncoder(WORDS), DocumentEncoder(WORDS), DroppingLineEncoder(BPE, 0.2, 1, 2, 1)]
)
def test_several_processes_give_the_tokens_of_one(encoder):
    expected = [token for first, text in enumerate(TEXTS) for tokens in encoder(first, [text]) for token in tokens]
    one = flat(encoded_chunks(TEXTS, encoder, 0))
    assert one == flat(encoded_chunks(iter(TEXTS), encoder, 3))
    assert one[0] == expected and sum(one[1]) == len(expected) and len(one[1]) == len(TEXTS)


def test_texts_are_read_as_they_are_needed():
    """A few chunks ahead, whatever the length of the corpus."""
    read = []

    def texts():
        for number, text in enumerate(TEXTS * 3):
            read.append(number)
            yield text

    for processes in (0, 1, 2):
        read.clear()
        chunks = encoded_chunks(texts(), LineEncoder(WORDS), processes)
        next(chunks)
        assert len(read) < 600
        chunks.close()


def test_a_process_that_is_lost_is_done_without(messages):
    """And told of once."""
    chunks = encoded_chunks(TEXTS, LineEncoder(WORDS), 2)
    found = [next(chunks)]
    children = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(os.getpid())], capture_output=True, text=True
    ).stdout
    pids = [int(line.split()[0]) for line in children.splitlines() if "encoding" in line]
    assert len(pids) == 2
    os.kill(pids[0], signal.SIGKILL)
    assert flat([*found, *chunks]) == flat(encoded_chunks(TEXTS, LineEncoder(WORDS), 0))
    lost = "data: a process that encoded text was lost (it ended with code -9); its part is done without it"
    assert messages == [lost]


@pytest.mark.parametrize("most", [0, 1])
def test_processes_that_cannot_be_started_are_done_without(monkeypatch, messages, most):
    """What the system said is told."""
    started, start = [], subprocess.Popen

    def refuse(*arguments, **options):
        if len(started) == most:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        started.append(start(*arguments, **options))
        return started[-1]

    expected = flat(encoded_chunks(TEXTS, LineEncoder(WORDS), 0))
    monkeypatch.setattr(subprocess, "Popen", refuse)
    assert flat(encoded_chunks(TEXTS, LineEncoder(WORDS), 3)) == expected
    (message,) = messages
    assert message == (
        f"data: {most} of 3 processes that encode could be started: [Errno 11] Resource temporarily unavailable"
    )
    assert len(started) == most and all(process.poll() is not None for process in started)


PARENT = """
import os, sys, time
from seqlab.data.encoding import LineEncoder, encoded_chunks
from seqlab.data.tokenizers import Tokenizer, TokenizerSettings, make_tokenizer
lines = ["a line of words", "another one"] * 100_000
chunks = encoded_chunks(lines, LineEncoder(make_tokenizer(lines[:9], TokenizerSettings("word", 50))), 2)
next(chunks)
print("ready", flush=True)
time.sleep(60)
"""


def test_processes_end_with_the_one_that_started_them():
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout.readline() == "ready\n"
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(parent.pid)], capture_output=True, text=True).stdout
    pids = [int(pid) for pid in found.split()]
    assert len(pids) == 2
    parent.kill()
    parent.communicate()
    for _ in range(200):
        running = [pid for pid in pids if os.path.exists(f"/proc/{pid}") and "Z" not in state(pid)]
        if not running:
            return
        time.sleep(0.05)
    pytest.fail(f"{running} still run")


def state(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"


def test_small_text_is_worth_no_process(monkeypatch):
    monkeypatch.setattr(encoding, "idle_cores", lambda devices: {None: 6, 2: 3, 6: 1}[devices])
    size = encoding.PROCESSES_FROM
    assert [helpful_processes(size - 1), helpful_processes(size), helpful_processes(size, 2)] == [0, 6, 3]
    assert helpful_processes(size, 6) == 0, "the only core is taken"


def test_cores_are_shared_with_other_ranks(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)), raising=False)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert idle_cores() == 12
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert idle_cores() == 3
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "40")
    assert idle_cores() == 1
