"""The stand-in: a process of ours, to which a GDB does first what it will do to the target.

    python -I -S stand_in.py

It says in a line of JSON where two of its functions are, then obeys the lines that it reads:

    call N      call the first function N times; say in which thread, and how often it was right
    allocate N  allocate N blocks, write to them, and free them; say how many held what was written
    fork        start a child that calls it once; say with which status the child ended

One thread obeys, the others wait, as the threads of a server do. It ends with its input, and with
the process that has started it.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import threading

WAITING = 3
"""How many threads wait."""
_PR_SET_PDEATHSIG, _PR_SET_PTRACER = 1, 0x59616D61  # prctl(2)

_libc = ctypes.CDLL(None)
_labs = _libc.labs
_labs.argtypes, _labs.restype = [ctypes.c_long], ctypes.c_long
_libc.malloc.argtypes, _libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
_libc.free.argtypes, _libc.free.restype = [ctypes.c_void_p], None


def obey(line: str) -> dict[str, int]:
    """Carry out a command and return what there is to say."""
    command, *rest = line.split()
    if command == "call":
        count = int(rest[0])
        right = sum(_labs(-number) == number for number in range(1, count + 1))
        return {"thread": threading.get_native_id(), "right": right}
    if command == "allocate":
        return {"right": sum(map(keeps, range(1, int(rest[0]) + 1)))}
    child = os.fork()
    if not child:
        os._exit(0 if _labs(-1) == 1 else 1)
    return {"status": os.waitpid(child, 0)[1]}


def keeps(size: int) -> bool:
    """Allocate a block of so many bytes, and free it; return whether it held what was written."""
    block = _libc.malloc(size)
    ctypes.memset(block, size & 0xFF, size)
    kept = ctypes.string_at(block, size) == bytes([size & 0xFF]) * size
    _libc.free(block)
    return kept


def say(values: dict[str, int]) -> None:
    """Say something in a line of JSON."""
    os.write(1, json.dumps(values).encode() + b"\n")


def find(name: str) -> int:
    """Return the address of a function of the C library."""
    return ctypes.cast(getattr(_libc, name), ctypes.c_void_p).value or 0


def work() -> None:
    """Obey, until there is nothing more to read."""
    try:
        for line in sys.stdin:
            say(obey(line))
    finally:
        os._exit(0)


def main() -> None:
    """Wait in some threads, and obey in one."""
    parent = os.getppid()
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _libc.prctl(_PR_SET_PTRACER, ctypes.c_ulong(-1))  # for the kernel's Yama; others ignore it
    # A bad GDB may let it die, which must leave no core file.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if os.getppid() != parent:
        return
    waiting, _ = os.pipe()
    for _ in range(WAITING):
        threading.Thread(target=os.read, args=(waiting, 1), daemon=True).start()
    worker = threading.Thread(target=work)
    worker.start()
    say({"called": find("labs"), "rare": find("ldiv"), "threads": threading.active_count()})
    worker.join()


if __name__ == "__main__":
    main()
