"""How a process of ours has its memory allocated: glibc's malloc, told what its guesses get wrong.

For programs, not for the library: nothing here is called on import, as the allocator belongs to the whole process. The
command line calls it. On other C libraries nothing happens; what the environment says goes before it.
"""

from __future__ import annotations

import ctypes
import os
import platform

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
_LARGEST = 2**31 - 1  # mallopt takes a C int


def keep_memory(largest: int = 2**30) -> bool:
    """Let this process keep the memory that it has freed, for its next tensors.

    Left to itself, glibc maps every block above 32 MiB anew and gives it back when its tensor is freed, and
    cuts off the end of its heap: every layer's output is then written into pages that the kernel has to find and clear
    first, 6 to 16 % of the time of forward passes and training steps (benchmarks/allocator.py). The peak of resident
    memory stays about as it is; afterwards up to 2 GiB of it are kept.

    Args:
        largest: bytes; blocks from this size on are mapped and given back as ever. 1 to 2^31 - 1.

    Returns:
        Whether it was set: False where the C library is another, or the environment sets one of these thresholds.
    """
    if not 1 <= largest <= _LARGEST:
        raise ValueError(f"largest must be 1 to {_LARGEST} bytes; got {largest}")
    if not _ours("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_TOP_PAD_"):
        return False
    set_option = ctypes.CDLL(None).mallopt
    # older releases refuse a threshold above 32 MiB
    mapped = set_option(_M_MMAP_THRESHOLD, largest) or set_option(_M_MMAP_THRESHOLD, 2**25)
    return bool(mapped and set_option(_M_TRIM_THRESHOLD, _LARGEST))


def limit_arenas(count: int = 2) -> bool:
    """Let this process's allocator open few arenas, so that a service's memory stands still.

    glibc opens up to 8 arenas a core, one for each new thread that allocates, and what is freed in one is not used by
    another: tensors and pictures that pass from thread to thread leave holes in all of them, and resident memory creeps
    up over thousands of requests. Arenas that are open stay, so it is to be called before threads start.

    Args:
        count: arenas it may open, the first one among them; at least 1.

    Returns:
        Whether it was set: False where the C library is another, or the environment says how many.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1; got {count}")
    return _ours("MALLOC_ARENA_MAX") and bool(ctypes.CDLL(None).mallopt(_M_ARENA_MAX, count))


def _ours(*variables: str) -> bool:
    """Whether this is glibc's malloc and the environment is silent on these options of it, in either of its ways."""
    if platform.libc_ver()[0] != "glibc":
        return False
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    options = [name.removeprefix("MALLOC_").rstrip("_").lower() for name in variables]
    return not any(name in os.environ for name in variables) and not any(f"malloc.{o}=" in tunables for o in options)
