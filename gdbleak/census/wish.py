"""What is wanted of a look at a heap."""

from __future__ import annotations

from dataclasses import dataclass

from gdbleak.bounds import bounded, check_bounds


@dataclass(frozen=True)
class LostWish:
    """How to search for lost blocks."""

    content: bool = False
    """Whether the first bytes of blocks are told: those may be other people's data."""
    time_s: float = bounded(120.0, 0.1, 86400)
    """How long all looks together may take."""
    scan_rate: int = bounded(1 << 30, 1 << 20)
    """How much may be read of a process that runs, in bytes each second."""
    max_memory: int | None = bounded(None, 1 << 20)
    """How much memory the search may take; None for half of what is left on this machine."""
    trees: int = bounded(50, 1, 100_000)
    """How many rows of trees that look alike are told."""

    def __post_init__(self) -> None:
        """Check them.

        Raises:
            UsageError: a number is out of range.

        """
        check_bounds(self)


@dataclass(frozen=True)
class HeapWish:
    """How to look at a heap."""

    interval_s: float = bounded(10.0, 0.1, 31 * 86400)
    """Seconds from one census to the next; more where one takes longer."""
    count: int = bounded(1, 1, 100_000)
    """How many censuses to take."""
    stop: bool = False
    """Whether to stop the process while it is counted."""
    max_pause_ms: float = bounded(500.0, 1)
    """How long it may be stopped; then it is let go, and counted while it runs."""
    lost: LostWish | None = None
    """How to look for blocks that nothing refers to; None not to."""

    def __post_init__(self) -> None:
        """Check them.

        Raises:
            UsageError: a number is out of range.

        """
        check_bounds(self)
