"""The attach and the detach of GDB, each within a bound of time.

A thread that does not stop keeps GDB waiting, and every other thread with it. So both are bounded
by the longest pause that the user admits. A GDB that takes longer is ended, where that is harmless.
"""

from __future__ import annotations

import time
from typing import ClassVar

from gdbleak.capture.agent import DETACH_TIMEOUT_S, START_TIMEOUT_S
from gdbleak.capture.halts import Pauses, watch_closely
from gdbleak.capture.probe import Tracer
from gdbleak.debugger.interface import DebuggerSilentError
from gdbleak.errors import AttachError, DebuggerFailedError, NoSuchProcessError
from gdbleak.recording.end import TARGET_ENDED, EndedBy
from gdbleak.safety.guarding import Guarding
from gdbleak.safety.last_resort import LastResort
from gdbleak.safety.repair import read_tracer
from gdbleak.target.proc import list_threads, read_state

TICK_S = 0.01
AFTER_A_PAUSE_S = 0.05
"""How long the detach may take when the target has stood still already for as long as it may."""


class LocalHold:
    """Takes and lets go of one target on this machine."""

    registers: ClassVar[dict[int, list[int]]] = {}
    """Nobody asks GDB for them: they can be read when it has let the target go."""

    def __init__(
        self,
        pid: int,
        recorder: Tracer,
        guard: Guarding,
        last_resort: LastResort,
        max_pause_s: float,
        pauses: Pauses,
    ) -> None:
        """Prepare.

        Args:
            pid: The target.
            recorder: Attaches to it and detaches.
            guard: Repairs it if GDB dies.
            last_resort: Ends a GDB that does not let go.
            max_pause_s: How long the target may stand still, in seconds.
            pauses: Keeps how long it did.

        """
        self._pid = pid
        self._recorder = recorder
        self._guard = guard
        self._last_resort = last_resort
        self._max_pause_s = max_pause_s
        self._pauses = pauses
        self.released_s: float | None = None

    def take(self) -> None:
        """Attach, arm and resume.

        Raises:
            NoSuchProcessError: the process has ended.
            AttachError: it cannot be traced, or not be halted in time. It was let go.

        """
        with watch_closely(self._pid, self._pauses.halts) as self._pauses.taking:
            try:
                self._recorder.begin()
                self._wait_for_window()
            except DebuggerFailedError as error:
                self._detach(self._max_pause_s)
                if read_state(self._pid) in (None, "Z", "X"):
                    raise NoSuchProcessError(f"process {self._pid} has ended meanwhile") from error
                raise AttachError(
                    f"could not trace process {self._pid}: {error}",
                    f"run `gdbleak doctor {self._pid}`",
                ) from error

    def let_go(self, ended_by: EndedBy) -> None:
        """Take the breakpoints out and detach, by command. It is done when this returns.

        A GDB that does not answer is ended, and the guard repairs.

        Args:
            ended_by: Why the window ends.

        """
        began_s = time.monotonic()
        with watch_closely(self._pid, self._pauses.halts) as self._pauses.letting_go:
            if ended_by in TARGET_ENDED:
                self._guard.stand_down()
            else:
                # One that has stood still for as long as it may does not wait much longer.
                is_late = ended_by is EndedBy.MAX_PAUSE
                self._detach(AFTER_A_PAUSE_S if is_late else self._max_pause_s)
            self.released_s = time.monotonic()
        self._pauses.letting_go.bound_s = self.released_s - began_s

    def _wait_for_window(self) -> None:
        recorder = self._recorder
        deadline_s = time.monotonic() + START_TIMEOUT_S + self._max_pause_s
        halted_s: float | None = None
        while not recorder.has_begun():
            recorder.poll(TICK_S)
            self._guard.beat()
            now_s = time.monotonic()
            if halted_s is None and read_tracer(self._pid) == recorder.pid:
                halted_s = now_s
            if halted_s is not None and now_s - halted_s > self._max_pause_s:
                self._give_up()
            if now_s > deadline_s:
                raise DebuggerSilentError(f"gdb (process {recorder.pid}) does not answer")

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

    def _detach(self, patience_s: float) -> None:
        """Let the target go.

        Args:
            patience_s: How long GDB may take, unless its end would do harm.

        """
        recorder = self._recorder
        try:
            recorder.wake()
            if self._guard.disarmed_ns is not None and read_tracer(self._pid) != recorder.pid:
                raise DebuggerFailedError("gdb has detached already, for the guard")
            # Without breakpoints nobody runs into one any more, and GDB can be ended if it must.
            self._last_resort.disarm()
            try:
                recorder.detach(patience_s)
            except DebuggerSilentError:
                if not self._is_let_go_by_force():
                    raise
                return
            self._guard.stand_down()
        except DebuggerFailedError:
            recorder.end()
            self._guard.repair()

    def _is_let_go_by_force(self) -> bool:
        """End GDB as soon as that is harmless; return whether it was.

        Raises:
            DebuggerDiedError: it has ended by itself, and may have left something to repair.

        """
        deadline_s = time.monotonic() + DETACH_TIMEOUT_S
        while time.monotonic() < deadline_s:
            self._recorder.poll(TICK_S)
            if read_tracer(self._pid) != self._recorder.pid:  # it has found time after all
                self._recorder.end()
                self._guard.repair()
                return True
            if self._last_resort.end():
                self._guard.repair()
                return True
        return False
