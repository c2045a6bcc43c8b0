"""The controller's side of the guard."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from gdbleak.capture import guard
from gdbleak.errors import DebuggerFailedError

READY_TIMEOUT_S = 10.0
REPAIR_TIMEOUT_S = 10.0


class Guarding:
    """A guard that runs, and the pipes to it."""

    def __init__(self, journal: guard.Journal, folder: Path) -> None:
        """Start a guard and wait until it is ready.

        Raises:
            DebuggerFailedError: it did not start.

        """
        self._journal = journal
        life_read, self.life = os.pipe()
        control_read, self._control = os.pipe()
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-I", "-S", str(Path(guard.__file__).absolute())),
                *(str(journal.path), str(life_read), str(control_read), str(folder)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=(life_read, control_read),
            cwd="/",
            start_new_session=True,
        )
        os.close(life_read)
        os.close(control_read)
        spare(self._process.pid)
        if self._hear(READY_TIMEOUT_S) != b"ready\n":
            os.close(self.life)
            self.__exit__()
            raise DebuggerFailedError(
                "the guard process did not start", "try again; this host may be out of memory"
            )

    def announce(self, debugger_pid: int, halts_first: bool) -> None:
        """Say that GDB has started and holds `life`, which is let go of here.

        Args:
            debugger_pid: Of GDB.
            halts_first: See `Agent`.

        """
        spare(debugger_pid)
        os.close(self.life)
        self._say(f"gdb {debugger_pid}{' halts' if halts_first else ''}\n")
        self._hear(READY_TIMEOUT_S)

    def repair(self) -> None:
        """Wait until the guard has repaired what a dead GDB left behind; do it if it was killed."""
        self._hear(REPAIR_TIMEOUT_S)
        journal = guard.Journal(self._journal.path)
        with suppress(OSError):  # the target has ended too
            memory = os.open(f"/proc/{journal.plan['pid']}/mem", os.O_RDWR)
            if not journal.closed:
                guard.repair(memory, journal, "gdbleak")
            os.close(memory)

    def stand_down(self) -> None:
        """Say that the target was released: what happens to GDB now is of no interest."""
        self._say("released\n")

    def __enter__(self) -> Guarding:
        return self

    def __exit__(self, *_: object) -> None:
        """End the guard."""
        self._say("done\n")
        os.close(self._control)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(REPAIR_TIMEOUT_S)
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _say(self, words: str) -> None:
        with suppress(BrokenPipeError):  # it has done its work, or was killed
            os.write(self._control, words.encode())

    def _hear(self, timeout_s: float) -> bytes:
        """Return the next line that the guard says; an empty one when it is silent or dead."""
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            return self._process.stdout.readline() if selector.select(timeout_s) else b""


def spare(pid: int) -> None:
    """Ask the kernel's out-of-memory killer to take other processes first.

    Source: proc(5), oom_score_adj. Only root may lower it; others keep what they have.
    """
    with suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text("-900")
