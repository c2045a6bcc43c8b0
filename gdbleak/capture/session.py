"""What every way to record a target begins with, and what all of them do alike at its end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gdbleak.capture.backend import After
from gdbleak.capture.limits import Limits
from gdbleak.debugger.program import GdbProgram
from gdbleak.target.live import LiveProcess
from gdbleak.target.proc import memory_status, resident_set
from gdbleak.target.process import Target


@dataclass(frozen=True)
class Session:
    """One trace of a process of this machine, however it is recorded."""

    gdb: GdbProgram
    """The debugger to use."""
    source: LiveProcess
    """The process, as it is read."""
    target: Target
    """What it was before."""
    limits: Limits
    """What ends the window."""
    folder: Path
    """A private folder for files of the debugger and the guard."""

    def read_after(self, has_exec: bool) -> After:
        """Return what the target holds once it is free again.

        Args:
            has_exec: Whether it runs another program by now.

        """
        pid = self.target.pid
        modules = () if has_exec else tuple(self.source.read_modules_again())
        return After(resident_set(pid), memory_status(pid), modules)
