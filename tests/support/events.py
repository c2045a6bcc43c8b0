"""What was recorded, taken apart."""

from __future__ import annotations

from pathlib import Path

from gdbleak.recording.events import Hit, Turn
from gdbleak.recording.reader import Recording


def hits_of(recording: Recording) -> list[Hit]:
    """Return the hits of a recording, in order."""
    return [event for event in recording.iter_events() if isinstance(event, Hit)]


def count_turns(path: Path) -> int:
    """Return how often breakpoints came or went so far, by a recording that may still grow."""
    events = Recording(str(path)).iter_events()
    return sum(isinstance(event, Turn) for event in events)
