"""The next epoch, drawn while the present one trains: the same as if drawn in its turn, and nothing is left running."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from types import SimpleNamespace

import pytest

from seqlab.data import encoding, parallel_text
from seqlab.data.ahead import Ahead, Cancelled, Until
from seqlab.data.parallel_text import ParallelText
from seqlab.data.tokenizers import TokenizerSettings

BPE = TokenizerSettings("bpe", 60, dropout=0.3)


def test_what_was_begun_is_taken_once():
    ahead: Ahead[str] = Ahead()
    assert ahead.take(0) is None
    ahead.begin(3, lambda stop: "three")
    assert ahead.take(3) == "three" and ahead.take(3) is None
    ahead.begin(3, lambda stop: "three")
    assert ahead.take(2) is None and ahead.take(3) is None
    ahead.begin(4, lambda stop: "four")
    ahead.begin(5, lambda stop: "five")
    assert ahead.take(5) == "five"


def test_what_failed_is_not_there():
    ahead: Ahead[float] = Ahead()
    ahead.begin(1, lambda stop: 1 / 0)
    assert ahead.take(1) is None


def test_what_is_not_needed_is_given_up():
    ahead: Ahead[list[str]] = Ahead()
    begun, read = threading.Event(), []

    def texts():
        while True:
            read.append("text")
            begun.set()
            time.sleep(0.001)
            yield "text"

    ahead.begin(1, lambda stop: list(Until(stop, texts())))
    assert begun.wait(30)
    ahead.close()
    count = len(read)
    time.sleep(0.02)
    assert len(read) == count and ahead.take(1) is None
    ahead.close()
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        list(Until(stop, ["a"]))


# ------------------------------------------------------------------------------------------------ epochs of BPE-dropout


@pytest.fixture
def data(corpus, sentences, text_module, monkeypatch):
    """Makes data modules that a trainer of so many epochs has, or none; no corpus is too small."""
    monkeypatch.setattr(parallel_text, "AHEAD_FROM", 1)
    monkeypatch.setattr(encoding, "CHUNK", 500)
    lines = sentences(90)
    lines[7], lines[8] = "", " ".join(lines[:9])
    train, val = corpus("train", lines), corpus("val", ["red"])

    def make(most: int | None = None, **options) -> ParallelText:
        module = text_module(train, val=val, **{"tokenizer": BPE, **options})
        if most is not None:
            module.trainer = SimpleNamespace(
                max_epochs=most, num_devices=1, global_rank=0, world_size=1, accumulate_grad_batches=1
            )
        return module

    return make


def drawn(module: ParallelText, epoch: int) -> list[list[int]]:
    """Batches of an epoch: the numbers of their pairs, and what they have of each side, flat."""
    return [
        [*batch.index_B.tolist(), *batch.source_SB.flatten().tolist(), *batch.target_TB.flatten().tolist()]
        for batch in module._plan(epoch)
    ]


def children(parent: int) -> set[int]:
    """The processes that encode for one."""
    found = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(parent)], capture_output=True, text=True
    ).stdout
    return {int(line.split()[0]) for line in found.splitlines() if "encoding" in line}


def test_epochs_are_the_same_as_in_their_turn(data, monkeypatch):
    """Drawn by another process; also after a resume, and where another epoch is asked for than the next."""
    plain = data()
    expected = [drawn(plain, epoch) for epoch in range(4)]
    assert expected[0] != expected[1] != expected[2]
    module, here, encode = data(most=4), [], encoding._encode
    module.prepare()
    monkeypatch.setattr(encoding, "_encode", lambda *arguments: here.append(1) or encode(*arguments))
    assert drawn(module, 0) == expected[0] and here
    module._ahead._thread.join(60)
    here.clear()
    assert drawn(module, 1) == expected[1] and not here, "another process has drawn it"
    assert drawn(module, 3) == expected[3] and here
    assert module._ahead._thread is None, "there is no epoch after the last"
    resumed = data(most=-1)
    assert [drawn(resumed, 2), drawn(resumed, 3)] == expected[2:]
    resumed.teardown("fit")
    assert not children(os.getpid())


def test_a_small_corpus_is_drawn_in_its_turn(data, monkeypatch):
    module = data(most=5)
    size = module._examples("train").bytes
    for smallest, begun in ((size + 1, False), (size, True)):
        monkeypatch.setattr(parallel_text, "AHEAD_FROM", smallest)
        module._plan(0)
        assert (module._ahead._thread is not None) == begun
    module.teardown("fit")
    assert module._ahead._thread is None


@pytest.mark.parametrize("most", [None, 1])
def test_nothing_is_drawn_for_nobody(data, most):
    """Without a trainer, or a next epoch; nor without dropout."""
    for module in (data(most), data(5, tokenizer=TokenizerSettings("bpe", 60))):
        module._plan(0)
        assert module._ahead._thread is None


def test_several_processes_draw_a_large_corpus_alone(data, monkeypatch):
    """Where there are workers; a small one is drawn ahead by one."""
    asked = []
    with_dropout = parallel_text.EncodedPairs.with_dropout

    def noting(self, *arguments, processes=0, **options):
        asked.append(processes)
        return with_dropout(self, *arguments, processes=0, **options)

    monkeypatch.setattr(parallel_text.EncodedPairs, "with_dropout", noting)
    monkeypatch.setattr(encoding, "idle_cores", lambda devices=None: 3)
    for workers, smallest, expected in ((2, 1, [3, 3]), (0, 1, [0, 1]), (2, 1 << 30, [0, 1])):
        module = data(9, workers=workers)
        module.prepare()
        monkeypatch.setattr(encoding, "PROCESSES_FROM", smallest)
        module._plan(0)
        module.teardown("fit")
        assert asked == expected, (workers, smallest)
        asked.clear()


def test_an_error_ends_it(data):
    module = data(most=9)
    module._plan(0)
    assert module._ahead._thread is not None
    module.on_exception(KeyboardInterrupt())
    assert module._ahead._thread is None and not children(os.getpid())


def test_pairs_that_are_left_out_are_not_drawn(data, monkeypatch):
    """One of them may be very long."""
    module, seen, encode = data(max_length=40), [], encoding._encode
    module.prepare()
    monkeypatch.setattr(
        encoding, "_encode", lambda encoder, first, texts: seen.extend(texts) or encode(encoder, first, texts)
    )
    module._plan(0)
    assert len(seen) == 2 * 90 and 2 * 80 < sum(map(bool, seen)) <= 2 * 88
    assert max(map(len, seen)) < 20


PARENT = """
import sys, time
from types import SimpleNamespace
from seqlab.data import parallel_text
from seqlab.data.parallel_text import ParallelText
from seqlab.data.tokenizers import TokenizerSettings
parallel_text.AHEAD_FROM = 1
data = ParallelText(train=sys.argv[1], tokenizer=TokenizerSettings("bpe", 36, dropout=0.3), batch_tokens=4000)
data.trainer = SimpleNamespace(max_epochs=9, num_devices=1, global_rank=0, world_size=1, accumulate_grad_batches=1)
data.prepare()
data._plan(0)
print("ready", flush=True)
if len(sys.argv) < 3:
    time.sleep(60)
"""


@pytest.mark.parametrize("end", [signal.SIGINT, None])
def test_nothing_is_left_running(tmp_path, end):
    """However a process ends while it draws ahead; and an end of its own is not held up."""
    for side in ("en", "de"):
        lines = (f"{side} line {number % 997} of {number}\n" for number in range(3000))
        (tmp_path / f"a.{side}").write_text("".join(lines))
    arguments = [str(tmp_path / "a"), *(["end"] if end is None else [])]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", PARENT, *arguments], process_group=0, **pipes) as parent:
        try:
            assert parent.stdout.readline() == "ready\n"
            if end is not None:
                while not children(parent.pid):
                    assert parent.poll() is None
                    time.sleep(0.01)
                os.killpg(parent.pid, end)  # as a terminal does at Ctrl-C
            _, told = parent.communicate(timeout=100)  # until the last of them has ended, and so closed its stderr
        except BaseException:  # a failure leaves neither processes nor open files to other tests
            with suppress(ProcessLookupError):
                os.killpg(parent.pid, signal.SIGKILL)
            raise
    assert parent.returncode == (0 if end is None else 1), told
    assert told.count("Traceback") == (end == signal.SIGINT), told
