"""The check that a process behind a gdbserver runs on; its code cannot be read any more."""

from __future__ import annotations

import time
from dataclasses import replace

from gdbleak.recording.end import Verification
from gdbleak.remote.process import RemoteProcess
from gdbleak.safety.proof import RUN_ON_S, SETTLE_S, UNKNOWN

LOOK_S = 0.05


class RemoteProof:
    """What /proc tells, over there, of a process after the detach."""

    def __init__(self, process: RemoteProcess, state: str) -> None:
        """Take down what a process is like before the attach.

        Args:
            process: The process.
            state: Its state letter.

        """
        self._process = process
        self._state_before = state

    def look(self, own_stop: bool) -> Verification:
        """Look at the process right after the detach.

        Args:
            own_stop: Whether somebody has sent it a signal of job control meanwhile.

        """
        halted = "t" if own_stop else "tT"
        deadline_s = time.monotonic() + SETTLE_S
        while True:
            state, tracer = self._read()
            if state is None:
                return Verification(None, self._state_before, None, None, None)
            has_settled = tracer == 0 and state not in halted
            if has_settled or time.monotonic() > deadline_s:
                ok = None if has_settled else False
                return Verification(tracer, self._state_before, state, None, ok)
            time.sleep(LOOK_S)

    def conclude(
        self, released_s: float, own_stop: bool, has_exec: bool, waits: bool
    ) -> Verification:
        """Wait until the process has lived long enough, and look again.

        Args:
            released_s: When it was let go, on the monotonic clock.
            own_stop: See `look`.
            has_exec: Whether it runs another program by now, whose end is its own affair.
            waits: Whether to wait at all.

        """
        until_s = released_s + (RUN_ON_S if waits else 0)
        while self._read()[0] is not None and time.monotonic() < until_s:
            time.sleep(LOOK_S)
        ran_on_s = round(time.monotonic() - released_s, 3)
        latest = replace(self.look(own_stop), ran_on_s=ran_on_s)
        has_died = latest.state_after is None and not has_exec
        return replace(latest, ok=False, death=UNKNOWN) if has_died else latest

    def _read(self) -> tuple[str | None, int | None]:
        """Return its state letter and who traces it there; None twice when it has ended."""
        status = self._process.status()
        state = status.get("State", "")[:1]
        if not state or state in "ZX":
            return None, None
        return state, int(status["TracerPid"])
