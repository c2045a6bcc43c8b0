"""What was recorded, taken apart."""

from __future__ import annotations

from gdbleak.recording.events import Hit
from gdbleak.recording.reader import Recording


def hits_of(recording: Recording) -> list[Hit]:
    """Return the hits of a recording, in order."""
    return [event for event in recording.iter_events() if isinstance(event, Hit)]
