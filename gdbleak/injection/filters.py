"""Which threads may make the system calls of the recorder, whatever seccomp filters they have.

Sources: proc(5), `Seccomp`, `Seccomp_filters` (Linux 5.9) and `CapEff` in /proc/PID/status;
seccomp(2). What the routines call, and with what, stands in inline/recorder.S.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress

from gdbleak.errors import InlineRefusedError
from gdbleak.injection.implant import Implant
from gdbleak.injection.seccomp import Call, Filters, passes
from gdbleak.injection.visits import ToldFilters
from gdbleak.target.proc import list_threads, read_status

Able = dict[int, Filters]
"""Threads that may make system calls, by their ids, and the filters for which that was proved."""

MAX_THREADS = 16
"""The filters of how many threads are read."""

_MMAP, _MUNMAP, _MADVISE = 9, 11, 28
_NAMES = {_MMAP: "mmap", _MUNMAP: "munmap", _MADVISE: "madvise"}
_SYSCALL = b"\x0f\x05"
_PROT_READ_WRITE, _MADV_WIPEONFORK, _MINUS_ONE = 3, 18, 2**64 - 1
_MAP_FLAGS = 0x02 | 0x20 | 0x4000 | 0x100000
"""MAP_PRIVATE, MAP_ANONYMOUS, MAP_NORESERVE, MAP_FIXED_NOREPLACE."""
_CAP_SYS_ADMIN = 21


def find_unfiltered(pid: int) -> Able:
    """Return the threads of a process that no seccomp filter may kill for a system call."""
    return {thread: () for count, thread in _count_filters(pid) if not count}


def list_candidates(pid: int) -> list[int]:
    """Return the threads whose filters are worth reading: those that have the fewest.

    Of those the main thread comes first, which lives the longest.
    """
    counted = sorted((count, thread != pid, thread) for count, thread in _count_filters(pid))
    return [thread for _, _, thread in counted[:MAX_THREADS]]


def needs_look(pid: int) -> bool:
    """Return whether the filters of a process have to be read: all its threads have some.

    Raises:
        InlineRefusedError: that, or a trial on a process of ours, is not possible from here.

    """
    status = read_status(os.getpid())
    if status.get("Seccomp", "0") != "0":  # what we start has it too, and nobody may read it
        raise InlineRefusedError(
            "gdbleak is under a seccomp filter itself, so it cannot prove what a recorder may do",
            "run gdbleak on the host, outside of any container, or use --probe breakpoint",
        )
    if find_unfiltered(pid):
        return False
    if not int(status.get("CapEff", "0"), 16) >> _CAP_SYS_ADMIN & 1:
        raise InlineRefusedError(
            f"every thread of process {pid} is under seccomp filters that cannot be read: that"
            " takes the capability SYS_ADMIN",
            "run gdbleak as root of the host, or use breakpoints: --probe breakpoint",
        )
    return True


def calls_to_map(implant: Implant) -> list[Call]:
    """Return the system calls by which the ring comes, and goes again."""
    ring = implant.ring
    others = (_MAP_FLAGS, _MINUS_ONE, 0)
    return [
        call
        for pointer in _find_pointers(implant)
        for call in (
            Call(_MMAP, (ring.address, ring.size, _PROT_READ_WRITE, *others), pointer),
            Call(_MADVISE, (ring.address, ring.size, _MADV_WIPEONFORK, *others), pointer),
            # Or from where a kernel before 4.17 has mapped it instead.
            Call(_MUNMAP, (None, ring.size), pointer),
        )
    ]


def calls_to_unmap(implant: Implant) -> list[Call]:
    """Return the system call by which the ring goes."""
    ring = implant.ring
    return [
        Call(_MUNMAP, (ring.address, ring.size), pointer) for pointer in _find_pointers(implant)
    ]


def choose_able(told: ToldFilters, calls: Iterable[Call]) -> tuple[Able, str]:
    """Return the threads that may make all of some system calls, and why no other may.

    Args:
        told: The filters of threads.
        calls: What a thread would call.

    """
    able: Able = {}
    forbidden: set[str] = set()
    calls = [*calls]
    for thread, filters in told.known.items():
        missing = {
            _NAMES[call.number]
            for call in calls
            if not all(passes(program, call) for program in filters)
        }
        if not missing:
            able[thread] = filters
        forbidden |= missing
    if forbidden:
        return able, f"seccomp filters that may not let it call {' and '.join(sorted(forbidden))}"
    return able, f"seccomp filters that cannot be read: {told.unread or 'no thread was there'}"


def _find_pointers(implant: Implant) -> Iterator[int]:
    """Yield the address behind what makes the system calls of the routines, and perhaps others."""
    image = implant.image
    place = image.code.find(_SYSCALL, image.map_ring - image.address)
    while place >= 0:
        yield image.address + place + len(_SYSCALL)
        place = image.code.find(_SYSCALL, place + 1)


def _count_filters(pid: int) -> Iterator[tuple[int, int]]:
    """Yield how many filters each thread has, at least one if it has any, and its id."""
    for thread in list_threads(pid):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            status = read_status(thread)
            is_filtered = status.get("Seccomp", "0") != "0"
            yield int(status.get("Seccomp_filters", "0")) or is_filtered, thread
