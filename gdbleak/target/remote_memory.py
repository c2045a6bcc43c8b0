"""Reads and writes the memory of a running process, often: without a file, where that is allowed.

process_vm_readv(2) takes a third of the time that /proc/PID/mem does for a few megabytes. Filters
of system calls may forbid it, as those of containers do; the file is then the way.
"""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Callable

from gdbleak.target.proc import Memory

_Call = Callable[..., int]
_FORBIDDEN = (errno.EPERM, errno.ENOSYS)


class _Piece(ctypes.Structure):
    """A struct iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


class RemoteMemory:
    """The memory of a process that may end at any time. A context."""

    def __init__(self, pid: int, file: Memory | None = None) -> None:
        """Begin.

        Args:
            pid: The process.
            file: Its memory, where that is open already; else it is opened if need be.

        """
        self._pid = pid
        self._file = file
        self._owns_file = file is None
        self._calls = _find_calls()
        self._buffer = ctypes.create_string_buffer(0)
        """What was read last: to make a new one each time takes longer than to read."""

    def __enter__(self) -> RemoteMemory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the process."""
        if self._file is not None and self._owns_file:
            self._file.close()
            self._file = None

    def read(self, address: int, size: int) -> bytes:
        """Return up to `size` bytes; fewer where unmapped memory begins, none when it is gone.

        Raises:
            PermissionError: the process may not be looked at.

        """
        if self._calls is not None:
            if len(self._buffer) < size:
                self._buffer = ctypes.create_string_buffer(size)
            count = self._transfer(self._calls[0], address, self._buffer, size)
            if count is not None:
                return bytes(memoryview(self._buffer)[:count])
        try:
            return self._open().read(address, size)
        except (FileNotFoundError, ProcessLookupError):
            return b""

    def write(self, address: int, data: bytes) -> bool:
        """Write bytes into memory that the process itself may write to; False if that failed.

        Raises:
            PermissionError: the process may not be looked at.

        """
        if self._calls is not None:
            buffer = ctypes.create_string_buffer(data, len(data))
            count = self._transfer(self._calls[1], address, buffer, len(data))
            if count is not None:
                return count == len(data)
        try:
            return self._open().write(address, data)
        except (FileNotFoundError, ProcessLookupError):
            return False

    def _transfer(
        self, call: _Call, address: int, data: ctypes.Array[ctypes.c_char], size: int
    ) -> int | None:
        """Return how many bytes were read or written; None if it is forbidden."""
        own = _Piece(ctypes.addressof(data), size)
        other = _Piece(address, size)
        done = call(self._pid, ctypes.byref(own), 1, ctypes.byref(other), 1, 0)
        if done >= 0:
            return int(done)
        if ctypes.get_errno() in _FORBIDDEN:
            self._calls = None
            return None
        # The main thread may have ended, and not the process: what is open already can be read.
        return 0 if self._owns_file else None

    def _open(self) -> Memory:
        if self._file is None:
            self._file = Memory(self._pid, writable=True)
        return self._file


def _find_calls() -> tuple[_Call, _Call] | None:
    """Return what reads and what writes; None where the C library has no such functions."""
    library = ctypes.CDLL(None, use_errno=True)
    try:
        calls = library.process_vm_readv, library.process_vm_writev
    except AttributeError:
        return None
    for call in calls:
        call.restype = ctypes.c_ssize_t
        call.argtypes = (
            *(ctypes.c_int, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_void_p),
            *(ctypes.c_ulong, ctypes.c_ulong),
        )
    read, write = calls
    return read, write
