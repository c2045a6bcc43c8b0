"""Runs each line that it reads in one namespace, and answers "done"."""

import ctypes
import json
import sys

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = libc.malloc_usable_size.argtypes = [ctypes.c_void_p]


def forget(count):
    """Lose blocks that only C knows of."""
    for _ in range(count):
        block = libc.malloc(4331)
        # What was there before might refer to others, and nobody has asked for the last bytes.
        ctypes.memset(block, 1, libc.malloc_usable_size(block))


def borrow(count):
    """Make such blocks and free them."""
    for _ in range(count):
        libc.free(libc.malloc(4331))


def work(count):
    """Do what programs in Python do all day."""
    for number in range(count):
        order = {"number": number, "lines": [{"text": "x" * 700, "n": n} for n in range(20)]}
        assert json.loads(json.dumps(order)) == order


print("ready", flush=True)
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
