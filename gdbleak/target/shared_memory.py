"""Processes that share their memory with another one, without being threads of it.

They are made by clone(2) with CLONE_VM and without CLONE_THREAD: a child of vfork until it runs
another program, and what some sandboxes and language runtimes make. A breakpoint in shared memory
is one for all of them, and kills those that GDB does not trace. So every process that shares the
memory of a target has to be found before the attach.
"""

from __future__ import annotations

import ctypes
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from gdbleak.errors import NoSuchProcessError, ProcessUnusableError
from gdbleak.target.proc import Memory, read_mappings, read_name, read_stat, read_state

_SYS_KCMP, _KCMP_VM = 312, 1
"""Source: kcmp(2), and the table of system calls of Linux for x86-64."""

PATIENCE_S = 1.0
"""How long a child of vfork may take to run another program."""
LOOK_S = 0.02
_PAGE_BYTES = 4096
_COMPARED_PAGES = 4096
"""How many pages are compared, in the smallest mappings: one of them is that in which the C library
keeps a thread's id, and a child of fork has another id there from its beginning."""
_COMPARISONS = 5
"""How often a page has to differ: one that is written to may change, and change back, meanwhile."""

_libc = ctypes.CDLL(None, use_errno=True)


class Sharer(NamedTuple):
    """A process that shares the memory of another one."""

    pid: int
    name: str
    is_sure: bool
    """False where the kernel does not tell, and all that could be read of both is the same."""


def check_sharers(pid: int) -> None:
    """Wait until no process shares the memory of another one, as children of vfork do for a moment.

    One that makes them all the time is not waited for any longer than each of them lives.

    Raises:
        ProcessUnusableError: one goes on sharing it.
        NoSuchProcessError: the main thread has ended; without its memory nothing can be compared.

    """
    if read_state(pid) in (None, "Z", "X"):
        raise NoSuchProcessError(f"process {pid}, or its main thread, has ended meanwhile")
    deadline_s = time.monotonic() + PATIENCE_S
    staying = found = find_sharers(pid)
    while found and staying:
        if time.monotonic() > deadline_s:
            raise _explain(pid, next(iter(staying.values())))
        time.sleep(LOOK_S)
        found = find_sharers(pid)
        staying = {other: sharer for other, sharer in staying.items() if other in found}


def _explain(pid: int, sharer: Sharer) -> ProcessUnusableError:
    shares = "shares" if sharer.is_sure else "seems to share"
    doubt = "" if sharer.is_sure else "; this kernel does not tell for sure"
    return ProcessUnusableError(
        f"process {pid} ({read_name(pid)}) {shares} its memory with process {sharer.pid}"
        f" ({sharer.name}), which would die at a breakpoint{doubt}",
        f"try again when process {sharer.pid} has ended, or runs another program",
    )


def find_sharers(pid: int) -> dict[int, Sharer]:
    """Return the processes that share the memory of another one, by their PIDs.

    Those that we may not look at are not found: they belong to other users.
    """
    others = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal())
    is_sure = share_memory(pid, pid) is True
    pids = (
        [other for other in others if other != pid and share_memory(pid, other)]
        if is_sure
        else _iter_alike(pid, others)
    )
    return {other: Sharer(other, read_name(other), is_sure) for other in pids}


def share_memory(pid: int, other: int) -> bool | None:
    """Whether two processes share their memory; None where the kernel does not tell.

    It has no such call, this container forbids it, or we may not look at one of the two.
    """
    arguments = map(ctypes.c_ulong, (pid, other, _KCMP_VM, 0, 0))
    result: int = _libc.syscall(ctypes.c_long(_SYS_KCMP), *arguments)
    return None if result < 0 else result == 0


def has_trapped(pid: int) -> bool:
    """Whether a process has died of SIGTRAP, and its parent has not read that yet.

    Source: proc(5), the last field of /proc/PID/stat, in the form of waitpid(2).
    """
    state, *_, status = read_stat(f"/proc/{pid}/stat") or [b"", b"0"]
    return state == b"Z" and int(status) & 0x7F == signal.SIGTRAP


def _iter_alike(pid: int, others: Iterator[int]) -> Iterator[int]:
    """Yield the processes of which all that can be read is the same as of another one."""
    layout = _read_layout(pid)
    for other in others:
        if other != pid and layout and _read_layout(other) == layout:
            if _have_same_memory(pid, other):
                yield other


def _read_layout(pid: int) -> list[bytes]:
    """Return where code and stack begin, which the kernel chooses at each exec; or nothing.

    Source: proc(5), startcode, endcode and startstack in /proc/PID/stat; 0 for who may not see it.
    """
    layout = read_stat(f"/proc/{pid}/stat")[23:26]
    return layout if layout and layout[0] not in (b"0", b"1") else []


def _have_same_memory(pid: int, other: int) -> bool:
    """Whether every page that they may write to is the same."""
    try:
        with Memory(pid) as memory, Memory(other) as others:
            return not any(_differs(memory, others, address) for address in _iter_pages(pid))
    except OSError:  # one of them has ended, or we may not look at it
        return False


def _differs(memory: Memory, others: Memory, address: int) -> bool:
    """Whether a page was seen to differ each time, and did not change meanwhile."""
    for _ in range(_COMPARISONS):
        before = memory.read(address, _PAGE_BYTES)
        theirs = others.read(address, _PAGE_BYTES)
        if before == theirs or before != memory.read(address, _PAGE_BYTES):
            return False
    return True


def _iter_pages(pid: int) -> Iterator[int]:
    """Yield addresses of pages that a process may write to and shares with no other by a file."""
    mappings = [each for each in read_mappings(pid) if each.permissions.startswith("rw-p")]
    left = _COMPARED_PAGES
    for mapping in sorted(mappings, key=lambda each: each.end - each.start):
        end = min(mapping.end, mapping.start + left * _PAGE_BYTES)
        yield from range(mapping.start, end, _PAGE_BYTES)
        left -= (end - mapping.start) // _PAGE_BYTES
