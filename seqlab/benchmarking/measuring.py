"""Times and memory of contestants.

The speed of a machine drifts, so two times compare only if they were taken side by side. In every round each contestant
runs once, in an order that is drawn anew, and a ratio is that of two times of one round.
"""

import gc
import json
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch.profiler import ProfilerActivity, profile
from tqdm import tqdm

from seqlab.benchmarking.contestants import SEED, Contestant, synchronise


@contextmanager
def conditions(threads: int | None, dtype: str) -> Iterator[None]:
    """Sets torch's threads and the arithmetic of its float32 products, and puts back what was there.

    torch's own default is TF32 in cuDNN and float32 in all other products, which would favour its kernels.
    """
    before = torch.get_num_threads(), torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    try:
        if threads is not None:
            torch.set_num_threads(threads)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = dtype == "tf32"
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before[1:]


def measure(contestants: Sequence[Contestant], works: Sequence[str], rounds: int, title: str) -> None:
    """Times every contestant in every round, then takes their memory, and notes both with the contestants.

    Args:
        contestants: Who runs; they are warm.
        works: What each of them does, one after the other.
        rounds: How often.
        title: Of the progress bar.
    """
    turns = [(contestant, work) for contestant in contestants for work in works]
    order = random.Random(SEED)
    gc.collect()
    gc.freeze()  # or each collection below would look through every object of torch again
    try:
        with tqdm(total=(rounds + 1) * len(turns), desc=title, leave=False, disable=None) as bar:
            for _ in range(rounds):
                order.shuffle(turns)
                gc.collect()
                for contestant, work in turns:
                    contestant.seconds.setdefault(work, []).append(_time(contestant, work))
                    bar.update()
            for contestant, work in turns:  # last, because a profiler must not run beside a clock
                step = partial(contestant.step, work)
                contestant.memory[work] = contestant.held + peak_memory(step, contestant.x_TBI.device)
                contestant.clear()
                bar.update()
    finally:
        gc.unfreeze()


def _time(contestant: Contestant, work: str) -> float:
    """Seconds that the work takes once; the garbage collector is off meanwhile."""
    device, collects = contestant.x_TBI.device, gc.isenabled()
    gc.disable()
    try:
        synchronise(device)
        start = time.perf_counter()
        contestant.step(work)
        synchronise(device)
        return time.perf_counter() - start
    finally:
        if collects:
            gc.enable()
        contestant.clear()


def peak_memory(step: Callable[[], None], device: torch.device) -> int:
    """The most bytes that tensors take during a step, beyond what they took before it.

    On a GPU it is what torch's allocator counts. On a CPU it is the highest sum of what torch's profiler sees allocated
    and freed. Both count gradients, saved and temporary tensors, those of torch's own kernels too; neither counts what
    a library such as oneDNN, MKL or cuDNN allocates for itself. What freed memory the process keeps plays no part.
    """
    gc.collect()
    if device.type == "cuda":
        synchronise(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        step()
        synchronise(device)
        return torch.cuda.max_memory_allocated(device) - before
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # or it writes two lines to stderr for every profile
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    with TemporaryDirectory() as folder:
        trace = Path(folder, "trace.json")
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    memory = sorted((event for event in events if event["name"] == "[memory]"), key=lambda event: event["ts"])
    taken = highest = 0
    for event in memory:
        taken += event["args"]["Bytes"]
        highest = max(highest, taken)
    return highest
