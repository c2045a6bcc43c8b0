"""What stands in the registers of a process's threads: each is halted for some microseconds.

By PTRACE_SEIZE, without a signal that anybody could see. Whatever becomes of us, the kernel lets a
thread run on that was halted so: nothing is written into the process. A system call in which a
thread waits may return EINTR, as at any attach. Sources: ptrace(2); `struct user_regs_struct` in
sys/user.h of x86-64.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import struct
import time

from gdbleak.target.proc import list_threads

_GET_REGISTERS, _DETACH, _SEIZE, _INTERRUPT = 12, 17, 0x4206, 0x4207
_EVENT_STOP = 128
_WALL = 0x40000000
_PR_SET_PDEATHSIG = 1
_GENERAL = struct.Struct("<15Q32xQ")
"""Those of general purpose, from r15 to rdi, and rsp."""
_AREA_BYTES = 512
"""More than the whole struct has."""
_NEXT_S = 0.005
"""When the next thread is halted too, if one does not halt: it waits for a processor or a disk."""
_POLL_S = 0.0001


def read_registers(pid: int, limit_s: float = 2.0) -> dict[int, list[int]]:
    """Return what stands in the general registers of threads, by their ids, in no order.

    Those are left out that somebody else traces, or that do not halt in time. A process of its own
    does it, and ends at once: a thread that halts later is let go by the kernel, whatever we do.

    Args:
        pid: The process.
        limit_s: How long all of it may take.

    """
    told, tell = os.pipe2(os.O_CLOEXEC)
    reader = os.fork()
    if not reader:
        try:
            _die_with_parent()
            with os.fdopen(tell, "w") as file:
                json.dump([*_read_all(pid, limit_s).items()], file)
        finally:
            os._exit(0)
    os.close(tell)
    with os.fdopen(told) as file:
        text = file.read()
    os.waitpid(reader, 0)
    return dict(json.loads(text)) if text else {}


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _read_all(pid: int, limit_s: float) -> dict[int, list[int]]:
    deadline_s = time.monotonic() + limit_s
    found: dict[int, list[int]] = {}
    halting: set[int] = set()
    for thread in list_threads(pid):
        if time.monotonic() > deadline_s:
            break
        if _ptrace(_SEIZE, thread) and _ptrace(_INTERRUPT, thread):
            halting.add(thread)
            _await_halts(halting, found, min(time.monotonic() + _NEXT_S, deadline_s))
    _await_halts(halting, found, deadline_s)
    return found


def _await_halts(halting: set[int], found: dict[int, list[int]], deadline_s: float) -> None:
    """Read the registers of threads that halt, and let each run on at once."""
    while halting:
        for thread in [*halting]:
            try:
                done, status = os.waitpid(thread, os.WNOHANG | _WALL)
            except ChildProcessError:  # it has ended
                done, status = thread, 0
            if not done:
                continue
            halting.discard(thread)
            if os.WIFSTOPPED(status):
                found[thread] = _read(thread)
                # Another signal may have come first: it gets that now.
                passed = 0 if status >> 16 == _EVENT_STOP else os.WSTOPSIG(status)
                _ptrace(_DETACH, thread, passed)
        if time.monotonic() > deadline_s:
            return
        if halting:
            time.sleep(_POLL_S)


def _read(thread: int) -> list[int]:
    area = ctypes.create_string_buffer(_AREA_BYTES)
    done = _ptrace(_GET_REGISTERS, thread, ctypes.addressof(area))
    return [*_GENERAL.unpack_from(area)] if done else []


def _ptrace(request: int, thread: int, data: int = 0) -> bool:
    call = ctypes.CDLL(None, use_errno=True).ptrace
    call.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    call.restype = ctypes.c_long
    return bool(call(request, thread, None, data) == 0)
