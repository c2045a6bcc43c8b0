"""The end of a GDB that holds a target and does not let go of it.

On the standard library alone, because the guard is.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from gdbleak.safety.repair import read_tracer
from gdbleak.target.life import read_thread_state

DEATH_S, HALT_S = 2.0, 0.1
"""How long GDB may take to die, and the threads that it held may take to be stopped."""
_PTRACE_SEIZE, _PTRACE_DETACH, _WALL = 0x4206, 17, 0x40000000


def end_debugger(debugger: int, pid: int) -> None:
    """Kill the GDB that holds a process, so that no thread dies of having been stepped by it.

    Such a thread keeps the flag by which the processor traps after each instruction. The kernel
    takes it back when a tracer detaches, not when it dies. So the threads go over from the hands of
    GDB into a stop, and from there through ours.

    Source: ptrace(2), PTRACE_SEIZE of a stopped thread; ptrace_disable and exit_ptrace in Linux.
    """
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        # With its whole group, which is its own: a script may have started it.
        os.killpg(os.getpgid(debugger), signal.SIGKILL)
        deadline = time.monotonic() + DEATH_S
        while read_tracer(pid) == debugger and time.monotonic() < deadline:
            time.sleep(0.001)
        deadline = time.monotonic() + HALT_S
        for thread in Path(f"/proc/{pid}/task").iterdir():
            _pass_through(int(thread.name), deadline)
        os.kill(pid, signal.SIGCONT)


def _pass_through(thread: int, deadline: float) -> None:
    """Attach to a thread that is about to be stopped, and detach again."""
    with suppress(OSError, IndexError):  # it has ended
        while (state := read_thread_state(thread)) not in "TDZX" and time.monotonic() < deadline:
            time.sleep(0.001)
        ptrace = ctypes.CDLL(None).ptrace
        ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
        # One that waits in the kernel was not stepped.
        if state == "T" and ptrace(_PTRACE_SEIZE, thread, None, None) == 0:
            while os.waitpid(thread, _WALL | os.WNOHANG)[0] == 0 and time.monotonic() < deadline:
                time.sleep(0.001)
            ptrace(_PTRACE_DETACH, thread, None, None)
