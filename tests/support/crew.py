"""What runs beside gdbleak during a trace, GDB and the guard, and what must not be left of it."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from gdbleak.safety.scratch import read_scratch
from gdbleak.target.proc import Memory
from support.processes import Target, lives, state_of, status_of, wait_until

TORTURE = int(os.environ.get("GDBLEAK_TORTURE", "1"))
"""How many times longer than usual the tests of rare failures are; `make torture` sets 25."""


def find_gdb(pid: int) -> psutil.Process | None:
    """Return the GDB that a gdbleak has started, if it has."""
    # One that runs by a loader of its own bears the loader's name.
    return _find(pid, lambda process: "--interpreter=mi2" in process.cmdline())


def find_guard(pid: int) -> psutil.Process | None:
    """Return the guard that a gdbleak has started, if it has."""
    return _find(pid, lambda process: any("guard.main" in word for word in process.cmdline()))


def find_searcher(pid: int) -> psutil.Process | None:
    """Return the process that a gdbleak has started to search for references, if it has."""
    return _find(pid, lambda process: "gdbleak.follow.references" in process.cmdline())


def _find(pid: int, matches: Any) -> psutil.Process | None:
    with suppress(psutil.NoSuchProcess):  # gdbleak has just ended
        for process in psutil.Process(pid).children():
            with suppress(psutil.NoSuchProcess):  # or this one, perhaps as a zombie
                if matches(process):
                    return process
    return None


def stop(pid: int) -> None:
    """Stop a process with SIGSTOP, and wait until it is."""
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: state_of(pid) == "T", f"process {pid} had stopped")


def tracer_of(pid: int) -> int:
    """Return the PID of the process that traces another, or 0."""
    return int(status_of(Path(f"/proc/{pid}"))["TracerPid"])


def running_beside(target: Target) -> list[psutil.Process]:
    """Return the processes that were started for the test, without the target and its children."""
    return [
        process
        for process in psutil.Process().children(recursive=True)
        if lives(process) and not _is_of(target, process.pid)
    ]


def _is_of(target: Target, pid: int) -> bool:
    """Whether a process is in the session of a target, or has ended."""
    try:
        return os.getsid(pid) == target.pid
    except ProcessLookupError:
        return True


def leave_copied_instruction(pid: int) -> None:
    """Write what a GDB would leave that dies while a thread steps over a breakpoint."""
    with Memory(pid, writable=True) as memory:
        scratch = read_scratch(pid, memory)
        assert memory.write(scratch.address + 2, b"\x41\x57" + bytes(14))


def assert_released(target: Target) -> None:
    """Assert that everything that came for a target goes, and leaves it as it was."""
    wait_until(lambda: running_beside(target) == [], "gdbleak, gdb and the guard had ended", 60)
    assert target.process.poll() is None, "the target has died"
    target.assert_as_found()
