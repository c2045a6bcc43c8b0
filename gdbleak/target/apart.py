"""A process of ours that holds threads of another one, and outlasts neither its time nor us.

Whoever holds a process must not be stopped with us: by Ctrl-Z, which stops all programs of a
terminal, or while we do not read what it tells. So it leaves the terminal, never waits for us
longer than until its time is up, and the kernel ends it where all else fails. With its end the
kernel lets the threads run on.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_PR_SET_PDEATHSIG = 1
_GRACE_S = 1.0
"""How long it may take to let go, once the time is up."""
_PIECE_BYTES = 1 << 16
_ENDING = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
_STOPPING = signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU


def fork_apart(work: Callable[[], None], limit_s: float) -> int:
    """Have a process of its own do something; return its id.

    It ends when the work is done, soon after its time is up, or when this process ends.

    Args:
        work: What it does.
        limit_s: How long that may take, in seconds.

    """
    parent = os.getpid()
    child = os.fork()
    if not child:
        try:
            _stand_apart(parent, limit_s)
            work()
        finally:
            os._exit(0)
    return child


@contextmanager
def undisturbed() -> Iterator[None]:
    """Have Ctrl-C wait: whoever is interrupted must know by then which process was forked."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _stand_apart(parent: int, limit_s: float) -> None:
    os.setsid()
    for number in (*_ENDING, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    for number in _STOPPING:
        signal.signal(number, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, limit_s + _GRACE_S)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it had ended before
        os._exit(0)


def send(pipe: int, value: object, deadline_s: float) -> bool:
    """Write a value as a line of JSON, as far as somebody reads it; return whether it was read.

    Args:
        pipe: A descriptor; it is made one that does not block.
        value: What to write.
        deadline_s: When to give up, on the monotonic clock.

    """
    os.set_blocking(pipe, False)
    poll = select.poll()
    poll.register(pipe, select.POLLOUT)
    data = memoryview(json.dumps(value).encode() + b"\n")
    while data:
        left_s = deadline_s - time.monotonic()
        if left_s <= 0 or not poll.poll(left_s * 1e3):
            return False
        try:
            data = data[os.write(pipe, data[:_PIECE_BYTES]) :]
        except BlockingIOError:  # there is less room than that by now
            continue
        except BrokenPipeError:
            return False
    return True
