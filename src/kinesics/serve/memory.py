"""How the service's memory is allocated."""

from __future__ import annotations

import ctypes
import os
import platform

_M_ARENA_MAX = -8  # glibc's malloc.h


def limit_arenas(count: int = 2) -> bool:
    """Let this process's allocator open few arenas, so that a service's memory stands still.

    glibc opens up to 8 arenas a core, one for each new thread that allocates, and what is freed in one is not used by
    another: tensors and pictures that pass from thread to thread leave holes in all of them, and resident memory creeps
    up over thousands of requests. `MALLOC_ARENA_MAX` or `GLIBC_TUNABLES` in the environment go before this. Arenas that
    are open stay, so it is to be called before threads start.

    Args:
        count: arenas it may open, the first one among them; at least 1.

    Returns:
        Whether it was set: False where the C library is another, or the environment says how many.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1; got {count}")
    if platform.libc_ver()[0] != "glibc":
        return False
    if "MALLOC_ARENA_MAX" in os.environ or "malloc.arena_max" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    return bool(ctypes.CDLL(None).mallopt(_M_ARENA_MAX, count))
