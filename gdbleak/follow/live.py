"""The full screen of a window that is open."""

from __future__ import annotations

import os
import termios
import time
from dataclasses import dataclass, replace
from io import StringIO
from threading import Thread

from rich.console import Console

from gdbleak.capture.limits import Progress
from gdbleak.errors import GdbleakError
from gdbleak.follow.lifeline import Lifeline
from gdbleak.follow.names import Names
from gdbleak.follow.screen import Screen
from gdbleak.follow.snapshots import Snapshots
from gdbleak.follow.terminal import Modes, Terminal
from gdbleak.follow.view import Subject
from gdbleak.report.model import Report
from gdbleak.target.proc import read_state

REFRESH_S = 1.0
"""There is a new report at most once in this time."""
TICK_S = 0.2
"""The screen is drawn at least once in this time: its size may have changed."""
SILENCE_S = 0.5
"""A window that tells nothing for so long may have been stopped."""


class Reports:
    """The latest report, made in a thread of its own, so that keys are heeded meanwhile."""

    def __init__(self, subject: Subject) -> None:
        subject = replace(subject, options=replace(subject.options, sort="verdict"))
        self._names = Names(subject, waits=False)
        self._snapshots = Snapshots(subject, REFRESH_S, self._names)
        self._thread: Thread | None = None
        self.latest: Report | None = None
        self.problem = ""
        """Why there is no report, or no newer one."""

    def refresh(self, progress: Progress) -> None:
        """Have a report made, if it is time for one."""
        busy = self._thread and self._thread.is_alive()
        if not busy and self._snapshots.is_due(progress.elapsed_s):
            self._thread = Thread(target=self._take, args=(progress,), daemon=True)
            self._thread.start()

    def cancel(self) -> None:
        """Make no more."""
        self._names.cancel()

    def _take(self, progress: Progress) -> None:
        try:
            self.latest = self._snapshots.take(progress)
        except GdbleakError as error:
            self.problem = str(error)


@dataclass(frozen=True)
class Live:
    """Shows the window until it ends; `q` ends it."""

    pid: int
    budget_percent: float
    sort: str
    """How the screen is sorted at first; a value of `gdbleak.follow.screen.SORTS`."""
    modes: Modes
    """How the terminal was set before."""
    color: bool
    patience_s: float | None = 3.0

    def run(self, subject: Subject, lifeline: Lifeline) -> None:
        """Show it."""
        terminal, reports = Terminal(), Reports(subject)
        try:
            terminal.enter()
            self._run(lifeline, terminal, reports)
        except (OSError, termios.error):  # it has been closed
            pass
        finally:
            reports.cancel()
            terminal.leave()
            terminal.close()

    def clean_up(self) -> None:
        """Give the terminal back."""
        try:
            terminal = Terminal()
        except OSError:  # it has been closed
            return
        terminal.restore(self.modes)
        terminal.close()

    def _run(self, lifeline: Lifeline, terminal: Terminal, reports: Reports) -> None:
        screen = Screen(self.pid, self.budget_percent, sort=self.sort)
        report: Report | None = None
        heard_s = drawn_s = time.monotonic()
        said: Progress | None = None
        while not lifeline.ended:
            pressed = lifeline.wait(TICK_S, terminal.file if terminal.is_entered else None)
            for key in terminal.read_keys() if pressed else ():
                if key == "q":
                    return
                screen.press(key, report)
            now_s = time.monotonic()
            progress = lifeline.latest
            if progress is not said:
                said, heard_s = progress, now_s
            self._yield_terminal(terminal, silent_s=now_s - heard_s)
            if progress and not screen.paused:
                reports.refresh(progress)
                report, screen.problem = reports.latest, reports.problem
            if terminal.is_entered and (pressed or now_s - drawn_s >= TICK_S):
                drawn_s = now_s
                self._draw(screen, report, progress, terminal)

    def _yield_terminal(self, terminal: Terminal, silent_s: float) -> None:
        """Leave the terminal to others while the process that has the window is stopped."""
        if not terminal.is_entered:
            if silent_s < SILENCE_S and terminal.is_ours:
                terminal.enter()
        elif silent_s > SILENCE_S and read_state(os.getppid()) == "T":
            terminal.leave()

    def _draw(
        self,
        screen: Screen,
        report: Report | None,
        progress: Progress | None,
        terminal: Terminal,
    ) -> None:
        width, height = terminal.size
        console = Console(
            file=StringIO(),
            width=width,
            height=height,
            force_terminal=True,
            color_system="standard",
            no_color=not self.color,
            legacy_windows=False,
        )
        lines = []
        for line in screen.draw(report, progress, width, height):
            with console.capture() as capture:
                console.print(line, end="", no_wrap=True, crop=True)
            lines.append(capture.get())
        terminal.show(lines)
