"""Whether a process lives, by which of its threads, and whether GDB could attach to it.

The kernel keeps the main thread of a process as a zombie when it ends before the others. By its
stat the process seems to have ended, and its memory is only found by a thread that lives.

On the standard library alone, because the guard is.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def start_of_living(pid: int) -> int | None:
    """Return when a process began, in clock ticks since boot; None when it has ended.

    A zombie has ended, unless it is only the main thread that has, and others run on.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()
    has_ended = fields[0] in (b"Z", b"X") and find_living_thread(pid) is None
    return None if has_ended else int(fields[19])


def find_living_thread(pid: int) -> int | None:
    """Return a thread of a process that has not ended, the main one if it can be."""
    tasks = Path(f"/proc/{pid}/task")
    with suppress(OSError):  # it has just ended
        for thread in sorted((int(each.name) for each in tasks.iterdir()), key=pid.__ne__):
            with suppress(OSError):
                if read_thread_state(thread) not in ("Z", "X"):
                    return thread
    return None


def find_obstacle(pid: int) -> str | None:
    """Return why GDB cannot attach to a process that lives; None where it can, as far as is known.

    Of a process that has ended, nothing is said.
    """
    if find_living_thread(pid) in (pid, None):
        return None
    return "its main thread has ended, so gdb cannot attach to it"


def read_thread_state(thread: int) -> str:
    """Return the state letter of a thread.

    Raises:
        OSError: it is gone.

    """
    return Path(f"/proc/{thread}/stat").read_text().rpartition(")")[2].split()[0]
