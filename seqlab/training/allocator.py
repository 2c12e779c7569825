"""What a fit does with memory: what a step frees is kept for the next one, and few shapes are remembered."""

import ctypes
import os
import platform

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # of glibc's malloc.h


def keep_freed_memory() -> bool:
    """Tells glibc's allocator to keep what is freed instead of returning it to the system.

    Every step of a fit allocates and frees tensors of tens of megabytes, such as logits. By default each of them is
    mapped anew, and the kernel fills it with zeros page by page: a fifth of the time of a translation model on a CPU.
    Kept memory makes training up to a third faster; the price is that the process stays at its peak until it ends.

    Returns:
        Whether there is a glibc to tell.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(mallopt(*option) for option in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 2**26)))


def remember_few_shapes() -> None:
    """Tells oneDNN, which multiplies in bfloat16 on a CPU, to keep what it prepared for the last 16 shapes only.

    By default it keeps that for 1,024 of them, some megabytes each: as every batch of text has a shape of its own, a
    process grows by gigabytes, and is no faster for it. To be called before torch is imported; a setting of the
    environment stays.
    """
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(name, "16")
