"""harness/process/freed_memory.py: what was freed is the system's again."""

from __future__ import annotations

import subprocess
import sys

import pytest

from harness.data.settings import PROJECT

PROGRAM = """
import ctypes
from harness.process.freed_memory import give_back

libc = ctypes.CDLL(None)
if not hasattr(libc, "malloc_trim"):
    raise SystemExit(77)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]


def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096


blocks = [libc.malloc(65536) for _ in range(2000)]
for block in blocks:
    ctypes.memset(block, 1, 65536)
pin = libc.malloc(65536)  # what lies above the blocks keeps glibc from returning them by itself
for block in blocks:
    libc.free(block)
before = resident()
give_back()
print(before - resident())
"""


def test_a_hundred_megabytes_that_were_freed_go_back() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=PROJECT, capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip("the C library has no malloc_trim")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100e6
