"""The target in the hands of GDB: how it is taken, and how it is let go, each within a bound.

A thread that does not stop keeps GDB waiting, and every other thread with it. So both are bounded
by the longest pause that the user admits. A GDB that takes longer is ended, where that is harmless.
"""

from __future__ import annotations

import time
from pathlib import Path

from gdbleak.capture.agent import DETACH_TIMEOUT_S, START_TIMEOUT_S, Agent
from gdbleak.debugger.interface import DebuggerSilentError
from gdbleak.errors import AttachError, DebuggerFailedError, NoSuchProcessError
from gdbleak.safety.guarding import Guarding
from gdbleak.safety.last_resort import LastResort
from gdbleak.safety.repair import read_tracer
from gdbleak.target.proc import list_threads, read_state

TICK_S = 0.01
AFTER_A_PAUSE_S = 0.05
"""How long the detach may take when the target has stood still already for as long as it may."""


class Hold:
    """Takes and lets go of one target."""

    def __init__(
        self, pid: int, agent: Agent, guard: Guarding, last_resort: LastResort, max_pause_s: float
    ) -> None:
        """Prepare.

        Args:
            pid: The target.
            agent: Holds it.
            guard: Repairs it should GDB die.
            last_resort: Ends GDB.
            max_pause_s: For how long the target may stand still.

        """
        self._pid = pid
        self._agent = agent
        self._guard = guard
        self._last_resort = last_resort
        self._max_pause_s = max_pause_s

    def take(self, plan: Path) -> None:
        """Attach, arm and resume.

        Raises:
            NoSuchProcessError: the process has ended.
            AttachError: it cannot be traced, or not be halted in time. It was let go.

        """
        try:
            self._agent.begin(plan)
            self._wait_for_window()
        except DebuggerFailedError as error:
            self.let_go(self._max_pause_s)
            if read_state(self._pid) in (None, "Z", "X"):
                raise NoSuchProcessError(f"process {self._pid} has ended meanwhile") from error
            raise AttachError(
                f"could not trace process {self._pid}: {error}",
                f"run `gdbleak doctor {self._pid}`",
            ) from error

    def _wait_for_window(self) -> None:
        debugger = self._agent.debugger
        deadline_s = time.monotonic() + START_TIMEOUT_S + self._max_pause_s
        halted_s: float | None = None
        while not self._agent.has_begun():
            debugger.poll(TICK_S)
            self._guard.beat()
            now_s = time.monotonic()
            if halted_s is None and read_tracer(self._pid) == debugger.pid:
                halted_s = now_s
            if halted_s is not None and now_s - halted_s > self._max_pause_s:
                self._give_up()
            if now_s > deadline_s:
                raise DebuggerSilentError(f"gdb (process {debugger.pid}) does not answer")

    def _give_up(self) -> None:
        """End a GDB that does not get hold of every thread, unless it has set breakpoints.

        Raises:
            AttachError: it was ended.

        """
        restless = [
            t for t in list_threads(self._pid) if read_state(self._pid, t) not in ("t", "T")
        ]
        if not self._last_resort.end(attaching=True):
            return
        self._guard.repair()
        which = f": thread {restless[0]} waits in the kernel" if restless else ""
        raise AttachError(
            f"process {self._pid} could not be halted within {self._max_pause_s * 1e3:.0f} ms"
            f"{which}; it was let go",
            "try again later, or allow a longer pause with --max-pause",
        )

    def let_go(self, patience_s: float) -> None:
        """Take the breakpoints out and detach, by command. It is done when this returns.

        A GDB that does not answer is ended, and the guard repairs.

        Args:
            patience_s: How long GDB may take, unless its end would do harm.

        """
        debugger = self._agent.debugger
        try:
            debugger.wake()
            if self._guard.disarmed_ns is not None and read_tracer(self._pid) != debugger.pid:
                raise DebuggerFailedError("gdb has detached already, for the guard")
            # Without breakpoints nobody runs into one any more, and GDB can be ended if it must.
            self._last_resort.disarm()
            try:
                self._agent.detach(self._pid, patience_s)
            except DebuggerSilentError:
                if not self._is_let_go_by_force():
                    raise
                return
            self._guard.stand_down()
        except DebuggerFailedError:
            debugger.end()
            self._guard.repair()

    def _is_let_go_by_force(self) -> bool:
        """End GDB as soon as that is harmless; return whether it was.

        Raises:
            DebuggerDiedError: it has ended by itself, and may have left something to repair.

        """
        deadline_s = time.monotonic() + DETACH_TIMEOUT_S
        while time.monotonic() < deadline_s:
            self._agent.debugger.poll(TICK_S)
            if read_tracer(self._pid) != self._agent.debugger.pid:  # it has found time after all
                self._agent.debugger.end()
                self._guard.repair()
                return True
            if self._last_resort.end():
                self._guard.repair()
                return True
        return False
