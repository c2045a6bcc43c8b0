"""The agent in a GDB that is connected with a gdbserver."""

from __future__ import annotations

import time
from pathlib import Path

from gdbleak.capture.agent import AGENT, Agent
from gdbleak.debugger.interface import Debugger
from gdbleak.recording.end import EndedBy
from gdbleak.remote.process import COMMAND_TIMEOUT_S, RemoteProcess

LOOK_S = 0.5
"""The least time between two looks at which program runs, in seconds."""


_EXITED = "thread-group-exited"
"""What GDB tells when the process, or the connection to it, has gone."""


class RemoteAgent(Agent):
    """An agent that also looks for what a gdbserver does not tell."""

    def __init__(self, debugger: Debugger, folder: Path, process: RemoteProcess) -> None:
        """Take a GDB that is connected; the agent is loaded once the process is held.

        Args:
            debugger: The GDB.
            folder: Its current one, for plans.
            process: The target.

        """
        super().__init__(debugger, folder)
        self._process = process
        self._vector = process.read_text("auxv")
        self._next_look_s = 0.0
        self._has_exec = False

    def begin(self) -> None:
        """Load the agent, and ask it to arm and resume the process."""
        self._debugger.execute_console(f"source {AGENT}", COMMAND_TIMEOUT_S)
        super().begin()

    def ask_status(self) -> None:
        """Ask for the counts without waiting for them; once is enough until they come."""
        if self._asked is None:  # the look, too, asks GDB for something
            self._look_for_exec()
        super().ask_status()

    def _look_for_exec(self) -> None:
        """Notice that the process runs another program now.

        GDB trips over the breakpoints of the old program before it can report an exec. The kernel
        gives each program another auxiliary vector.
        """
        if time.monotonic() >= self._next_look_s:
            self._next_look_s = time.monotonic() + LOOK_S
            vector = self._process.read_text("auxv")
            self._has_exec = bool(vector) and vector != self._vector

    def take_end(self) -> EndedBy | None:
        """Return the end that has been told of, or noticed, since the last time."""
        gone = [e["payload"] for e in self._debugger.events if e["message"] == _EXITED]
        told = super().take_end()
        if told:
            return told
        if gone and not self._process.answers():
            return EndedBy.DEBUGGER_DIED
        if gone:  # a process that a signal has killed has no exit code
            exited = any("exit-code" in payload for payload in gone)
            return EndedBy.TARGET_EXIT if exited else EndedBy.TARGET_KILLED
        return EndedBy.TARGET_EXEC if self._has_exec else None
