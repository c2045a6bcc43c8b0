"""When a tool was at a target, and when it recorded."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from gdbleak.errors import RecordingError
from gdbleak.recording.reader import Recording

RECORDING = "recording.gdbleak"
"""Name of the file in which gdbleak keeps its recording."""


class Sign(Enum):
    """What tells when a tool records."""

    TRACED = auto()
    """It does as long as the target has a tracer."""
    INJECTED = auto()
    """It is a tracer only to inject, and does from then on until SIGINT."""
    RECORDING = auto()
    """Its recording says so, whatever records."""


@dataclass(frozen=True)
class Span:
    """When a tool was at a target; times on the clock of `time.monotonic`."""

    arrival: float
    """The first that it did to the target."""
    begin: float
    """From then on it recorded."""
    end: float
    departure: float
    """The last that it did to the target."""


def read_opening(folder: Path) -> float | None:
    """Return since when gdbleak records into a folder; None if it does not yet."""
    with suppress(RecordingError), Recording(str(folder / RECORDING)) as recording:
        return None if recording.opened_ns is None else recording.opened_ns / 1e9
    return None


def read_window(folder: Path) -> tuple[float, float] | None:
    """Return from when to when gdbleak has recorded into a folder; None if nobody knows."""
    with suppress(RecordingError), Recording(str(folder / RECORDING)) as recording:
        end_ns = recording.end.end_ns if recording.end else None
        if recording.opened_ns is not None and end_ns is not None:
            return recording.opened_ns / 1e9, end_ns / 1e9
    return None
