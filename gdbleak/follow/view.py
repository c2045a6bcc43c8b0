"""What the process that shows a window is given, and what it has to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gdbleak.analysis.options import ReportOptions
from gdbleak.debugger.program import GdbProgram
from gdbleak.follow.lifeline import Lifeline
from gdbleak.recording.modules import Module
from gdbleak.target.owners import Owner


@dataclass(frozen=True)
class Subject:
    """The window that is shown."""

    path: str
    """Path of its recording, which still grows."""
    modules: tuple[Module, ...]
    options: ReportOptions
    gdb: GdbProgram
    owner: Owner | None = None
    """The owner of the target; None if it is our own process."""


class View(Protocol):
    """A way to show a window while it is open; it is pickled and run in another process."""

    @property
    def patience_s(self) -> float | None:
        """How many seconds it may go on after the window; None for as long as its reader takes."""

    def run(self, subject: Subject, lifeline: Lifeline) -> None:
        """Show the window until the lifeline says that it has ended; returning earlier ends it."""

    def clean_up(self) -> None:
        """Undo, in the process that has the window, what a killed view may have left."""
