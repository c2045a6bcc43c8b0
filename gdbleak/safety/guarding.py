"""The controller's side of the guard."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from gdbleak.errors import DebuggerFailedError
from gdbleak.safety.journal import Journal
from gdbleak.safety.repair import repair

READY_TIMEOUT_S = 10.0
REPAIR_TIMEOUT_S = 10.0
NOTED_TIMEOUT_S = 2.0
END_TIMEOUT_S = 5.0
BEAT_S = 0.1

_RUN = (
    "import sys; sys.path.append(sys.argv[1]); from gdbleak.safety import guard;"
    " guard.main(sys.argv[2:])"
)
_ROOT = Path(__file__).absolute().parents[2]
"""Where the guard finds its modules, behind all that Python brings along."""


class Guarding:
    """A guard that runs, and the pipes to it."""

    def __init__(self, journal: Journal, folder: Path) -> None:
        """Start a guard and wait until it is ready.

        Raises:
            DebuggerFailedError: it did not start.

        """
        self._journal = journal
        self._debugger_pid = 0
        self._next_beat_s = 0.0
        self._rest = b""
        self._has_repaired = False
        self.disarmed_ns: int | None = None
        """When it took the breakpoints out, because it had not heard of us; `look` finds out."""
        life_read, self.life = os.pipe()
        control_read, self._control = os.pipe()
        os.set_blocking(self._control, False)
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-I", "-S", "-c", _RUN, str(_ROOT)),
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
        if not self._hear("ready", READY_TIMEOUT_S):
            os.close(self.life)
            self.__exit__()
            raise DebuggerFailedError(
                "the guard process did not start", "try again; this host may be out of memory"
            )

    def note(self, debugger_pid: int) -> None:
        """Say that a GDB has started, which must not outlive gdbleak."""
        self._say(f"tries {debugger_pid}")

    def announce(self, debugger_pid: int, halts_first: bool) -> None:
        """Say that GDB may touch the target, and holds `life`, which is let go of here.

        Args:
            debugger_pid: The process id of GDB.
            halts_first: See `Agent`.

        """
        self._debugger_pid = debugger_pid
        spare(debugger_pid)
        os.close(self.life)
        self._say(f"gdb {debugger_pid}{' halts' if halts_first else ''}")
        self._hear("noted", NOTED_TIMEOUT_S)

    def beat(self) -> None:
        """Say that we are at work; from the first time on the guard waits for the next.

        It may be called at any rate.
        """
        if time.monotonic() >= self._next_beat_s:
            self._next_beat_s = time.monotonic() + BEAT_S
            self._say("beat")
            self._hear("", 0)

    def repair(self) -> None:
        """Wait until the guard has repaired what a dead GDB left behind; do it if it was killed."""
        if not self._has_repaired:
            self._hear("repaired", REPAIR_TIMEOUT_S)
        with suppress(OSError, ValueError):  # somebody has removed it; what was planned is known
            self._journal = Journal(self._journal.path)
        with suppress(OSError):  # the target has ended too
            memory = os.open(f"/proc/{self._journal.plan['pid']}/mem", os.O_RDWR)
            if not self._journal.closed:
                repair(memory, self._journal, "gdbleak", self._debugger_pid)
            os.close(memory)

    def end_debugger(self) -> bool:
        """Have GDB killed without harm to the target; False when the guard was killed."""
        self._say("end")
        return self._hear("noted", END_TIMEOUT_S)

    def stand_down(self) -> None:
        """Say that the target was released: what happens to GDB now does not matter."""
        self._say("released")
        self._hear("noted", NOTED_TIMEOUT_S)

    def __enter__(self) -> Guarding:
        return self

    def __exit__(self, *_: object) -> None:
        """End the guard."""
        self._say("done")
        os.close(self._control)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(REPAIR_TIMEOUT_S)
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _say(self, words: str) -> None:
        with suppress(BrokenPipeError, BlockingIOError):  # it was killed, or stopped for long
            os.write(self._control, words.encode() + b"\n")

    def _hear(self, word: str, timeout_s: float) -> bool:
        """Take in what the guard says, until it says a word; return whether it did in time."""
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while selector.select(max(deadline - time.monotonic(), 0)):
                data = os.read(self._process.stdout.fileno(), 4096)
                if not data:
                    return False
                *lines, self._rest = (self._rest + data).split(b"\n")
                said = [line.decode().split() for line in lines]
                for words in said:
                    if words[0] == "disarmed":
                        self.disarmed_ns = int(words[1])
                    self._has_repaired |= words[0] == "repaired"
                if any(words[0] == word for words in said):
                    return True
        return False


def spare(pid: int) -> None:
    """Ask the kernel's out-of-memory killer to take other processes first.

    Source: proc(5), oom_score_adj. Only root may lower it; others keep what they have.
    """
    with suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text("-900")
