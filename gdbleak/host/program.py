"""A program of the user's that gdbleak starts, to trace it: it is let be, and may outlive us."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence

from gdbleak.errors import UsageError

_PR_SET_PTRACER = 0x59616D61
_libc = ctypes.CDLL(None)

_STEADY_S, _EVERY_S, _LIMIT_S = 0.1, 0.01, 5.0


class Program:
    """A program that runs, with our standard input, output and error, and in our process group."""

    def __init__(self, words: Sequence[str]) -> None:
        """Start it.

        Args:
            words: Its name, and its arguments.

        Raises:
            UsageError: it cannot be started.

        """
        own = os.getpid()
        try:
            self._process = subprocess.Popen(words, preexec_fn=lambda: _let_trace(own))
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise UsageError(
                f"cannot start {words[0]}: {reason}",
                "give its path and its arguments; what a shell understands needs `sh -c`",
            ) from error
        self.pid = self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def wait_until_steady(self, look: Callable[[], object]) -> None:
        """Wait until it has loaded its libraries: what `look` returns is the same for a while.

        Args:
            look: Returns what it has mapped.

        """
        deadline_s = time.monotonic() + _LIMIT_S
        seen, since_s = look(), time.monotonic()
        while not self.has_ended and time.monotonic() < min(since_s + _STEADY_S, deadline_s):
            time.sleep(_EVERY_S)
            now = look()
            if now != seen:
                seen, since_s = now, time.monotonic()

    def wait(self) -> None:
        """Wait until it ends. Ctrl-C reaches it, too, and is for it alone."""
        previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self._process.wait()
        finally:
            signal.signal(signal.SIGINT, previous)


def _let_trace(pid: int) -> None:
    """Let a process and its descendants trace this one, where Yama allows it to parents alone.

    Its gdb is no parent of ours. The permission ends with that process, and the kernel refuses to
    give it where there is no Yama.
    """
    _libc.prctl(_PR_SET_PTRACER, pid, 0, 0, 0)
