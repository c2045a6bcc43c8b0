"""How a process behind a gdbserver is taken and let go."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar

from gdbleak.capture.agent import DETACH_TIMEOUT_S, START_TIMEOUT_S
from gdbleak.capture.hold import TICK_S
from gdbleak.capture.probe import Tracer
from gdbleak.debugger.interface import DebuggerSilentError
from gdbleak.errors import AttachError, DebuggerFailedError, ForeignBreakpointError
from gdbleak.plan.allocators import iter_changed
from gdbleak.recording.end import TARGET_ENDED, EndedBy
from gdbleak.recording.probes import Probe
from gdbleak.remote.process import RemoteProcess


class RemoteHold:
    """Takes and lets go of one process behind a gdbserver."""

    registers: ClassVar[dict[int, list[int]]] = {}
    """Nobody asks GDB for them: they can be read when it has let the target go."""

    def __init__(
        self,
        process: RemoteProcess,
        recorder: Tracer,
        probes: tuple[Probe, ...],
        free: Callable[[], None],
    ) -> None:
        """Prepare.

        Args:
            process: The target.
            recorder: Records in it.
            probes: Where its breakpoints will be.
            free: Lets the process go when the GDB of the recorder cannot.

        """
        self._process = process
        self._recorder = recorder
        self._probes = probes
        self._free = free
        self.released_s: float | None = None

    def take(self) -> None:
        """Attach, arm and resume.

        Raises:
            AttachError: the process cannot be traced.
            ForeignBreakpointError: its code is not that of its files.

        """
        self._process.attach()
        for probe in iter_changed(self._probes, self._process):
            raise ForeignBreakpointError(
                f"the code of {probe.function} in memory differs from its file",
                "a debugger or tracer has left a breakpoint there; end it, or restart the process",
            )
        try:
            self._recorder.begin()
            self._wait_for_window()
        except DebuggerFailedError as error:
            self._detach()
            raise AttachError(f"could not trace process {self._process.pid}: {error}") from error

    def _wait_for_window(self) -> None:
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while not self._recorder.has_begun():
            self._recorder.poll(TICK_S)
            if time.monotonic() > deadline_s:
                raise DebuggerSilentError(f"gdb (process {self._recorder.pid}) does not answer")

    def let_go(self, ended_by: EndedBy) -> None:
        """Take the breakpoints out and detach, by command. It is done when this returns.

        Args:
            ended_by: Why the window ends.

        Raises:
            AttachError: gdbserver does not answer any more.

        """
        if ended_by is EndedBy.DEBUGGER_DIED:
            self._free()
        elif ended_by not in TARGET_ENDED:
            self._detach()
        self.released_s = time.monotonic()

    def _detach(self) -> None:
        try:
            self._recorder.detach(DETACH_TIMEOUT_S)
        except DebuggerFailedError:
            self._recorder.end()
            self._free()
