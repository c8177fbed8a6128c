"""What glibc's malloc is told, by what it does then."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from kinesics.allocator import keep_memory, limit_arenas

on_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator can be told")

# opens an arena a thread, as far as it may, and counts them as the C library itself reports them
_COUNT = """
import ctypes, re, sys, tempfile, threading
from kinesics.allocator import limit_arenas
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


# what `keep_memory` said, and how many pages of new memory eight blocks of 64 MiB took, one freed before the next
_FAULTS = """
import ctypes, resource, sys
from kinesics.allocator import keep_memory
print(keep_memory() if sys.argv[1] == "keep" else None)
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
def block():
    place = libc.malloc(2**26)
    ctypes.memset(place, 1, 2**26)
    libc.free(place)
block()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
[block() for _ in range(8)]
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def output(*command: str, **environment: str) -> list[str]:
    """What a Python of its own, in this environment alone, printed."""
    whole = [sys.executable, "-c", *command]
    return subprocess.run(whole, capture_output=True, text=True, check=True, env=environment).stdout.split()


def arenas(limit: int, **environment: str) -> list[str]:
    """What `limit_arenas` said, and how many arenas twelve threads opened; limit 0: not called."""
    return output(_COUNT, str(limit), **environment)


@on_glibc
def test_what_was_freed_is_used_again() -> None:
    said, faults = output(_FAULTS, "keep")
    assert said == "True" and int(faults) < 64
    assert int(output(_FAULTS, "leave")[1]) >= 8 * 2**26 // 2**21  # at most huge pages of 2 MiB each


@on_glibc
@pytest.mark.parametrize(
    "environment", [{"MALLOC_MMAP_THRESHOLD_": "65536"}, {"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=65536"}]
)
def test_thresholds_of_the_environment_stay(environment: dict[str, str]) -> None:
    said, faults = output(_FAULTS, "keep", **environment)
    assert said == "False" and int(faults) >= 8 * 2**26 // 2**21


@on_glibc
def test_threads_share_the_arenas() -> None:
    assert int(arenas(0)[1]) >= 8
    assert arenas(2) == ["True", "2"]
    assert arenas(3) == ["True", "3"]


@on_glibc
def test_the_environment_goes_before_it() -> None:
    assert arenas(2, MALLOC_ARENA_MAX="5") == ["False", "5"]
    assert arenas(2, GLIBC_TUNABLES="glibc.malloc.arena_max=4") == ["False", "4"]


def test_another_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert limit_arenas() is False
    assert keep_memory() is False
    with pytest.raises(ValueError, match="at least 1"):
        limit_arenas(0)
    with pytest.raises(ValueError, match="1 to 2147483647"):
        keep_memory(2**31)
