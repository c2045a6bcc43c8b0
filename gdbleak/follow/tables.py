"""A report at each interval, written to standard output as it is made."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from gdbleak.follow.lifeline import Lifeline
from gdbleak.follow.names import Names
from gdbleak.follow.snapshots import Snapshots
from gdbleak.follow.view import Subject
from gdbleak.renderers import Renderer
from gdbleak.report.model import Report

POLL_S = 0.5


def iter_reports(subject: Subject, lifeline: Lifeline, interval_s: float) -> Iterator[Report]:
    """Yield a report at each interval of a window, also one that falls on its end."""
    snapshots = Snapshots(subject, interval_s, Names(subject, waits=True))
    while not lifeline.ended:
        lifeline.wait(POLL_S)
        progress = lifeline.latest
        if progress and snapshots.is_due(progress.elapsed_s):
            yield snapshots.take(progress)
    last = snapshots.take_last()
    if last:
        yield last


@dataclass(frozen=True)
class Tables:
    """Writes each report as it is made, after a line that says when that was."""

    interval_s: float
    renderer: Renderer
    stamped: bool
    """Whether there is such a line."""
    patience_s: float | None = None

    def run(self, subject: Subject, lifeline: Lifeline) -> None:
        """Write them."""
        for report in iter_reports(subject, lifeline, self.interval_s):
            if self.stamped:
                sys.stdout.write(f"[{time.strftime('%Y-%m-%d %H:%M:%S')}] ")
            sys.stdout.write(self.renderer.render(report))
            sys.stdout.flush()

    def clean_up(self) -> None:
        """Nothing is left."""
