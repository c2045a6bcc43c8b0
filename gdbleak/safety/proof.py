"""The proof that a target was left as it was found, and that it runs on."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from gdbleak.readable import Readable
from gdbleak.recording.end import Verification
from gdbleak.target.life import start_of_living
from gdbleak.target.proc import read_start, read_state, read_status
from gdbleak.target.process import Target

SETTLE_S = 2.0
"""How long the kernel may take to show a detached process as running again."""
RUN_ON_S = 1.0
"""How long a process has to live after the detach, in seconds. A thread dies of what a detach may
leave behind when it runs next: at once, or at its next call of the allocator."""
_LOOK_S = 0.02
UNKNOWN = "unknown"
"""The cause of a death that the kernel does not tell any more."""


class LocalProof:
    """What is looked at before the attach and after the detach, of a process of this machine."""

    def __init__(
        self, target: Target, places: Sequence[tuple[int, bytes]], memory: Readable
    ) -> None:
        """Take down what a target is like before the attach.

        Args:
            target: The process.
            places: What will be written over: the address, and the bytes that stand there before.
            memory: The memory of the process, opened before the attach: so it cannot turn into that
                of another process.

        """
        self._target = target
        self._started = read_start(target.pid)
        self._places = places
        self._memory = memory
        self.latest: Verification | None = None
        """What was seen the last time."""

    def look(self, own_stop: bool) -> Verification:
        """Look at the process right after the detach.

        Args:
            own_stop: Whether somebody has sent it a signal of job control meanwhile.

        """
        self.latest = self._look(own_stop)
        return self.latest

    def _look(self, own_stop: bool) -> Verification:
        before = self._target.state
        halted = "t" if own_stop else "tT"
        deadline = time.monotonic() + SETTLE_S
        while True:
            state, tracer = self._read()
            settled = state is None or (tracer == 0 and state not in halted)
            if settled or time.monotonic() > deadline:
                break
            time.sleep(0.005)
        if state is None or tracer is None or not self.lives():
            return Verification(None, before, None, None, None)
        intact = None
        if not self._is_gone():
            intact = all(
                self._memory.read(address, len(original)) in (original, b"")
                for address, original in self._places
            )
        ok = tracer == 0 and state not in halted and intact is not False
        return Verification(tracer, before, state, intact, ok)

    def conclude(
        self, released_s: float, own_stop: bool, has_exec: bool, waits: bool
    ) -> Verification:
        """Wait until the process has lived long enough, and look again. Ctrl-C ends the wait.

        Args:
            released_s: When it was let go, on the monotonic clock.
            own_stop: See `look`.
            has_exec: Whether it runs another program by now, whose end is its own affair.
            waits: Whether to wait at all.

        """
        until_s = released_s + (RUN_ON_S if waits else 0)
        with suppress(KeyboardInterrupt):
            while self.lives() and time.monotonic() < until_s:
                time.sleep(_LOOK_S)
        ran_on_s = round(time.monotonic() - released_s, 3)
        latest = replace(self._look(own_stop), ran_on_s=ran_on_s)
        if not self.lives():
            death = self._read_death()
            if death is not None and not (has_exec and death == UNKNOWN):
                latest = replace(latest, ok=False, death=death)
        self.latest = latest
        return latest

    def lives(self) -> bool:
        """Whether the process still lives; another one may have its PID by now."""
        return start_of_living(self._target.pid) == self._started

    def _is_gone(self) -> bool:
        """Whether the memory that was written to exists no more: another program runs."""
        return not self._memory.read(self._places[0][0], 1)

    def _read(self) -> tuple[str | None, int | None]:
        state = read_state(self._target.pid)
        try:
            return state, int(read_status(self._target.pid)["TracerPid"])
        except (FileNotFoundError, ProcessLookupError):
            return None, None

    def _read_death(self) -> str | None:
        """Return by what it was killed; None if it has ended by itself, as a zombie may tell.

        Source: proc(5), the last field of /proc/PID/stat, in the form of waitpid(2).
        """
        try:
            fields = Path(f"/proc/{self._target.pid}/stat").read_bytes().rpartition(b")")[2].split()
            status = int(fields[-1]) if int(fields[19]) == self._started else None
        except (OSError, IndexError):
            status = None
        if status is None:
            return UNKNOWN
        number = status & 0x7F
        return signal.Signals(number).name if number else None
