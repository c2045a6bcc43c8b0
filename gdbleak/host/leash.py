"""A leash: processes started on it end with gdbleak, and folders are removed, however it ends.

The kernel kills a process when its parent dies, if it was told to, but not what that process has
started, such as a GDB that a script has started. So a keeper kills the whole group. A GDB that is
attached to a target must not be killed, and is not on a leash: see the guard.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from gdbleak.host import keeper

_PR_SET_PDEATHSIG = 1
_INTERRUPTS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
_libc = ctypes.CDLL(None)


class Leash:
    """A context manager: at its end, everything that was started on it has ended.

    If its keeper could not be started, that does not hold when gdbleak is killed.
    """

    def __init__(self) -> None:
        self._keeper: subprocess.Popen[bytes] | None = None
        self._started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Leash:
        # It inherits that these are blocked: a signal to the whole group does not end it.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTS)
        try:
            self._keeper = subprocess.Popen(
                [sys.executable, "-I", "-S", str(Path(keeper.__file__).absolute())],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
                bufsize=0,
            )
        except OSError:  # no memory, or as many processes as the user may have
            self._keeper = None
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return self

    def __exit__(self, *_: object) -> None:
        for process in [*self._started]:
            self.end(process)
        if self._keeper is not None:
            assert self._keeper.stdin is not None
            self._keeper.kill()  # before its input ends, so that it does nothing
            self._keeper.wait()
            self._keeper.stdin.close()

    def start(
        self, command: Sequence[str], prepare: Callable[[], None] | None = None, **options: Any
    ) -> subprocess.Popen[bytes]:
        """Start a command as the leader of a session of its own, and hold it.

        Args:
            command: The program and its arguments.
            prepare: Called in the new process before it runs the program.
            options: As of `subprocess.Popen`.

        Raises:
            OSError: it cannot be started.
            SubprocessError: `prepare` failed.

        """
        # Ctrl-C has to wait: Python runs hooks around this fork, and drops what they raise.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTS)
        try:
            process = subprocess.Popen(
                command,
                bufsize=0,
                start_new_session=True,
                preexec_fn=partial(_prepare, prepare, mask),
                **options,
            )
            self._started.append(process)
            self.hold(process.pid)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return process

    def hold(self, leader: int) -> None:
        """Have a process group killed when gdbleak dies."""
        self._tell(f"hold {leader}")

    def remove(self, folder: Path) -> None:
        """Have a folder removed when gdbleak dies."""
        self._tell(f"remove {os.fsencode(folder).hex()}")

    def end(self, process: subprocess.Popen[bytes]) -> int:
        """Kill a process that was started here, with its whole group; return how it has ended."""
        # A script may end before the processes that it has started.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        self._tell(f"release {process.pid}")
        status = process.wait()
        self._started.remove(process)
        return status

    def _tell(self, line: str) -> None:
        if self._keeper is not None:
            assert self._keeper.stdin is not None
            with suppress(BrokenPipeError):  # somebody has killed it
                self._keeper.stdin.write(line.encode() + b"\n")


def _prepare(prepare: Callable[[], None] | None, mask: set[Any]) -> None:
    """Prepare the new process, before it runs its program: it dies with its parent."""
    if prepare:
        prepare()
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
