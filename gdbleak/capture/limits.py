"""The limits of a window, and how far one has come."""

from __future__ import annotations

from dataclasses import dataclass

from gdbleak.bounds import bounded, check_bounds


@dataclass(frozen=True)
class Limits:
    """What bounds a window."""

    duration_s: float = bounded(10.0, 0.001, 31 * 86400)
    max_events: int | None = bounded(None, 1)
    max_pause_ms: float = bounded(500.0, 250)
    """How long the target may stand still at once."""
    max_memory: int = bounded(512 << 20, 1 << 20)
    """How many bytes gdbleak and its GDB may hold resident, each."""
    stack_bytes: int = bounded(4096, 64, 1 << 20)
    budget_percent: float = bounded(30.0, 0.1, 100)
    """The share of the time for which the target may be slowed."""
    tail_s: float = bounded(0.0, 0, 31 * 86400)
    """How long, after the window, the end of its blocks is still recorded."""
    references: bool = True
    """Whether it is looked, at the end, for what in memory refers to the blocks."""
    holders: bool = False
    """Whether to find out who holds the blocks, though it takes long and much memory."""
    scan_rate: int = bounded(1 << 30, 1 << 20)
    """How many bytes of memory are read a second for that."""
    scan_s: float = bounded(60.0, 0.1, 86400)
    """How long that may take; where it would take longer, it is left out."""
    heap: bool = True
    """Whether the blocks of the heap are counted by size while the window is open."""

    def __post_init__(self) -> None:
        """Check them.

        Raises:
            UsageError: a number is out of range.

        """
        check_bounds(self)


@dataclass(frozen=True)
class Progress:
    """How far a window has come."""

    elapsed_s: float
    duration_s: float
    """The length of the window and its tail."""
    events: int
    events_per_s: float
    outstanding: int
    stopped_s: float
    samples: bool = False
    """Whether it is recorded in bursts, because of the budget."""
    stops: int = 0
    now_ns: int = 0
    """On the clock of the recording."""
    recorded_bytes: int = 0
    """The length of the recording up to its last whole frame."""
    ring_fill: float | None = None
    """Inline: which share of the room is taken that the target has to record in."""
    lost: int = 0
    """Events that could not be recorded."""
    search: float | None = None
    """Which share of memory has been searched for references; None before that."""
