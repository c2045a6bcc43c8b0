"""The system call ptrace(2), for threads that are halted without a signal and let go again.

By PTRACE_SEIZE: whatever becomes of us, the kernel lets a thread run on that was halted so. Nothing
is written into the process. A system call in which a thread waits may return EINTR, as at any
attach. Sources: ptrace(2); `struct user_regs_struct` in sys/user.h of x86-64.
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import NamedTuple

_GET_REGISTERS, _DETACH, _SEIZE, _INTERRUPT = 12, 17, 0x4206, 0x4207
_EVENT_STOP = 128
_WALL = 0x40000000
_GENERAL = struct.Struct("<15Q32xQ")
"""Those of general purpose, from r15 to rdi, and rsp."""
_AREA_BYTES = 512
"""More than the whole struct has."""
_GET_REGISTER_SET, _VECTORS = 0x4204, 0x202
_VECTOR_BYTES = 1 << 14
"""More than all vector registers take with AVX-512. Source: NT_X86_XSTATE in elf.h; the Intel
manual, volume 1, 13.4."""
_HEADER_WORDS = slice(64, 72)
"""Of the area with the vector registers: says which of them it has."""


class Halt(NamedTuple):
    """How a thread has halted."""

    is_halted: bool
    """Else it has ended."""
    signal: int
    """A signal that came first, which it gets when it is let go; 0 for none."""


def halt(thread: int) -> bool:
    """Have a thread halt soon; False where it has ended, or somebody else traces it."""
    return _ptrace(_SEIZE, thread) and _ptrace(_INTERRUPT, thread)


def look(thread: int) -> Halt | None:
    """Return how a thread has halted; None while it has not."""
    try:
        done, status = os.waitpid(thread, os.WNOHANG | _WALL)
    except ChildProcessError:
        return Halt(False, 0)
    if not done:
        return None
    if not os.WIFSTOPPED(status):
        return Halt(False, 0)
    return Halt(True, 0 if status >> 16 == _EVENT_STOP else os.WSTOPSIG(status))


def reap() -> bool:
    """Take note of threads that have ended; return whether there are others that we trace."""
    try:
        while os.waitpid(-1, os.WNOHANG | _WALL)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def let_go(thread: int, how: Halt) -> None:
    """Let a thread run on that has halted."""
    _ptrace(_DETACH, thread, data=how.signal)


class _Area(ctypes.Structure):
    """A struct iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


def read_words(thread: int) -> list[int]:
    """Return the words in the registers of a thread that has halted; nothing on error.

    Those of the general registers come first; then those of vector registers that are not zero: a
    copy of memory in progress may have its pointers there alone.
    """
    area = ctypes.create_string_buffer(_AREA_BYTES)
    if not _ptrace(_GET_REGISTERS, thread, data=ctypes.addressof(area)):
        return []
    return [*_GENERAL.unpack_from(area), *filter(None, _read_vectors(thread))]


def _read_vectors(thread: int) -> list[int]:
    buffer = ctypes.create_string_buffer(_VECTOR_BYTES)
    area = _Area(ctypes.addressof(buffer), _VECTOR_BYTES)
    if not _ptrace(_GET_REGISTER_SET, thread, _VECTORS, ctypes.addressof(area)):
        return []  # a processor without them, or a kernel that does not tell
    words = memoryview(buffer.raw[: area.size & -8]).cast("Q").tolist()
    del words[_HEADER_WORDS]
    return words


def _ptrace(request: int, thread: int, address: int = 0, data: int = 0) -> bool:
    call = ctypes.CDLL(None, use_errno=True).ptrace
    call.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    call.restype = ctypes.c_long
    return bool(call(request, thread, address, data) == 0)
