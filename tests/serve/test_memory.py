"""How many arenas the allocator of the service may open."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from kinesics.serve.memory import limit_arenas

# opens an arena a thread, as far as it may, and counts them as the C library itself reports them
_COUNT = """
import ctypes, re, sys, tempfile, threading
from kinesics.serve.memory import limit_arenas
print(limit_arenas(int(sys.argv[1])) if sys.argv[1] != "0" else None)
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.fopen.restype, libc.fclose.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
together = threading.Barrier(12)
def work():
    together.wait()
    libc.malloc(1000)
    together.wait()
threads = [threading.Thread(target=work) for _ in range(12)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
with tempfile.NamedTemporaryFile() as file:
    stream = libc.fopen(file.name.encode(), b"w")
    libc.malloc_info(0, stream)
    libc.fclose(stream)
    print(len(re.findall("<heap nr=", open(file.name).read())))
"""


def arenas(limit: int, **environment: str) -> list[str]:
    """What `limit_arenas` said, and how many arenas twelve threads opened; limit 0: not called."""
    command = [sys.executable, "-c", _COUNT, str(limit)]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.split()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator has arenas to limit")
def test_threads_share_the_arenas() -> None:
    assert int(arenas(0)[1]) >= 8
    assert arenas(2) == ["True", "2"]
    assert arenas(3) == ["True", "3"]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator has arenas to limit")
def test_the_environment_goes_before_it() -> None:
    assert arenas(2, MALLOC_ARENA_MAX="5") == ["False", "5"]
    assert arenas(2, GLIBC_TUNABLES="glibc.malloc.arena_max=4") == ["False", "4"]


def test_another_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert limit_arenas() is False
    with pytest.raises(ValueError, match="at least 1"):
        limit_arenas(0)
