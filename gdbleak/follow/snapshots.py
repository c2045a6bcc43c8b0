"""Reports of an open window, each made as the report of a finished one."""

from __future__ import annotations

import time

from gdbleak.analysis.passes import analyse
from gdbleak.capture.limits import Progress
from gdbleak.elf.cache import ImageCache
from gdbleak.follow.names import Names
from gdbleak.follow.view import Subject
from gdbleak.recording.end import UNFINISHED, End, EndedBy, Verification
from gdbleak.recording.modules import ModuleMap
from gdbleak.recording.reader import Recording
from gdbleak.report.model import Report
from gdbleak.target.proc import memory_status, resident_set

SHARE, FREE_S = 0.2, 1.0
"""Share of a processor that snapshots may take, and seconds beyond that: each reads the recording
from its start."""


class Snapshots:
    """Makes reports, one for each interval."""

    def __init__(self, subject: Subject, interval_s: float, names: Names) -> None:
        """Begin.

        Args:
            subject: What the reports are about.
            interval_s: Seconds between two of them.
            names: Names of its functions.

        """
        self._subject = subject
        self._interval_s = interval_s
        self._names = names
        self._images = ImageCache()
        self._due_s = interval_s
        self._spent_s = 0.0

    def is_due(self, elapsed_s: float) -> bool:
        """Whether it is time for a report; several that were missed are made up for by one."""
        return elapsed_s >= self._due_s and self._spent_s <= FREE_S + SHARE * elapsed_s

    def take(self, progress: Progress) -> Report:
        """Return a report of the window so far.

        Raises:
            RecordingError: the recording cannot be read.
            WriteError: there is no room for the file that GDB reads.

        """
        with Recording(self._subject.path, progress.recorded_bytes) as recording:
            pid = recording.head.target.pid
            recording.end = End(
                EndedBy.RUNNING,
                progress.now_ns,
                Verification(),
                modules=(),
                stops=progress.stops,
                stopped_s=progress.stopped_s,
                rss_after=resident_set(pid),
                memory=memory_status(pid),
                searched_ns=None if recording.head.tail_s else recording.closed_ns,
            )
            return self._report(recording, progress.elapsed_s)

    def take_last(self) -> Report | None:
        """Return the report of a window that has ended; None if none was due by then."""
        with Recording(self._subject.path) as recording:
            end_ns = (recording.end or UNFINISHED).end_ns or 0
            elapsed_s = (end_ns - (recording.opened_ns or 0)) / 1e9
            return self._report(recording, elapsed_s) if elapsed_s >= self._due_s else None

    def _report(self, recording: Recording, elapsed_s: float) -> Report:
        began_s = time.process_time()
        modules = ModuleMap(self._subject.modules)
        options = self._subject.options
        report = analyse(recording, modules, options, self._names.resolve, self._images)
        self._spent_s += time.process_time() - began_s
        latest_s = elapsed_s // self._interval_s * self._interval_s
        self._due_s = max(self._due_s + self._interval_s, latest_s)
        return report
