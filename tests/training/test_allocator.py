"""Freed memory stays with the process; what is kept for shapes does not grow with their number."""

import os
import platform
import subprocess
import sys

import pytest

COUNT = """
import resource, sys, torch
from seqlab.training.allocator import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def touch():
    for _ in range(20):
        torch.ones(10_000_000)
touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
touch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these options")
def test_pages_are_not_mapped_anew() -> None:
    """Tensors of 40 MB, freed and made again: by default every page faults each time, kept ones do not."""
    faults = {
        how: int(subprocess.run([sys.executable, "-c", COUNT, how], capture_output=True, check=True).stdout)
        for how in ("keep", "default")
    }
    assert faults["keep"] < 0.1 * faults["default"]


GROWTH = """
import resource, sys
from seqlab.training.allocator import remember_few_shapes
if sys.argv[1] == "few":
    remember_few_shapes()
import torch
weight = torch.ones(512, 1536, dtype=torch.bfloat16)
def peak(shapes):
    for rows in shapes:
        torch.ones(rows, 512, dtype=torch.bfloat16) @ weight
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
before = peak(range(1280, 1300))
print(peak(range(1000, 1280)) - before)
"""


def test_batches_of_many_shapes_do_not_pile_up() -> None:
    """Products in bfloat16 of 300 shapes, in megabytes."""
    environment = {name: value for name, value in os.environ.items() if not name.endswith("CACHE_CAPACITY")}
    growth = {
        how: int(
            subprocess.run([sys.executable, "-c", GROWTH, how], env=environment, capture_output=True, check=True).stdout
        )
        for how in ("many", "few")
    }
    if growth["many"] < 100:
        pytest.skip("this processor needs no memory for shapes")
    assert growth["few"] < 0.3 * growth["many"]
