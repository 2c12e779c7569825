"""Several processes side by side, which end when this one is told to."""

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PAUSE = 0.2
BEGUN = "--- "
"""Begins the first line of what a process says in a log."""


@dataclass
class Job:
    """A process to be.

    Args:
        name: What it does.
        command: Its program and arguments, made when it starts.
        log: Where all that it says goes, after what is there.
        ended: Called with its exit code.
        started: Called when it starts.
        holder: Who does the same already, in another process; the job waits until they end.
        needed: Whether it is still to be done, when its turn comes.
    """

    name: str
    command: Callable[[], Sequence[str]]
    log: Path
    ended: Callable[[int], None]
    started: Callable[[], None] = lambda: None
    holder: Callable[[], str | None] = lambda: None
    needed: Callable[[], bool] = lambda: True


class Pool:
    """Runs jobs, so many at a time. To be used as a context, within which signals are passed on to their processes.

    The first signal asks all processes to end, as SIGTERM asks a fit to save its step; the second kills them.

    Args:
        workers: Processes at a time.
        poll: Called several times a second meanwhile.
        waiting: Called once with a job and the process that it waits for.
    """

    def __init__(
        self, workers: int, poll: Callable[[], None] = lambda: None, waiting: Callable[[Job, str], None] | None = None
    ):
        self.workers, self.poll, self.waiting = workers, poll, waiting or (lambda job, holder: None)
        self.stopped_by = 0
        """The signal that ended the work; 0 if none did."""
        self._running: dict[subprocess.Popen, Job] = {}
        self._handlers: dict[int, object] = {}
        self._told: set[str] = set()

    def __enter__(self) -> "Pool":
        for number in SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                self._handlers[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._running:
            process.kill()
        for process in self._running:
            process.wait()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def run(self, jobs: Sequence[Job]) -> None:
        """Runs all jobs, or as many as were begun before a signal came."""
        queue = list(jobs)
        while self._running or (queue and not self.stopped_by):
            self._start(queue)
            for process in [process for process in self._running if process.poll() is not None]:
                job = self._running.pop(process)
                job.ended(process.returncode)
            self.poll()
            time.sleep(PAUSE)

    def _start(self, queue: list[Job]) -> None:
        for job in [*queue]:
            if self.stopped_by or len(self._running) >= self.workers:
                return
            if (holder := job.holder()) is not None:
                if job.name not in self._told:
                    self._told.add(job.name)
                    self.waiting(job, holder)
                continue
            queue.remove(job)
            if not job.needed():
                continue
            job.log.parent.mkdir(parents=True, exist_ok=True)
            command = list(job.command())
            with job.log.open("ab") as log:
                log.write(f"{BEGUN}{shlex.join(command)}\n".encode())
                log.flush()
                # A session of its own: Ctrl-C then comes to this process alone, which passes it on once.
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **threads(self.workers, os.environ)},
                    start_new_session=True,
                )
            self._running[process] = job
            job.started()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        for process in [*self._running]:
            if process.poll() is None:
                process.kill() if self.stopped_by else process.terminate()
        self.stopped_by = self.stopped_by or number


def threads(workers: int, environment: Mapping[str, str]) -> dict[str, str]:
    """What lets several processes share the cores of this machine, unless the environment says otherwise."""
    if workers == 1 or "OMP_NUM_THREADS" in environment:
        return {}
    return {"OMP_NUM_THREADS": str(max(1, cores() // workers))}


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
