"""Calls of functions counted by the kernel: no stop, no signal, no change to the code.

An instruction breakpoint in a debug register counts the debug exceptions that it raises. Source:
perf_event_open(2). Whatever happens to gdbleak, the registers are free again when its
descriptors are.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import struct
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REGISTERS = 4
"""How many debug registers a thread has, on x86-64."""

_PARANOID = Path("/proc/sys/kernel/perf_event_paranoid")
_PERF_EVENT_OPEN = 298  # on x86-64
_ATTRIBUTE_BYTES = 112  # PERF_ATTR_SIZE_VER5, since Linux 4.1; shorter ones know the rest as zeros
_TYPE_SOFTWARE, _TYPE_BREAKPOINT = 1, 5
_TASK_CLOCK = 1
_BREAKPOINT_X = 4
_DISABLED, _INHERIT, _EXCLUDE_KERNEL, _EXCLUDE_HYPERVISOR = 1, 1 << 1, 1 << 5, 1 << 6
_INHERIT_THREAD = 1 << 35
_ENABLE, _DISABLE = 0x2400, 0x2401

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Reading:
    """What was counted."""

    calls: tuple[int, ...]
    """The calls of each address, in the order in which they were given."""
    busy_s: float
    """How long the thread, and those it has started since, ran while it was counted."""


class CallCounter:
    """Counts the calls of up to four functions in one thread, and in threads that it starts.

    Raises:
        OSError: the kernel refuses; `explain` says why.

    """

    def __init__(self, thread: int, addresses: Sequence[int]) -> None:
        """Open it, not counting yet. 0 is the thread that calls."""
        assert 0 < len(addresses) <= REGISTERS
        self._alone: int | None = None
        self._total = Reading((0,) * len(addresses), 0)
        self._files: list[int] = []
        try:
            # The others count while the first of them does, which counts the thread's time.
            self._add(thread, _TYPE_SOFTWARE, _TASK_CLOCK, (0, 0, 0), _DISABLED)
            for address in addresses:
                self._add(thread, _TYPE_BREAKPOINT, 0, (_BREAKPOINT_X, address, 8), 0)
        except OSError:
            self.close()
            raise

    def _add(
        self, thread: int, kind: int, config: int, place: tuple[int, int, int], flags: int
    ) -> None:
        leader = self._files[0] if self._files else -1
        flags |= _INHERIT | _EXCLUDE_KERNEL | _EXCLUDE_HYPERVISOR
        try:
            file = _perf_event_open(thread, leader, kind, config, place, flags | _INHERIT_THREAD)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.E2BIG):
                raise
            # Before Linux 5.13: child processes are counted too.
            file = _perf_event_open(thread, leader, kind, config, place, flags)
        self._files.append(file)

    def start(self, alone: int | None = None) -> None:
        """Count from now on: all functions, or the one of that number."""
        if alone != self._alone:
            for number, file in enumerate(self._files[1:]):
                fcntl.ioctl(file, _ENABLE if alone in (None, number) else _DISABLE, 0)
            self._alone = alone
        fcntl.ioctl(self._files[0], _ENABLE, 0)

    def stop(self) -> None:
        """Count no more."""
        fcntl.ioctl(self._files[0], _DISABLE, 0)

    def take(self) -> Reading:
        """Return what was counted since this was called before."""
        time_ns, *calls = (int.from_bytes(os.read(file, 8), sys.byteorder) for file in self._files)
        before, self._total = self._total, Reading(tuple(calls), time_ns / 1e9)
        return Reading(
            tuple(now - then for now, then in zip(calls, before.calls)),
            self._total.busy_s - before.busy_s,
        )

    def close(self) -> None:
        """Free the debug registers."""
        while self._files:
            os.close(self._files.pop())


def _perf_event_open(
    thread: int,
    leader: int,
    kind: int,
    config: int,
    place: tuple[int, int, int],
    flags: int,
) -> int:
    if platform.machine() != "x86_64":
        raise OSError(errno.EOPNOTSUPP, "not x86-64")
    attribute = struct.pack(
        "IIQQQQQIIQQ", kind, _ATTRIBUTE_BYTES, config, 0, 0, 0, flags, 0, *place
    )
    file: int = _libc.syscall(
        ctypes.c_long(_PERF_EVENT_OPEN),
        ctypes.c_char_p(attribute.ljust(_ATTRIBUTE_BYTES, b"\0")),
        ctypes.c_int(thread),
        ctypes.c_int(-1),  # on every CPU
        ctypes.c_int(leader),
        ctypes.c_ulong(0),  # the flag that closes it on exec is newer than the rest
    )
    if file < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    os.set_inheritable(file, False)
    return file


def explain(error: OSError) -> str:
    """Say in some words why the kernel does not count."""
    if error.errno in (errno.EPERM, errno.EACCES):
        level = _PARANOID.read_text().strip() if _PARANOID.exists() else "not there"
        return (
            "the kernel, or the container's seccomp filter, does not permit perf_event_open"
            f" (kernel.perf_event_paranoid is {level})"
        )
    if error.errno == errno.ENOSYS:
        return "this kernel has no perf_event_open"
    if error.errno in (errno.ENOSPC, errno.EBUSY):
        return "its debug registers are in use"
    if error.errno == errno.ESRCH:
        return "its threads have ended"
    return f"this machine has no debug registers to count with ({error.strerror})"


def measure_cost(calls: int = 50, rounds: int = 16) -> float:
    """Return how long one counted call holds up a thread, in seconds.

    It is measured on a thread of our own, since it is some microseconds in a virtual machine and
    far less outside of one.

    Raises:
        OSError: the kernel refuses to count.

    """
    # lfind(3) calls a function for each of some elements until that returns 0, as labs does not.
    labs = ctypes.cast(_libc.labs, ctypes.c_void_p)
    key, count = ctypes.create_string_buffer(1), ctypes.c_size_t(calls)

    def search() -> int:
        begin = time.perf_counter_ns()
        _libc.lfind(key, key, ctypes.byref(count), ctypes.c_size_t(0), labs)
        return time.perf_counter_ns() - begin

    assert labs.value is not None
    counter = CallCounter(0, [labs.value])
    try:
        quiet = min(search() for _ in range(rounds))
        counter.start()
        counted = min(search() for _ in range(rounds))
        counter.stop()
        return max(0, counted - quiet) / calls / 1e9
    finally:
        counter.close()
