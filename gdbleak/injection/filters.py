"""Which threads may make any system call. Source: proc(5), `Seccomp` in /proc/PID/status."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from gdbleak.target.proc import list_threads


def find_unfiltered(pid: int) -> set[int]:
    """Return the threads of a process that no seccomp filter may kill for a system call."""
    return {thread for thread in list_threads(pid) if not _is_filtered(pid, thread)}


def _is_filtered(pid: int, thread: int) -> bool:
    with suppress(OSError):  # it has ended
        for line in Path(f"/proc/{pid}/task/{thread}/status").read_bytes().splitlines():
            name, _, mode = line.partition(b":")
            if name == b"Seccomp":
                return mode.strip() != b"0"
    return False
