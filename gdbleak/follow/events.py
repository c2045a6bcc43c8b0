"""Every allocation and free of a window, written to standard output as it comes."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass

from gdbleak.follow.event_lines import HEADER, EventLines
from gdbleak.follow.event_reader import EventReader
from gdbleak.follow.lifeline import Lifeline
from gdbleak.follow.view import Subject
from gdbleak.modules import ModuleMap
from gdbleak.recording import Event, Recording

POLL_S = 0.5


@dataclass(frozen=True)
class Events:
    """Writes a line for each; a reader that is slow reads them after the window."""

    patience_s: float | None = None

    def run(self, subject: Subject, lifeline: Lifeline) -> None:
        """Write them."""
        while not (lifeline.latest or lifeline.ended):
            lifeline.wait(POLL_S)
        if not lifeline.latest:
            return
        recording = Recording(subject.path, lifeline.latest.recorded_bytes)
        epoch_ns = time.time_ns() - lifeline.latest.now_ns
        modules = ModuleMap(subject.modules)
        lines = EventLines(recording.probes, recording.functions, modules, epoch_ns)
        reader = EventReader(recording)
        sys.stdout.write(f"{HEADER}\n")
        while not lifeline.ended:
            _write(lines, reader.read())
            lifeline.wait(POLL_S)
        _write(lines, reader.read())
        sys.stdout.write("\n")

    def clean_up(self) -> None:
        """Nothing is left."""


def _write(lines: EventLines, events: Iterable[tuple[Event, int]]) -> None:
    for event, caller in events:
        for line in lines.feed(event, caller):
            sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
