"""The cache: one process at a time makes what belongs in a place, and none waits for ever."""

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from seqlab.data.cache import REMNANT_SECONDS, cache_folder, making

HOLDER = """
import sys
from pathlib import Path
from seqlab.data.cache import making
with making(Path(sys.argv[1]), "it"):
    print("making", flush=True)
    sys.stdin.readline()
    Path(sys.argv[1]).write_text("made")
"""


@pytest.fixture
def place(tmp_path) -> Path:
    return tmp_path / "place"


def holder(place: Path) -> subprocess.Popen:
    """A process that is making what belongs in a place, and goes on when it is told to."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(place)], **pipes)
    assert process.stdout.readline() == "making\n"
    return process


def wait_for(condition) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def waiting(place: Path) -> tuple[threading.Thread, list[str]]:
    """A thread that waits for a place, and what it found there then."""
    found: list[str] = []

    def run():
        with making(place, "the tokens of the text"):
            found.append(place.read_text() if place.exists() else "nothing")

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, found


def test_others_wait_and_say_what_for(place, messages):
    process = holder(place)
    thread, found = waiting(place)
    wait_for(lambda: messages)
    assert messages == [f"data: waiting for the tokens of the text, which process {process.pid} is making"]
    assert not found and thread.is_alive()
    process.communicate("\n")
    thread.join(30)
    assert found == ["made"] and len(messages) == 1
    assert [path.name for path in place.parent.iterdir()] == ["place"], "no lock is left"


def test_a_killed_process_holds_nobody_up(place, messages):
    process = holder(place)
    threads = [waiting(place) for _ in range(3)]
    wait_for(lambda: len(messages) == 3)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    for thread, found in threads:
        thread.join(30)
        assert found == ["nothing"]
    assert not list(place.parent.iterdir())


def test_one_at_a_time(place):
    """Also where the lock is removed between two who wait for it."""
    inside, most = [], []

    def run():
        for _ in range(40):
            with making(place, "it"):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.0005)
                inside.pop()

    threads = [threading.Thread(target=run) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(most) == 200 and set(most) == {1}
    assert not list(place.parent.iterdir())


def test_it_is_let_go_of_after_an_error(place):
    for _ in range(2):
        with pytest.raises(ValueError, match=r"^bad$"), making(place, "it"):
            raise ValueError("bad")
    assert not list(place.parent.iterdir())


@pytest.mark.parametrize("hindrance", ["folder", "lock", "locks"])
def test_nobody_waits_where_there_is_no_lock_to_be_had(tmp_path, place, messages, monkeypatch, hindrance):
    """In a folder that is not there or cannot be written, and on file systems without locks."""
    if hindrance == "folder":
        place = tmp_path / "nowhere" / "place"
    elif hindrance == "lock":
        (tmp_path / ".place.lock").mkdir()
    else:

        def refuse(*_):
            raise OSError(95, "Operation not supported")

        monkeypatch.setattr("fcntl.flock", refuse)
    with making(place, "it"), making(place, "it"):
        pass
    assert not messages


def test_a_folder_that_can_only_be_read_is_read(tmp_path, monkeypatch, messages):
    monkeypatch.setenv("SEQLAB_CACHE", str(tmp_path))
    folder = cache_folder("text")
    old = folder / ".unfinished"
    old.touch()
    os.utime(old, (0, time.time() - 2 * REMNANT_SECONDS))

    def refuse(self, **_):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)  # as root, a test may always write
        assert cache_folder("text") == folder and not messages
    assert cache_folder("text") == folder and not list(folder.iterdir())


def test_locks_of_several_users(place):
    """The lock is as open to others as their umask lets any file be."""
    before = os.umask(0)
    try:
        with making(place, "it"):
            (lock,) = place.parent.iterdir()
            assert stat.S_IMODE(lock.stat().st_mode) == 0o666
            assert lock.read_text() == str(os.getpid())
    finally:
        os.umask(before)
