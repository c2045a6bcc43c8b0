"""Every allocation and free of a window, written to standard output as it comes."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

from gdbleak.follow.event_callers import EventCallers
from gdbleak.follow.event_lines import HEADER, EventLines
from gdbleak.follow.lifeline import Lifeline
from gdbleak.follow.view import Subject
from gdbleak.recording.frames import MAGIC
from gdbleak.recording.growing import GrowingRecording
from gdbleak.recording.modules import ModuleMap
from gdbleak.recording.reader import Recording

POLL_S = 0.5


@dataclass(frozen=True)
class Events:
    """Writes a line for each event; a slow reader gets the last ones after the window."""

    patience_s: float | None = None

    def run(self, subject: Subject, lifeline: Lifeline) -> None:
        """Write them."""
        while not (lifeline.latest or lifeline.ended):
            lifeline.wait(POLL_S)
        if not lifeline.latest:
            return
        with Recording(subject.path, lifeline.latest.recorded_bytes) as recording:
            head = recording.head
        epoch_ns = time.time_ns() - lifeline.latest.now_ns
        lines = EventLines(head.probes, head.functions, ModuleMap(subject.modules), epoch_ns)
        with GrowingRecording(subject.path, head.probes, len(MAGIC)) as growing:
            callers = EventCallers(subject.modules, subject.options, growing)
            sys.stdout.write(f"{HEADER}\n")
            while not lifeline.ended:
                # What follows may be more than --max-events admits.
                _write(lines, callers, growing, lifeline.latest.recorded_bytes)
                lifeline.wait(POLL_S)
            _write(lines, callers, growing, None)
            sys.stdout.write("\n")

    def clean_up(self) -> None:
        """Nothing is left."""


def _write(
    lines: EventLines, callers: EventCallers, growing: GrowingRecording, end: int | None
) -> None:
    for appended in growing.read_all(end):
        for line in lines.feed(appended.event, callers.find(appended)):
            sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
