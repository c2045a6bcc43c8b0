"""What stands in the registers of a process's threads: each is halted for some microseconds."""

from __future__ import annotations

import json
import os
import time

from gdbleak.target.apart import fork_apart, send, undisturbed
from gdbleak.target.proc import list_threads
from gdbleak.target.ptrace import halt, let_go, look, read_words

_NEXT_S = 0.005
"""When the next thread is halted too, if one does not halt: it waits for a processor or a disk."""
_POLL_S = 0.0001
_READ_S = 1.0
"""How long we may take to read what was found."""


def read_registers(pid: int, limit_s: float = 2.0) -> dict[int, list[int]]:
    """Return what stands in the registers of threads, by their ids, in no order.

    Those are left out that somebody else traces, or that do not halt in time. A process of its own
    does it, and ends at once: a thread that halts later is let go by the kernel, whatever we do.

    Args:
        pid: The process.
        limit_s: How long all of it may take.

    """
    told, tell = os.pipe2(os.O_CLOEXEC)

    def read() -> None:
        found = [*_read_all(pid, limit_s).items()]
        # Not for longer, though nobody reads it: a thread may still be about to halt.
        send(tell, found, time.monotonic() + _READ_S)

    with os.fdopen(told) as file:
        with undisturbed():
            reader = fork_apart(read, limit_s + _READ_S)
            os.close(tell)
        text = file.read()
    os.waitpid(reader, 0)
    return dict(json.loads(text)) if text.endswith("\n") else {}


def _read_all(pid: int, limit_s: float) -> dict[int, list[int]]:
    deadline_s = time.monotonic() + limit_s
    found: dict[int, list[int]] = {}
    halting: set[int] = set()
    for thread in list_threads(pid):
        if time.monotonic() > deadline_s:
            break
        if halt(thread):
            halting.add(thread)
            _await_halts(halting, found, min(time.monotonic() + _NEXT_S, deadline_s))
    _await_halts(halting, found, deadline_s)
    return found


def _await_halts(halting: set[int], found: dict[int, list[int]], deadline_s: float) -> None:
    """Read the registers of threads that halt, and let each run on at once."""
    while halting:
        for thread in [*halting]:
            how = look(thread)
            if how is None:
                continue
            halting.discard(thread)
            if how.is_halted:
                found[thread] = read_words(thread)
                let_go(thread, how)
        if time.monotonic() > deadline_s:
            return
        if halting:
            time.sleep(_POLL_S)
