"""What a process that looks on is given, and what it has to do."""

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
    """What is looked at."""

    path: str
    """Of the recording that grows."""
    modules: tuple[Module, ...]
    options: ReportOptions
    gdb: GdbProgram
    owner: Owner | None = None
    """Whose process it is, where that is another's than ours."""


class View(Protocol):
    """A way to look at a window while it is open; it is pickled, to be run elsewhere."""

    @property
    def patience_s(self) -> float | None:
        """How long after the window it may go on; None for as long as its reader takes."""

    def run(self, subject: Subject, lifeline: Lifeline) -> None:
        """Show it until the lifeline says that the window has ended, or end it by returning."""

    def clean_up(self) -> None:
        """Undo, in the process whose window it is, what it may have left when it was killed."""
