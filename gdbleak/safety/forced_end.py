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

from gdbleak.host.waiting import wait_until
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
        wait_until(lambda: read_tracer(pid) != debugger, DEATH_S)
        deadline = time.monotonic() + HALT_S
        for thread in Path(f"/proc/{pid}/task").iterdir():
            _pass_through(int(thread.name), deadline)
        os.kill(pid, signal.SIGCONT)


def _pass_through(thread: int, deadline: float) -> None:
    """Attach to a thread that is about to be stopped, and detach again."""
    with suppress(OSError, IndexError):  # it has ended
        wait_until(lambda: read_thread_state(thread) in "TDZX", deadline - time.monotonic())
        ptrace = ctypes.CDLL(None).ptrace
        ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
        # One that waits in the kernel was not stepped.
        is_stopped = read_thread_state(thread) == "T"
        if is_stopped and ptrace(_PTRACE_SEIZE, thread, None, None) == 0:
            left_s = deadline - time.monotonic()
            wait_until(lambda: os.waitpid(thread, _WALL | os.WNOHANG)[0] != 0, left_s)
            ptrace(_PTRACE_DETACH, thread, None, None)
