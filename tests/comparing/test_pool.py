"""Processes side by side, and how they are ended."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from seqlab.comparing.pool import Job, Pool, cores, threads

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def test_as_many_as_there_are_workers(tmp_path: Path) -> None:
    """Three jobs of two workers: never three at a time, each with its exit code, and all that it said in its log."""
    codes: dict[str, int] = {}
    running: set[str] = set()
    most = 0

    def job(name: str, code: int) -> Job:
        def started() -> None:
            nonlocal most
            running.add(name)
            most = max(most, len(running))

        def ended(code: int) -> None:
            running.remove(name)
            codes[name] = code

        command = ["bash", "-c", f"echo said {name}; echo told {name} >&2; sleep 0.3; exit {code}"]
        return Job(name, lambda: command, tmp_path / "logs" / name, ended, started)

    with Pool(2) as pool:
        pool.run([job("a", 0), job("b", 3), job("c", 0)])
    assert codes == {"a": 0, "b": 3, "c": 0} and most == 2 and pool.stopped_by == 0
    text = (tmp_path / "logs" / "b").read_text()
    assert text.startswith("--- bash -c ") and text.endswith("said b\ntold b\n")


def test_a_log_goes_on(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("before\n")
    with Pool(1) as pool:
        pool.run([Job("x", lambda: ["echo", "after"], tmp_path / "log", lambda code: None)])
    assert (tmp_path / "log").read_text() == "before\n--- echo after\nafter\n"


def test_what_another_process_does_is_waited_for(tmp_path: Path) -> None:
    """The second job goes first; the other one is not needed any more when its turn comes."""
    holders, order, waited = ["7", "7", None], [], []

    def job(name: str, needed: bool, held: bool) -> Job:
        return Job(
            name,
            lambda: ["true"],
            tmp_path / name,
            lambda code: order.append(name),
            holder=lambda: holders.pop(0) if held else None,
            needed=lambda: needed,
        )

    with Pool(1, waiting=lambda job, holder: waited.append((job.name, holder))) as pool:
        pool.run([job("held", False, True), job("free", True, False)])
    assert order == ["free"] and waited == [("held", "7")] and not holders


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_all(tmp_path: Path, number: signal.Signals) -> None:
    codes, began = [], time.monotonic()
    before = signal.signal(number, signal.SIG_DFL)  # where tests run in the background, some are ignored
    jobs = [Job(str(n), lambda: SLEEP, tmp_path / str(n), codes.append) for n in range(3)]
    polls = iter(range(100))

    def poll() -> None:
        if next(polls) == 2:
            os.kill(os.getpid(), number)

    with Pool(2, poll) as pool:
        pool.run(jobs)
    assert codes == [-signal.SIGTERM] * 2, "the third was not begun"
    assert pool.stopped_by == number and time.monotonic() - began < 30
    assert signal.signal(number, before) == signal.SIG_DFL


def test_the_second_signal_kills(tmp_path: Path) -> None:
    stubborn = [
        sys.executable,
        "-c",
        "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)",
    ]
    codes: list[int] = []
    polls = iter(range(1000))
    sent, before = 0, signal.signal(signal.SIGINT, signal.SIG_DFL)

    def poll() -> None:
        nonlocal sent
        if "\n1\n" in (tmp_path / "log").read_text() and next(polls) in (0, 3):
            sent += 1
            os.kill(os.getpid(), signal.SIGINT)

    with Pool(1, poll) as pool:
        pool.run([Job("x", lambda: stubborn, tmp_path / "log", codes.append)])
    signal.signal(signal.SIGINT, before)
    assert codes == [-signal.SIGKILL] and sent == 2


def test_an_error_leaves_no_process(tmp_path: Path) -> None:
    def fail() -> None:
        raise ValueError("here")

    with pytest.raises(ValueError, match="here"), Pool(1, fail) as pool:
        pool.run([Job("x", lambda: ["bash", "-c", f"echo $$ > {tmp_path}/pid; exec sleep 60"], tmp_path / "log", int)])
    pid = (tmp_path / "pid").read_text().strip() if (tmp_path / "pid").exists() else None
    assert pid is None or not Path(f"/proc/{pid}").exists()


def test_cores_are_shared() -> None:
    assert threads(1, {}) == {}
    assert threads(2, {"OMP_NUM_THREADS": "3"}) == {}
    assert threads(2, {}) == {"OMP_NUM_THREADS": str(max(1, cores() // 2))}
    assert threads(1000, {}) == {"OMP_NUM_THREADS": "1"}
